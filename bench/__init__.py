"""pyregistry and the registries beside it, under the same load on the same machine. `make bench`, or --help."""

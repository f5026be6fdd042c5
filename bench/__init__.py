"""Compares pyregistry with other registries, under the same load on the same machine. `make bench`, or --help."""

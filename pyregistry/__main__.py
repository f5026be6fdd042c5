"""`python -m pyregistry` is the command line."""

from pyregistry.cli import main

main()

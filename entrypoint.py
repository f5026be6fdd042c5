#!/opt/pyregistry/bin/python -I
"""The image's /entrypoint.sh, under the name that it has in the official image."""

from pyregistry.cli.entrypoint import main

main()

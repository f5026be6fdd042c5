#!/opt/pyregistry/bin/python -I
"""The image's /entrypoint.sh, named as in the official image."""

import sys

from pyregistry.common.early import hold_hangup

hold_hangup(sys.argv[1:])  # before the import below, which takes a while

from pyregistry.cli.entrypoint import main  # noqa: E402 - SIGHUP has to be held before this import, which takes a while

main()

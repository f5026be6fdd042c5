"""One run in a process of its own, for the server: its CPU work must not delay any request.

    python -m pyregistry.gc LOCATION-AS-JSON OPTIONS-AS-JSON

It prints the report as JSON and exits with 0. On failure it prints a reason and exits with one of EXIT_CODES or 1.
"""

import os
import signal
import sys

import msgspec

from pyregistry.common.system_errors import in_words
from pyregistry.gc.collector import collect
from pyregistry.gc.types import EXIT_CODES, Failure, Options
from pyregistry.storage.backend import read_location

LOWEST_PRIORITY = 19
"""CPU priority, which also lowers that of the disk."""


def main(location: str, options: str) -> int:
    """Run; return the exit status."""
    os.nice(LOWEST_PRIORITY)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the server ends this process itself
    try:
        backend = read_location(location).open()
        report = collect(backend.objects, backend.coordinator, msgspec.json.decode(options, type=Options))
    except Failure as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_CODES[type(error)]
    except OSError as error:
        sys.stderr.write(f"{in_words(error)}\n")
        return 1
    sys.stdout.buffer.write(msgspec.json.encode(report))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

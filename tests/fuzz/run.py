"""One target in a process of its own: `python -m tests.fuzz.run NAME`, with libFuzzer's options."""

import logging
import os
import sys

import atheris

from tests.fuzz import PROGRAM


def main() -> None:
    """Fuzz until libFuzzer ends the process."""
    name = sys.argv.pop(1)
    sys.argv[0] = os.environ.get(PROGRAM, sys.argv[0])
    logging.disable()
    with atheris.instrument_imports(include=["pyregistry", "jwt", "yaml", "yarl"]):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - what is imported here is instrumented
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()

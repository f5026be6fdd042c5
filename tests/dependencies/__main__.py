"""`python -m tests.dependencies` writes the files of `constraints/`; `--floors` only those that need no index."""

import sys

from tests.dependencies.constraints import FLOORS, IMAGE, floors_text, newest_image_text
from tests.dependencies.pythons import PythonMissing

if __name__ == "__main__":
    FLOORS.write_text(floors_text())
    print(f"written: {FLOORS}")
    if "--floors" not in sys.argv[1:]:
        try:
            IMAGE.write_text(newest_image_text())
        except PythonMissing as error:
            sys.exit(f"constraints/image.txt not written: {error}")
        print(f"written: {IMAGE}")

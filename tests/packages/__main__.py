"""`make dist`: the source package and the wheel, with their checksums."""

import hashlib
import sys
from pathlib import Path

from tests.packages.building import NotBuilt, build_packages
from tests.processes import SOURCE_TREE


def main() -> int:
    """Build into ./dist, or into the directory of the first argument."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else SOURCE_TREE / "dist"
    try:
        packages = build_packages(SOURCE_TREE, target)
    except NotBuilt as error:
        print(error, file=sys.stderr)
        return 1
    for package in packages:
        print(f"{hashlib.sha256(package.read_bytes()).hexdigest()}  {package}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

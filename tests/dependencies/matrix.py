"""Run the quick part of the tests on each Python, with the lowest and with the newest dependencies.

PYTHONS, DEPENDENCIES  what to run, "3.11 3.12 3.13" and "floors newest"; "prereleases" is the third end
PYREGISTRY_REQUIRE_PYTHONS  the Pythons that must be here: the run fails without one of them
JOBS  processes of each run
"""

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.dependencies.constraints import FLOORS, PYPROJECT, supported_pythons
from tests.dependencies.pythons import PythonMissing, find
from tests.processes import SOURCE_TREE

QUICK = (
    *(
        f"tests/api/test_{name}.py"
        for name in (
            *(
                "access_log",
                "access_log_bytes",
                "blobs",
                "deletion",
                "expect",
                "head_limits",
                "fast_path",
                "lists",
                "manifests",
            ),
            *("mounts", "observers", "ranges", "referrers", "smuggling", "uploads", "uploads_interrupted"),
        )
    ),
    "tests/api/transport",
    *(
        f"tests/auth/test_{name}.py"
        for name in ("hashes", "htpasswd_file", "login", "rule_texts", "token_server", "tokens")
    ),
    "tests/storage/test_registry.py",
    "tests/storage/test_uploads.py",
    "tests/tls",
    "tests/test_log.py",
    "tests/test_server.py",
    "tests/test_tls.py",
    "tests/workers/test_starting.py",
)
"""The part that meets the dependencies: every request, logins, certificates, a start with workers."""
OPTIONS = {"floors": [f"--constraint={FLOORS}"], "newest": [], "prereleases": ["--pre"]}
"""Options of pip for each end of the dependencies."""
VENVS = SOURCE_TREE / ".venv"


def main(environ: dict[str, str]) -> int:
    """Run all that is asked for, and return the exit code: 1 if tests failed or a required Python is missing."""
    failed = []
    for version in environ.get("PYTHONS", "").split() or supported_pythons():
        try:
            python = find(version)
        except PythonMissing as error:
            required = version in environ.get("PYREGISTRY_REQUIRE_PYTHONS", "").split()
            print(f"{error}; {'it is required' if required else 'its tests are left out'}", flush=True)
            failed += [f"{version} (missing)"] if required else []
            continue
        for dependencies in environ.get("DEPENDENCIES", "").split() or ("floors", "newest"):
            name = f"{version}-{dependencies}"
            failed += [] if run(python, name, dependencies, environ) == 0 else [name]
    if failed:
        print(f"versions that failed: {', '.join(failed)}", flush=True)
    return 1 if failed else 0


def run(python: Path, name: str, dependencies: str, environ: dict[str, str]) -> int:
    """Run the tests with one Python and one end of the dependencies; return the exit code of pytest, or pip's."""
    started = time.monotonic()
    options = [*OPTIONS[dependencies], f"--editable={SOURCE_TREE}[test]"]
    try:
        directory = make_environment(python, VENVS / f"py{name}", options, PYPROJECT)
    except subprocess.CalledProcessError as error:
        print(f"Python {name}: environment not made: {error}", flush=True)
        return error.returncode
    seconds = round(time.monotonic() - started)
    print(f"Python {name}: {directory}, made in {seconds} s", flush=True)
    command: list[str | Path] = [directory / "bin/python", "-m", "pytest", "-q"]
    command += ["-n", environ.get("JOBS") or "4"]
    tests = environ.get("ARGS", "").split() or QUICK
    with_bytecode = {name: value for name, value in environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.run([*command, *tests], cwd=SOURCE_TREE, env=with_bytecode, check=False).returncode


def make_environment(python: Path, directory: Path, options: list[str], source: Path) -> Path:
    """Make a virtual environment, unless it was made of the same Python, options of pip and `source`; return it."""
    stamp = directory / "made-from"
    made_from = "\n".join([str(python), *options, hashlib.sha256(source.read_bytes()).hexdigest()])
    if stamp.exists() and stamp.read_text() == made_from:
        return directory
    subprocess.run([python, "-m", "venv", "--clear", directory], check=True)
    pip = directory / "bin/pip"
    subprocess.run([pip, "install", "--quiet", "--disable-pip-version-check", *options], check=True)
    stamp.write_text(made_from)
    return directory


if __name__ == "__main__":
    sys.exit(main(dict(os.environ)))

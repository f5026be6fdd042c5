"""`make fuzz`: atheris on each target in turn, which goes where the code has not been yet.

`python -m tests.fuzz --seconds 60 manifest head` fuzzes two of them, a minute each. An input that makes an error is
kept in `.fuzz/`, and its path is printed; `python -m tests.fuzz --show .fuzz/manifest/crash-...` runs it again. With
`--keep` what reaches code that no kept input reaches is added to the corpus.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz import PROGRAM
from tests.fuzz.seeds import CORPUS

FOUND = Path(".fuzz")
LONGEST = 32 * 1024
"""Bytes of an input."""
SLOWEST = 10
"""Seconds for one input, above which it counts as an error."""
MOST_MEMORY = 1024
"""MiB."""


def main() -> int:
    """Fuzz; 1 if anything was found."""
    from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - only the process that fuzzes measures their coverage

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", help=f"of {', '.join(TARGETS)}; all of them where none is given")
    parser.add_argument("--seconds", type=int, default=20, help="for each target, 20 by default")
    parser.add_argument("--keep", action="store_true", help="add what reaches new code to the corpus")
    parser.add_argument("--show", type=Path, help="run one input, with the error that it makes")
    options = parser.parse_args()
    if options.show is not None:
        TARGETS[options.show.parent.name](options.show.read_bytes())
        return 0
    failed = [name for name in options.targets or TARGETS if not _fuzz(name, options.seconds, keep=options.keep)]
    print(f"errors in: {', '.join(failed)}" if failed else "no errors")
    return bool(failed)


def _fuzz(name: str, seconds: int, *, keep: bool) -> bool:
    """Return True if nothing was found."""
    kept, found = CORPUS / name, FOUND / name
    found.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        limits = [f"-timeout={SLOWEST}", f"-rss_limit_mb={MOST_MEMORY}", f"-max_len={LONGEST}"]
        command = [
            sys.executable,
            "-m",
            "tests.fuzz.run",
            name,
            *limits,
            f"-artifact_prefix={found}/",
            "-print_final_stats=1",
        ]
        print(f"== {name}, {seconds} s", flush=True)
        done = subprocess.run([*command, f"-max_total_time={seconds}", work, str(kept)], check=False)
        if keep and done.returncode == 0:
            _merge(command, Path(work), kept)
    return done.returncode == 0


def _merge(command: list[str], work: Path, kept: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        program, merged = Path(name) / "program", Path(name) / "merged"
        program.write_text(f'#!/bin/sh\nexec {shlex.join(command[:4])} "$@"\n')
        program.chmod(0o755)
        merged.mkdir()
        # libFuzzer begins itself once more for this, by the name of a program.
        environ = {**os.environ, PROGRAM: str(program)}
        subprocess.run([*command, "-merge=1", str(merged), str(kept), str(work)], check=True, env=environ)
        for path in merged.iterdir():
            if not any(path.read_bytes() == known.read_bytes() for known in kept.iterdir()):
                shutil.copy(path, kept / path.name[:12])


if __name__ == "__main__":
    sys.exit(main())

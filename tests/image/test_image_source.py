"""The address of the source in the image's labels, which all who pull the image can read."""

import subprocess
from pathlib import Path

import pytest

from tests.processes import SOURCE_TREE, require

ENGINE = '#!/bin/sh\n[ "$1" != build ] || printf "%s\\n" "$@" >build.txt\n'


@pytest.mark.parametrize(
    ("origin", "source"),
    [
        ("https://ci-token:s3cret@git.example.org/a/b.git", "https://git.example.org/a/b.git"),
        ("https://s3cret@git.example.org/a/b.git", "https://git.example.org/a/b.git"),
        ("http://user:s3cret@x@git.example.org/a@b.git", "http://git.example.org/a@b.git"),
        ("https://git.example.org/a/@b.git", "https://git.example.org/a/@b.git"),
        ("git@git.example.org:a/b.git", "git@git.example.org:a/b.git"),
        ("ssh://git@git.example.org/a/b.git", "ssh://git@git.example.org/a/b.git"),
    ],
)
def test_no_password_of_the_remote_gets_into_a_label(tmp_path: Path, origin: str, source: str) -> None:
    for name in (".ci/image", "pyregistry/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((SOURCE_TREE / name).read_bytes())
    engine = tmp_path / "engine"
    engine.write_text(ENGINE)
    engine.chmod(0o755)
    git = [require("git", "git"), "-C", str(tmp_path), "-c", "user.name=test", "-c", "user.email=test"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"], ["remote", "add", "origin", origin]):
        subprocess.run([*git, *words], check=True)
    subprocess.run(
        ["bash", ".ci/image"], cwd=tmp_path, check=True, env={"PATH": "/usr/bin:/bin", "ENGINE": str(engine)}
    )
    built = (tmp_path / "build.txt").read_text().splitlines()
    assert f"org.opencontainers.image.source={source}" in built
    assert "s3cret" not in "".join(built)

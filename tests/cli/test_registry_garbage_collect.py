"""`registry garbage-collect`: its flags, statuses and streams, compared with those of the CNCF registry."""

import re
import shutil
from pathlib import Path

import pytest

from tests.cli.commands import CNCF, cncf, config_file, ours, run
from tests.engine.images import oci_image
from tests.engine.wire import Wire
from tests.processes import forked_server

PROGRAMS = ("ours", *CNCF)
SUMMARY = re.compile(r"^\d+ blobs marked, (\d+) blobs and \d+ manifests eligible for deletion$", re.MULTILINE)
UNREFERENCED = b"a blob that nothing refers to"


def program_of(name: str) -> list[str]:
    return ours("registry") if name == "ours" else cncf(name)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data with an image, and a blob that no repository has."""
    directory = tmp_path_factory.mktemp("tree")
    with forked_server(directory) as server, Wire(server) as wire:
        wire.push("app", "1", oci_image((1000,)))
    blob = server.tree / "blobs/sha256/ab" / ("ab" * 32) / "data"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(UNREFERENCED)
    return directory / "data"


@pytest.fixture
def collectable(tree: Path, tmp_path: Path) -> Path:
    """A config of a copy of it."""
    shutil.copytree(tree, tmp_path / "data")
    return config_file(tmp_path)


def blobs(config: Path) -> int:
    return len(list(config.parent.glob("data/docker/registry/v2/blobs/sha256/*/*/data")))


@pytest.mark.parametrize("name", PROGRAMS)
def test_config_that_cannot_be_used_ends_with_1_and_the_usage(name: str) -> None:
    done = run(program_of(name), "garbage-collect", "/nowhere.yml")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("configuration error: ")
    for words in ("registry garbage-collect", "-d, --dry-run", "-m, --delete-untagged"):
        assert words in done.stderr


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize(
    "arguments",
    ["-d {}", "{} -d", "--dry-run {} --delete-untagged", "{} -dm", "--dry-run=true {}", "-d=1 {} -m=false"],
    ids=lambda arguments: arguments.format("CONFIG"),
)
def test_flags_stand_before_or_after_the_argument(name: str, arguments: str, collectable: Path) -> None:
    before = blobs(collectable)
    done = run(program_of(name), "garbage-collect", *arguments.format(collectable).split())
    assert done.returncode == 0, done.stderr
    found = SUMMARY.search(done.stdout)
    assert found is not None
    assert found[1] == "1"
    assert blobs(collectable) == before


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("flag", [[], ["--dry-run=false"]], ids=["no flag", "a flag that is false"])
def test_without_a_dry_run_the_blob_is_removed(name: str, flag: list[str], collectable: Path) -> None:
    before = blobs(collectable)
    done = run(program_of(name), "garbage-collect", *flag, collectable)
    assert done.returncode == 0, done.stderr
    assert blobs(collectable) == before - 1


@pytest.mark.parametrize("name", ["ours", "3.1"])
@pytest.mark.parametrize("flag", ["-q", "--quiet"])
def test_quiet_leaves_standard_output_empty(name: str, flag: str, collectable: Path) -> None:
    done = run(program_of(name), "garbage-collect", flag, collectable)
    assert (done.returncode, done.stdout) == (0, "")

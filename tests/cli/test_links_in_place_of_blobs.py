"""A symbolic link at `blobs/sha256`: what is behind it can be pulled, and every command says that it is not seen."""

import json
from pathlib import Path

import pytest

from pyregistry.config.load import load
from pyregistry.service.data_directory import try_storage
from pyregistry.storage.seams import layout
from tests.builders import image
from tests.cli.place import Place, run
from tests.storage.pushing import pull, push_image, repository


@pytest.fixture(params=["sha256", "one prefix"])
def link(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A tree with the link, which is below `tmp_path`/data."""
    place = Place(tmp_path)
    push_image(repository(place.registry, "app"), image(), "latest")
    link = place.data / layout.BLOBS / "sha256"
    if request.param != "sha256":
        link = next(link.iterdir())
    elsewhere = tmp_path / "elsewhere"
    link.rename(elsewhere)
    link.symlink_to(elsewhere)
    assert pull(repository(place.registry, "app"), image())
    return link


def test_gc_says_it_and_removes_nothing_behind_it(link: Path, tmp_path: Path) -> None:
    config, said = (
        tmp_path / "config.yml",
        f"{link.relative_to(tmp_path / 'data')} is a symbolic link, which is not foll",
    )
    for options in ((), ("--dry-run",)):
        done = run("gc", "--json", *options, config)
        assert done.returncode == 2
        [sentence] = json.loads(done.stdout)["skipped"]
        assert sentence.startswith(said)
    assert said in run("du", config).stderr


def test_fsck_says_it_and_finds_no_damage(link: Path, tmp_path: Path) -> None:
    done = run("fsck", tmp_path / "config.yml")
    assert done.returncode == 0
    assert f"foreign {link.relative_to(tmp_path / 'data')}: a symbolic link, which is not followed" in done.stdout


def test_the_start_says_it(link: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config, _ = load(tmp_path / "config.yml", {})
    try_storage(config)
    assert "a symbolic link is not followed" in caplog.text
    assert str(link.relative_to(tmp_path / "data")) in caplog.text

"""docs/migrating.md: its commands in their order, from the CNCF registry 2.8.2 and 3.1.1, and back."""

import json
import sys
from pathlib import Path

import pytest

from tests.engine.containers import Skopeo
from tests.engine.images import oci_image
from tests.engine.test_volume_in_turn import CNCF_2, CNCF_3, OURS, Kind, Turn, pull_all, run_collector
from tests.engine.volume import Volume
from tests.engine.wire import Wire
from tests.pages.commands import DOCS, Page
from tests.processes import Server, free_port

OLD = {"2.8": CNCF_2, "3.1.1": CNCF_3}
STEPS = ["check-config", "tree", "before", "after", "scrub", "later", "back"]


@pytest.fixture
def skopeo(tmp_path: Path) -> Skopeo:
    (tmp_path / "skopeo").mkdir()
    return Skopeo(tmp_path / "skopeo")


def ours_on(old: Server) -> Server:
    """Our server in the place of the old one: the same config file, by the name of the old program."""
    code = "import sys; sys.argv[0] = 'registry'; from pyregistry.cli.registry import main; main()"
    return Server([sys.executable, "-c", code, "serve", str(old.config)], old.directory, old.port, old.config)


def work(kind: Kind, server: Server, number: int, skopeo: Skopeo, volume: Volume) -> None:
    with Wire(server) as wire:
        turn = Turn(number, kind, server, wire, skopeo, volume)
        turn.push(server.directory / f"layouts{number}")
        turn.move_tags()
        turn.sign()
        turn.delete()
        volume.check(wire)


@pytest.mark.parametrize("version", OLD)
def test_the_steps_of_the_page_lead_there_and_back(version: str, skopeo: Skopeo, tmp_path: Path) -> None:
    kind, volume = OLD[version], Volume()
    old = kind.make(tmp_path, free_port())
    page = Page("migrating.md", {"config.yml": str(old.config), "http://127.0.0.1:5000": old.url})
    assert list(page.blocks) == STEPS
    with old:
        work(kind, old, 0, skopeo, volume)
        page.run("check-config", tmp_path)
        assert "0 damaged, " in page.run("tree", tmp_path)
        page.run("before", tmp_path)
        rows = json.loads((tmp_path / "before.json").read_text())
        assert {(row["repository"], row["tag"]): row["digest"] for row in rows} == tags_of(volume)
    with old.config.open("a") as config:
        config.write("pyregistry: {workers: 2}\n")
    with ours_on(old) as server:
        page.run("after", tmp_path)
        pull_all(server, skopeo, volume, tmp_path / "pulled")
        work(OURS, server, 1, skopeo, volume)
        assert "0 damaged, " in page.run("scrub", tmp_path)
        page.run("later", tmp_path)
        page.run("before", tmp_path)
        page.run("after", tmp_path)
        with Wire(server) as wire:
            volume.check(wire)
            volume.check_referrers(wire)
        assert not server.faults(), server.output()
    with old, Wire(old) as wire:
        page.run("back", tmp_path)
        volume.check(wire)
        pull_all(old, skopeo, volume, tmp_path / "pulled again")
        wire.push("after", "latest", oci_image())
        volume.learn(wire, "after", "latest")
    run_collector(version, old.config)
    with old, Wire(old) as wire:
        volume.check(wire)


def tags_of(volume: Volume) -> dict[tuple[str, str], str]:
    return {(name, tag): digest for name, tags in volume.tags.items() for tag, digest in tags.items()}


def test_the_page_of_the_image_is_linked_and_there() -> None:
    text = (DOCS / "migrating.md").read_text()
    for name in ("replacing-the-cncf-image.md", "stricter-than-cncf.md", "backup.md"):
        assert f"({name})" in text
        assert (DOCS / name).exists()

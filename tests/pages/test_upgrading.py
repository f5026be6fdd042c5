"""docs/upgrading.md: an old version writes a tree, this one uses it, and the old one again."""

from pathlib import Path

import pytest

from tests.engine.containers import Skopeo
from tests.engine.test_volume_in_turn import Kind, Turn, pull_all, run_collector
from tests.engine.volume import Volume
from tests.engine.wire import Wire
from tests.pages.commands import Page
from tests.pages.versions import require_old, server_of, unpack_first_version
from tests.processes import Server, free_port, pyregistry_server


@pytest.fixture
def skopeo(tmp_path: Path) -> Skopeo:
    (tmp_path / "skopeo").mkdir()
    return Skopeo(tmp_path / "skopeo")


def serve_turn(kind: Kind, server: Server, number: int, skopeo: Skopeo, volume: Volume) -> Turn:
    """Check what is there, pull all of it, then push, move tags, sign and delete."""
    with Wire(server) as wire:
        volume.check(wire)
        pull_all(server, skopeo, volume, server.directory / "back")
        turn = Turn(number, kind, server, wire, skopeo, volume)
        turn.push(server.directory / f"layouts{number}")
        turn.move_tags()
        turn.sign()
        turn.delete()
        volume.check(wire)
        assert not server.faults(), server.output()
    return turn


def test_the_first_version_and_this_one_serve_one_tree_in_turn(skopeo: Skopeo, tmp_path: Path) -> None:
    source = unpack_first_version(tmp_path)
    require_old(source)
    port = free_port()
    volume = Volume()
    old = Kind(lambda directory, port: server_of(source, directory, port), lists_referrers=True)
    ours = Kind(pyregistry_server, lists_referrers=True)
    page = Page("upgrading.md", {"config.yml": str(tmp_path / "pyregistry.yml")})

    with old.make(tmp_path, port) as server:
        upload = serve_turn(old, server, 0, skopeo, volume)
        with Wire(server) as wire:
            upload.wire = wire
            begun = upload.begin_upload()
    page.run("check-config", tmp_path)
    with ours.make(tmp_path, port) as server:
        assert "0 damaged, " in page.run("verify", tmp_path)
        serve_turn(ours, server, 1, skopeo, volume)
        with Wire(server) as wire:
            Turn(1, ours, server, wire, skopeo, volume).end_upload(*begun)
            run_collector("ours", server.config)
            volume.check(wire)
            volume.check_referrers(wire)
        assert "0 damaged, " in page.run("verify", tmp_path)
    with old.make(tmp_path, port) as server:
        serve_turn(old, server, 2, skopeo, volume)
    with ours.make(tmp_path, port) as server, Wire(server) as wire:
        assert "0 damaged, " in page.run("verify", tmp_path)
        pull_all(server, skopeo, volume, tmp_path / "back")
        volume.check(wire)
        volume.check_referrers(wire)
        assert not server.faults(), server.output()

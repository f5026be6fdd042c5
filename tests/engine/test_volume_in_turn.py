"""One directory served in turn by the CNCF registry 2.8, by us, by the CNCF registry 3.1.1, and by us again.

Each pushes, moves tags and deletes; what the one before it left must be there for the next, whole and nothing else.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.engine.containers import Skopeo
from tests.engine.images import digest_of, layer, oci_image, write_layout
from tests.engine.test_cncf_tree import stored_blobs
from tests.engine.volume import Volume
from tests.engine.wire import Answer, Wire
from tests.processes import (
    SOURCE_TREE,
    Server,
    cncf3_program,
    cncf3_server,
    cncf_server,
    data_directory,
    free_port,
    pyregistry_server,
    require,
)


@dataclass(frozen=True)
class Kind:
    """One of the registries; 2.8 deletes no tags, and only we list referrers."""

    make: Callable[[Path, int], Server]
    deletes_tags: bool = True
    lists_referrers: bool = False


CNCF_2, CNCF_3 = Kind(cncf_server, deletes_tags=False), Kind(cncf3_server)
OURS = Kind(pyregistry_server, lists_referrers=True)
TURNS = {"2.8": CNCF_2, "ours": OURS, "3.1.1": CNCF_3, "ours again": OURS}

COLLECTORS: dict[str, Callable[[], list[str]]] = {
    "2.8": lambda: [require("docker-registry", "docker-registry"), "garbage-collect"],
    "3.1.1": lambda: [cncf3_program(), "garbage-collect"],
    # What was pushed a moment ago is not kept for pushes in progress: the other two keep nothing either.
    "ours": lambda: [sys.executable, "-m", "pyregistry", "gc", "--grace", "0"],
}
"""The commands that delete what no manifest needs; options and the config come last."""
ELIGIBLE = re.compile(r"^blob eligible for deletion: (sha256:\w+)$", re.MULTILINE)


def run_collector(collector: str, config: Path, *options: str) -> str:
    """Return the standard output of a collector."""
    words = [*COLLECTORS[collector](), *options, str(config)]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE_TREE), "OTEL_TRACES_EXPORTER": "none"}
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert done.returncode == 0, f"{collector}: {done.stdout}{done.stderr}"
    return done.stdout


def eligible(collector: str, config: Path) -> set[str]:
    """Return the digests that a collector would delete."""
    return set(ELIGIBLE.findall(run_collector(collector, config, "--dry-run")))


class Turn:
    """Work while one of them serves; names carry its number, and content of the one before is changed."""

    def __init__(self, number: int, kind: Kind, server: Server, wire: Wire, skopeo: Skopeo, volume: Volume) -> None:
        self.number = number
        self.kind = kind
        self.server = server
        self.wire = wire
        self.skopeo = skopeo
        self.volume = volume

    def push(self, layouts: Path) -> None:
        """An image, a Docker image and an index by skopeo, an image of two architectures that shares its layers."""
        layouts.mkdir()
        image = write_layout(layouts / "image", oci_image((100, 5000)))
        index = write_layout(layouts / "index", *(oci_image(architecture=name) for name in ("amd64", "arm64")))
        self._copy(image, f"turn{self.number}/image", "1", "--preserve-digests")
        self._copy(image, "shared/docker", f"v{self.number}", "--format", "v2s2")
        self._copy(index, "shared/index", f"v{self.number}", "--all", "--preserve-digests")
        self._copy(index, "shared/docker-list", f"v{self.number}", "--all", "--format", "v2s2")

    def move_tags(self) -> None:
        """`latest` names a new image; the one before can still be had by its digest."""
        for name in ("latest", f"v{self.number}", f"short-lived{self.number}"):
            self.volume.push(self.wire, "shared/image", name, oci_image((1000, 2000)))

    def sign(self) -> None:
        """Sign the images that were pushed now and those of a turn ago."""
        for repository in ("shared/image", "shared/index"):
            for number in {self.number, max(self.number - 1, 0)}:
                subject = self.volume.tags[repository][f"v{number}"]
                self.volume.sign(self.wire, repository, subject, os.urandom(100), listed=self.kind.lists_referrers)

    def delete(self) -> None:
        """Delete what the turn before pushed for it: an image by its digest, an index without its children, a tag."""
        for repository in ("shared/removed", f"turn{self.number}/removed"):
            self.volume.push(self.wire, repository, f"v{self.number}", oci_image((300, 400)))
        if self.number == 0:
            return
        before = self.number - 1
        for repository in ("shared/removed", f"turn{before}/removed"):
            self.volume.delete(self.wire, repository, self.volume.tags[repository][f"v{before}"])
        self.volume.delete(self.wire, "shared/docker-list", self.volume.tags["shared/docker-list"][f"v{before}"])
        if self.kind.deletes_tags:
            self.volume.delete_tag(self.wire, "shared/image", f"short-lived{before}")

    def begin_upload(self) -> tuple[str, bytes]:
        """Half of a layer; the path of its upload at any registry, and the whole."""
        content = layer(50_000)
        opened = self.wire.request("POST", "/v2/shared/image/blobs/uploads/", b"").must(202)
        half: Answer = self.wire.request("PATCH", opened.path, content[:20_000]).must(202)
        return half.path.partition("?")[0], content

    def end_upload(self, path: str, content: bytes) -> None:
        """The other half, to a registry that did not see the first."""
        state = self.wire.request("GET", path).must(204)
        assert state.headers["range"] == "0-19999"
        grown = self.wire.request("PATCH", path, content[20_000:], {"Content-Range": f"20000-{len(content) - 1}"}).must(
            202
        )
        self.wire.request("PUT", grown.path_with(digest=digest_of(content)), b"").must(201)

    def _copy(self, source: str, repository: str, tag: str, *options: str) -> None:
        self.skopeo.copy(source, f"docker://{self.server.host}/{repository}:{tag}", *options)
        self.volume.learn(self.wire, repository, tag)


def pull_all(server: Server, skopeo: Skopeo, volume: Volume, target: Path) -> None:
    """Pull every image, with a client that checks each digest; lists of referrers are not images."""
    for repository, tags in volume.tags.items():
        for tag in (tag for tag in tags if not tag.startswith("sha256-")):
            skopeo.copy(f"docker://{server.host}/{repository}:{tag}", f"dir:{target}", "--all", "--preserve-digests")


def test_a_volume_is_served_in_turn_by_all_of_them(skopeo: Skopeo, tmp_path: Path) -> None:
    port = free_port()
    volume = Volume()
    uploads: list[tuple[str, bytes]] = []
    for number, (name, kind) in enumerate(TURNS.items()):
        with kind.make(tmp_path, port) as server, Wire(server) as wire:
            volume.check(wire)
            pull_all(server, skopeo, volume, tmp_path / "back")
            if kind.lists_referrers:
                volume.check_referrers(wire)
            turn = Turn(number, kind, server, wire, skopeo, volume)
            turn.push(tmp_path / f"layouts{number}")
            turn.move_tags()
            turn.sign()
            turn.delete()
            if kind is OURS:
                turn.end_upload(*uploads.pop())
            else:
                uploads.append(turn.begin_upload())
            volume.check(wire)
            assert not server.faults(), server.output()
        garbage = stored_blobs(server) - volume.kept
        assert {collector: eligible(collector, server.config) for collector in COLLECTORS} == dict.fromkeys(
            COLLECTORS, garbage
        ), name


def test_nothing_is_lost_when_any_of_them_collects_what_we_left(skopeo: Skopeo, tmp_path: Path) -> None:
    port = free_port()
    volume = Volume()
    left = tmp_path / "left"
    left.mkdir()
    writer = pyregistry_server(left, port)
    for number in range(2):
        with writer as server, Wire(server) as wire:
            turn = Turn(number, OURS, server, wire, skopeo, volume)
            turn.push(tmp_path / f"layouts{number}")
            turn.move_tags()
            turn.sign()
            turn.delete()
    assert stored_blobs(writer) > volume.kept
    for collector in COLLECTORS:
        (tmp_path / collector).mkdir()
        server = pyregistry_server(tmp_path / collector, port)
        shutil.copytree(data_directory(left), data_directory(server.directory), dirs_exist_ok=True)
        run_collector(collector, server.config)
        assert stored_blobs(server) == volume.kept
        with server, Wire(server) as wire:
            volume.check(wire)
            volume.check_referrers(wire)

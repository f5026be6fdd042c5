"""Whatever was acknowledged survives kill -9 of the server, master and workers at once, at any moment."""

import http.client
import random
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.engine.images import Image, digest_of, layer, oci_image, unique
from tests.engine.wire import Wire
from tests.processes import Server, pyregistry_server

CRASHES = 50
ENOUGH = 10  # pushes that must have succeeded, and as many that were cut off; usual are 50 to 150
PUSHERS = 4
LONGEST = 0.3  # seconds between the server's start and its end
LAYERS = (3_000, 200_000)
REFUSED = (OSError, http.client.HTTPException)  # what a client sees of a server that dies


@dataclass
class Ledger:
    """The promises of the server, written down after each 201."""

    images: dict[tuple[str, str], Image] = field(default_factory=dict)  # by repository and tag
    blobs: list[tuple[str, bytes]] = field(default_factory=list)  # of pushes that were cut off later
    cut: int = 0
    faults: list[str] = field(default_factory=list)


class Pusher(threading.Thread):
    """A client that pushes small images, one after the other, to a server that dies again and again."""

    def __init__(self, server: Server, ledger: Ledger, alive: threading.Event, ended: threading.Event) -> None:
        super().__init__()
        self.server = server
        self.ledger = ledger
        self.alive = alive
        self.ended = ended
        self.repository = unique("crash")

    def run(self) -> None:
        number = 0
        while not self.ended.is_set():
            if self.alive.wait(0.05):
                self._push(f"v{number}")
                number += 1

    def _push(self, tag: str) -> None:
        image = oci_image(LAYERS)
        done: list[tuple[str, bytes]] = []
        try:
            with Wire(self.server) as wire:
                for blob in image.blobs:
                    wire.push_blob(self.repository, blob)
                    done.append((self.repository, blob))
                wire.push_manifest(self.repository, tag, image.manifest)
        except REFUSED:
            self.ledger.blobs += done
            self.ledger.cut += bool(done)
        except AssertionError as error:
            self.ledger.faults.append(str(error))
        else:
            self.ledger.images[self.repository, tag] = image


def torn_links(server: Server) -> list[Path]:
    """Links that name nothing: a reader of the CNCF layout stumbles over them."""
    return [link for link in server.tree.rglob("link") if not link.read_bytes().startswith(b"sha256:")]


def torn_blobs(server: Server) -> list[Path]:
    """Blobs whose content is not what their name says."""
    found = server.tree.glob("blobs/sha256/*/*/data")
    return [data for data in found if digest_of(data.read_bytes()) != f"sha256:{data.parent.name}"]


def crash_again_and_again(server: Server, alive: threading.Event) -> None:
    """Let it live for a moment, kill all of it, look at the tree, start it again."""
    for _ in range(CRASHES):
        alive.set()
        time.sleep(random.uniform(0, LONGEST))
        server.kill()
        alive.clear()
        assert not torn_links(server)
        server.start()


def verify(server: Server, ledger: Ledger) -> None:
    """Fetch every promise and hash it."""
    with Wire(server) as wire:
        for (repository, tag), image in ledger.images.items():
            assert wire.digest(repository, tag) == digest_of(image.manifest), f"{repository}:{tag}"
        expected = [(name, blob) for (name, _), image in ledger.images.items() for blob in image.blobs]
        for repository, blob in expected + ledger.blobs:
            path = f"/v2/{repository}/blobs/{digest_of(blob)}"
            assert wire.request("GET", path).must(200).body == blob, path


def test_acknowledged_images_survive_kill_9_in_the_middle_of_pushes(scratch: Path) -> None:
    directory = scratch / unique("crash")
    directory.mkdir()
    alive, ended, ledger = threading.Event(), threading.Event(), Ledger()
    with pyregistry_server(directory) as server:
        pushers = [Pusher(server, ledger, alive, ended) for _ in range(PUSHERS)]
        for pusher in pushers:
            pusher.start()
        try:
            crash_again_and_again(server, alive)
        finally:
            ended.set()
            for pusher in pushers:
                pusher.join()
        assert not ledger.faults, ledger.faults[:5]
        assert len(ledger.images) >= ENOUGH, "too few pushes succeeded to tell anything"
        assert ledger.cut >= ENOUGH, "too few pushes were cut off to tell anything"
        verify(server, ledger)
        assert not server.faults(), server.faults()[:5]
        assert not torn_blobs(server)


def test_upload_goes_on_after_kill_9_where_it_was(scratch: Path) -> None:
    directory = scratch / unique("crash")
    directory.mkdir()
    content = layer(3_000_000)
    half = len(content) // 2
    with pyregistry_server(directory, http={"secret": "the same after the restart"}) as server:
        with Wire(server) as wire:
            opened = wire.request("POST", "/v2/crash/upload/blobs/uploads/", b"").must(202)
            begun = wire.request("PATCH", opened.path, content[:half]).must(202)
        server.kill()
        server.start()
        with Wire(server) as wire:
            status = wire.request("GET", begun.path).must(204)
            assert status.headers["range"] == f"0-{half - 1}"
            grown = wire.request("PATCH", status.path, content[half:]).must(202)
            wire.request("PUT", grown.path_with(digest=digest_of(content)), b"").must(201)
            path = f"/v2/crash/upload/blobs/{digest_of(content)}"
            assert wire.request("GET", path).must(200).body == content

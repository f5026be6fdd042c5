"""Clients that push, move tags and delete while garbage is collected, and images that stay as they are."""

import json
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from tests.engine.images import Image, digest_of, layer, oci_image
from tests.engine.wire import Wire
from tests.processes import Server, wait_until

BUSY = 75
ROUNDS = 3


def gc(server: Server) -> int:
    """Collect all that is not tagged, as an operator may at any time; return the status."""
    command = [sys.executable, "-m", "pyregistry", "gc", "-m", "-q", str(server.config)]
    return subprocess.run(command, env=server.env, capture_output=True, timeout=60, check=False).returncode


def require_whole(wire: Wire, repository: str, reference: str) -> str:
    """Pull an image with all its blobs; return its digest."""
    manifest = wire.manifest(repository, reference).must(200).body
    for each in (json.loads(manifest)["config"], *json.loads(manifest)["layers"]):
        content = wire.request("GET", f"/v2/{repository}/blobs/{each['digest']}").must(200).body
        assert digest_of(content) == each["digest"]
    return digest_of(manifest)


@dataclass
class Load:
    """Clients that push, move tags and delete until they are stopped, and a collector."""

    server: Server
    base: bytes = field(default_factory=lambda: layer(30_000))
    pushed: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Digests that `latest` of a repository named, or may name."""
    rounds: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    failures: list[BaseException] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator["Load"]:
        works = [partial(self._push, "app"), partial(self._push, "team/app"), self._collect]
        threads = [threading.Thread(target=self._guarded, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self.stopping.set()
            for thread in threads:
                thread.join()
        assert not self.failures, self.failures

    def go_on(self) -> None:
        """Wait for some rounds more of everything."""
        goal = {name: self.rounds[name] + ROUNDS for name in ("app", "team/app", "gc")}

        def is_reached() -> bool:
            return bool(self.failures) or all(self.rounds[name] >= number for name, number in goal.items())

        wait_until(is_reached, f"the rounds {goal}", 120)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            while not self.stopping.is_set():
                work()
        except BaseException as error:
            self.failures.append(error)

    def _push(self, name: str) -> None:
        number = self.rounds[name]
        with Wire(self.server) as wire:
            image = with_layer(oci_image((500, 9000)), self.base)
            self.pushed[name].add(digest_of(image.manifest))
            wire.push(name, "latest", image)
            wire.push(name, f"v{number}", with_layer(oci_image((700,)), self.base))
            if number >= 2:
                digest = wire.digest(name, f"v{number - 2}")
                wire.request("DELETE", f"/v2/{name}/manifests/{digest}").must(202)
        self.rounds[name] += 1

    def _collect(self) -> None:
        assert gc(self.server) in {0, BUSY}
        self.rounds["gc"] += 1


def with_layer(image: Image, content: bytes) -> Image:
    """The image with one layer more, which others have as well."""
    manifest = json.loads(image.manifest)
    kind = manifest["layers"][0]["mediaType"]
    manifest["layers"].append({"mediaType": kind, "digest": digest_of(content), "size": len(content)})
    return Image(json.dumps(manifest).encode(), image.config, (*image.layers, content), image.platform)


def push_steady(server: Server, load: Load) -> dict[tuple[str, str], str]:
    """Images that stay as they are; with their digests."""
    steady = {}
    with Wire(server) as wire:
        for number in range(12):
            repository, tag = f"steady/r{number % 4}", f"v{number}"
            wire.push(repository, tag, with_layer(oci_image((1000, 3000)), load.base))
            steady[repository, tag] = wire.digest(repository, tag)
    return steady

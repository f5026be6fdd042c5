"""Real clients push, mount, attach, delete and remove without a pause while garbage is collected every two seconds.

    python -m tests.soak --seconds 300

Each client has repositories of its own, of images that share their lower layers with all the others. Whatever a client
was told is pushed must be there and whole, at once and at the end, and no push may fail. In the last fifth of the time
the grace is 0: then a push may be told that a blob is not there, and nothing else, and still no image breaks.
"""

import argparse
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.clients.programs import built, own_settings
from tests.engine.images import Image, digest_of, layer, oci_image, oci_index, write_layout
from tests.engine.wire import Wire
from tests.processes import Server, pyregistry_server, require

BASES = 6
GC_PAUSE = 2.0
KEEP = 6
"""Images that a client leaves in each of its repositories."""
REFUSED = ("MANIFEST_BLOB_UNKNOWN", "manifest blob unknown", "blob unknown to registry")


@dataclass
class Soak:
    """The state that all clients share."""

    server: Server
    scratch: Path
    end: float
    careless_from: float
    """From then on the grace is 0."""
    bases: tuple[bytes, ...]
    done: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_careless(self) -> bool:
        """Return True if a push may be refused at this moment."""
        return time.monotonic() >= self.careless_from

    def count(self, what: str) -> None:
        """One more."""
        with self.lock:
            self.done[what] += 1

    def fail(self, what: str) -> None:
        """Note a failure, which must never happen."""
        with self.lock:
            self.failures.append(what)

    def image(self, chance: random.Random) -> Image:
        """Make an image of some layers that all share, and one that no other client has."""
        made = oci_image([chance.randrange(1_000, 60_000)])
        layers = (*chance.sample(self.bases, 3), *made.layers)
        manifest = json.loads(made.manifest)
        kind = manifest["layers"][0]["mediaType"]
        manifest["layers"] = [{"mediaType": kind, "digest": digest_of(each), "size": len(each)} for each in layers]
        return Image(json.dumps(manifest).encode(), made.config, layers, made.platform)


class Pusher(threading.Thread):
    """One client in its own repositories."""

    def __init__(self, soak: Soak, name: str, push: "Callable[[Pusher, Path, str], list[str]]") -> None:
        super().__init__(name=name)
        self.soak = soak
        self.home = soak.scratch / name
        self.home.mkdir()
        self.chance = random.Random(name)
        self.there: dict[tuple[str, str], str] = {}
        """Repository and tag of each image that was pushed and not deleted, with its digest."""
        self.attached: list[tuple[str, str, str]] = []
        """Repository, digest and subject of each referrer."""
        self._push = push
        self._env = {**own_settings(self.home), "PATH": os.environ["PATH"]}

    def run(self) -> None:
        """Until the time is over."""
        for number in itertools.count():
            if time.monotonic() >= self.soak.end or self.soak.failures:
                return
            try:
                self._turn(number)
            except Exception as error:
                self.soak.fail(f"{self.name}: {error!r}")

    def _turn(self, number: int) -> None:
        repository = f"soak/{self.name}/{number % 3}"
        layout = self.home / f"layout{number}"
        images = [self.soak.image(self.chance) for _ in range(self.chance.choice([1, 1, 1, 2]))]
        write_layout(layout, *images)
        tag = f"v{number}" if self.chance.random() < 0.8 else "latest"
        pushed = self._command(self._push(self, layout, f"{self.soak.server.host}/{repository}:{tag}"))
        shutil.rmtree(layout)
        if not pushed:
            return
        self.soak.count(f"pushed by {self.name}")
        digest = digest_of(images[0].manifest if len(images) == 1 else oci_index(*images))
        self.there[repository, tag] = digest
        self._check(repository, tag, digest)
        if self.chance.random() < 0.3:
            self._attach(repository, digest)
        self._tidy(repository)

    def _command(self, command: list[str]) -> bool:
        careless = self.soak.is_careless
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, env=self._env, cwd=self.home, check=False
        )
        if done.returncode == 0:
            return True
        said = done.stdout + done.stderr
        if (careless or self.soak.is_careless) and any(word in said for word in REFUSED):
            self.soak.count("refused with a grace of 0")
        else:
            self.soak.fail(f"{' '.join(command)}{' (grace of 0)' if careless else ''}\n{said[-4000:]}")
        return False

    def _check(self, repository: str, reference: str, digest: str) -> None:
        with Wire(self.soak.server) as wire:
            check_whole(wire, repository, reference, digest)
        self.soak.count("pulled")

    def _attach(self, repository: str, subject: str) -> None:
        """A referrer, by digest and without a tag, as signatures are."""
        with Wire(self.soak.server) as wire:
            content = layer(500)
            config = b"{}"
            for blob in (content, config):
                wire.push_blob(repository, blob)
            size = int(wire.manifest(repository, subject).must(200).headers["content-length"])
            manifest = json.dumps(
                {
                    "schemaVersion": 2,
                    "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "artifactType": "application/vnd.test.signature",
                    "config": {
                        "mediaType": "application/vnd.oci.empty.v1+json",
                        "digest": digest_of(config),
                        "size": len(config),
                    },
                    "layers": [{"mediaType": "text/plain", "digest": digest_of(content), "size": len(content)}],
                    "subject": {
                        "mediaType": "application/vnd.oci.image.manifest.v1+json",
                        "digest": subject,
                        "size": size,
                    },
                }
            ).encode()
            answer = wire.request(
                "PUT",
                f"/v2/{repository}/manifests/{digest_of(manifest)}",
                manifest,
                {"Content-Type": "application/vnd.oci.image.manifest.v1+json"},
            )
            if answer.status == 404 and self.soak.is_careless:
                return
            answer.must(201)
            self.attached.append((repository, digest_of(manifest), subject))
            check_whole(wire, repository, digest_of(manifest), digest_of(manifest))
        self.soak.count("attached")

    def _tidy(self, repository: str) -> None:
        mine = [key for key in self.there if key[0] == repository]
        if self.chance.random() < 0.05:
            self._remove(self.soak.server.tree / "repositories" / repository)
            self._forget(repository)
            self.soak.count("repositories removed")
        elif len(mine) > KEEP:
            tag = self.chance.choice(mine)[1]
            digest = self.there.pop((repository, tag))
            by_digest = self.chance.random() < 0.5 and digest not in self.there.values()
            with Wire(self.soak.server) as wire:
                wire.request("DELETE", f"/v2/{repository}/manifests/{digest if by_digest else tag}").must(202)
            self.soak.count("manifests deleted" if by_digest else "tags deleted")

    def _remove(self, directory: Path) -> None:
        """As an operator does; a collection that tidies up the same directory may make rm stumble over a new name."""
        for _ in range(5):
            if subprocess.run(["rm", "-fr", str(directory)], check=False, capture_output=True).returncode == 0:
                return
        self.soak.fail(f"{directory} cannot be removed")

    def _forget(self, repository: str) -> None:
        self.there = {key: digest for key, digest in self.there.items() if key[0] != repository}
        self.attached = [each for each in self.attached if each[0] != repository]


def check_whole(wire: Wire, repository: str, reference: str, digest: str) -> None:
    """The manifest, all its blobs and children, byte for byte by their digests."""
    answer = wire.manifest(repository, reference).must(200)
    assert digest_of(answer.body) == digest, f"{repository}:{reference} is {digest_of(answer.body)}, not {digest}"
    document = answer.json()
    for child in document.get("manifests", ()):
        check_whole(wire, repository, child["digest"], child["digest"])
    for each in [*document.get("layers", ()), *([document["config"]] if "config" in document else ())]:
        blob = wire.request("GET", f"/v2/{repository}/blobs/{each['digest']}").must(200)
        assert digest_of(blob.body) == each["digest"], f"{repository}: {each['digest']}"


def crane(_: Pusher, layout: Path, target: str) -> list[str]:
    """crane asks by HEAD and mounts."""
    return [built("crane"), "push", "--insecure", str(layout), target]


def skopeo(_: Pusher, layout: Path, target: str) -> list[str]:
    """skopeo asks by HEAD, and mounts what it remembers; why an index was refused it says only when it debugs."""
    copy = [require("skopeo", "skopeo"), "--debug", "copy", "--all", "--preserve-digests", "--dest-tls-verify=false"]
    return [*copy, f"oci:{layout}:it", f"docker://{target}"]


def oras(_: Pusher, layout: Path, target: str) -> list[str]:
    """oras asks by HEAD, and puts each blob in one request."""
    return [built("oras"), "cp", "--from-oci-layout", "--to-plain-http", f"{layout}:it", target]


def regctl(pusher: Pusher, layout: Path, target: str) -> list[str]:
    """regctl mounts without a source, and puts each blob in one request."""
    host = target.partition("/")[0]
    (pusher.home / "regctl.json").write_text(json.dumps({"hosts": {host: {"tls": "disabled"}}}))
    return [built("regctl"), "image", "copy", f"ocidir://{layout}:it", target]


CLIENTS = [crane, skopeo, oras, regctl] * 2
RUNS_BESIDE_A_REMOVAL = 5


def collect(soak: Soak, *options: str) -> None:
    """Collect garbage once, while the server runs.

    A run that meets a repository of which `rm` has removed a part keeps the rest, and ends with 2. What is damaged for
    good ends the next runs with 2 as well.
    """
    command = [sys.executable, "-m", "pyregistry", "gc", "--json", *options, str(soak.server.config)]
    run_once = partial(
        subprocess.run, command, capture_output=True, text=True, timeout=300, env=soak.server.env, check=False
    )
    done = run_once()
    for _ in range(RUNS_BESIDE_A_REMOVAL):
        if done.returncode != 2:
            break
        soak.count("runs of gc that met a removal")
        done = run_once()
    if done.returncode:
        soak.fail(f"gc {options} ended with {done.returncode}: {done.stderr[-2000:]}{done.stdout[-2000:]}")
        return
    report = json.loads(done.stdout)
    soak.count("runs of gc")
    with soak.lock:
        soak.done["blobs freed"] += report["blobs_removed"]
        soak.done["manifests freed"] += report["manifests_removed"]


def run(seconds: float, scratch: Path) -> Soak:
    """All of it; what failed is in the result."""
    with pyregistry_server(scratch, pyregistry={"workers": 2}) as server:
        begin = time.monotonic()
        bases = tuple(layer(200_000, f"base{number}") for number in range(BASES))
        soak = Soak(server, scratch, begin + seconds, begin + seconds * 0.8, bases)
        pushers = [Pusher(soak, f"{client.__name__}{number}", client) for number, client in enumerate(CLIENTS)]
        for pusher in pushers:
            pusher.start()
        while time.monotonic() < soak.end and not soak.failures:
            time.sleep(GC_PAUSE)
            options = ["-m"] if soak.done["runs of gc"] % 2 else []
            collect(soak, *options, *(["--grace", "0"] if soak.is_careless else []))
        for pusher in pushers:
            pusher.join()
        check_all(soak, pushers)
        for line in server.faults():
            soak.fail(line)
    return soak


def check_all(soak: Soak, pushers: list[Pusher]) -> None:
    """Every image that was pushed and not deleted, after everything, and after a last run without any grace."""
    for last in (False, True):
        if last:
            collect(soak, "-m", "--grace", "0")
        with Wire(soak.server) as wire:
            for pusher in pushers:
                alive = {(repository, digest) for (repository, _), digest in pusher.there.items()}
                expected = [(repository, tag, digest) for (repository, tag), digest in pusher.there.items()]
                expected += [(each[0], each[1], each[1]) for each in pusher.attached if (each[0], each[2]) in alive]
                for repository, tag, digest in expected:
                    try:
                        check_whole(wire, repository, tag, digest)
                    except AssertionError as error:
                        soak.fail(f"broken at the end: {repository}:{tag}: {error}")
                    soak.count("pulled at the end")


def main() -> int:
    """Run, and say what was done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    with tempfile.TemporaryDirectory(prefix="soak") as scratch:
        soak = run(parser.parse_args().seconds, Path(scratch))
    for what, times in sorted(soak.done.items()):
        print(f"{times:8} {what}")  # noqa: T201 - what it is for
    for failure in soak.failures:
        print(failure, file=sys.stderr)  # noqa: T201 - the same
    return 1 if soak.failures else 0


if __name__ == "__main__":
    sys.exit(main())

"""Generates data directories with any number of images, of blobs of a few bytes, some of them garbage."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

from tests.builders import IMAGE_CONFIG, LAYER, OCI_MANIFEST

_LONG_AGO = 1_700_000_000
"""The time of all links, old enough for all leases and clocks."""
_NEW_LAYERS = 4
_SHARED_LAYERS = 2


class Tree:
    """A tree in the CNCF layout, written without a server."""

    def __init__(self, root: Path) -> None:
        self._v2 = f"{root}/docker/registry/v2"
        self.blobs = 0

    def add_blob(self, content: bytes) -> str:
        """Add a blob; return its digest."""
        encoded = hashlib.sha256(content).hexdigest()
        self._write(f"{self._v2}/blobs/sha256/{encoded[:2]}/{encoded}", "data", content)
        self.blobs += 1
        return f"sha256:{encoded}"

    def link_blob(self, repository: str, digest: str) -> None:
        """Link a blob to a repository."""
        self._link(f"{self._v2}/repositories/{repository}/_layers/{digest.replace(':', '/')}", digest)

    def link_manifest(self, repository: str, digest: str, tags: Iterable[str]) -> None:
        """Link a manifest to a repository, with these tags."""
        manifests = f"{self._v2}/repositories/{repository}/_manifests"
        self._link(f"{manifests}/revisions/{digest.replace(':', '/')}", digest)
        for tag in tags:
            self._link(f"{manifests}/tags/{tag}/index/{digest.replace(':', '/')}", digest)
            self._link(f"{manifests}/tags/{tag}/current", digest)

    def _link(self, directory: str, digest: str) -> None:
        if not os.path.exists(f"{directory}/link"):  # noqa: PTH110 - a million calls: a Path for each is dear
            self._write(directory, "link", digest.encode())
            os.utime(f"{directory}/link", (_LONG_AGO, _LONG_AGO))

    def _write(self, directory: str, name: str, content: bytes) -> None:
        os.makedirs(directory, exist_ok=True)  # noqa: PTH103 - a million calls: a Path for each is dear
        handle = os.open(f"{directory}/{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.write(handle, content)
        os.close(handle)


class GeneratedTree(Tree):
    """A tree with any number of images, some of them unreferenced."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._contents = (f"blob {number}".encode() for number in count())

    def add_images(self, repositories: int, each: int, *, lost_every: int = 0) -> None:
        """Add `repositories` times `each` images, every `lost_every`-th without links to its manifest."""
        for number, name in enumerate(names(repositories)):
            shared = [self._new_blob() for _ in range(_SHARED_LAYERS)]
            for image in range(each):
                lost = bool(lost_every) and (number * each + image) % lost_every == 0
                self._add_image(name, f"v{image}", shared, lost=lost)

    def _add_image(self, repository: str, tag: str, shared: list[str], *, lost: bool) -> None:
        config, *layers = (self._new_blob() for _ in range(1 + _NEW_LAYERS))
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": IMAGE_CONFIG, "digest": config, "size": 10},
            "layers": [{"mediaType": LAYER, "digest": digest, "size": 10} for digest in (*shared, *layers)],
        }
        digest = self.add_blob(json.dumps(manifest).encode())
        for blob in (config, *shared, *layers):
            self.link_blob(repository, blob)
        if not lost:
            self.link_manifest(repository, digest, [tag])

    def _new_blob(self) -> str:
        return self.add_blob(next(self._contents))


def names(repositories: int) -> Iterator[str]:
    """Yield names of repositories, a hundred in each namespace."""
    for number in range(repositories):
        yield f"team{number // 100:03}/app{number % 100:02}"

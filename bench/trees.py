"""Data directories with many repositories or tags, in the layout that all of them but zot and olareg share."""

import os
from pathlib import Path

from tests.engine.images import Image, digest_of, oci_image


def make_tree(data: Path, repositories: int, tags: int) -> Image:
    """`repositories` with one tag each, `r000000` and so on, and one more, `tagged`, with `tags` of them."""
    image = oci_image([1024])
    root = data / "docker/registry/v2"
    for blob in (*image.blobs, image.manifest):
        encoded = digest_of(blob).partition(":")[2]
        path = root / "blobs/sha256" / encoded[:2] / encoded / "data"
        path.parent.mkdir(parents=True)
        path.write_bytes(blob)
    for number in range(repositories):
        _make_repository(f"{root}/repositories/{name_of(number)}", image, ["v1"])
    _make_repository(f"{root}/repositories/tagged", image, [tag_of(number) for number in range(tags)])
    return image


def name_of(number: int) -> str:
    """The repository of that number."""
    return f"r{number:06}"


def tag_of(number: int) -> str:
    """The tag of that number."""
    return f"t{number:06}"


def _make_repository(path: str, image: Image, tags: list[str]) -> None:
    # Strings and os, not pathlib: two million calls.
    link = digest_of(image.manifest).encode()
    for blob in image.blobs:
        _write(f"{path}/_layers/sha256/{digest_of(blob).partition(':')[2]}", digest_of(blob).encode())
    _write(f"{path}/_manifests/revisions/sha256/{digest_of(image.manifest).partition(':')[2]}", link)
    for tag in tags:
        _write(f"{path}/_manifests/tags/{tag}/current", link)


def _write(directory: str, content: bytes) -> None:
    os.makedirs(directory)  # noqa: PTH103 - two million calls: a Path for each is dear
    handle = os.open(f"{directory}/link", os.O_WRONLY | os.O_CREAT, 0o644)
    os.write(handle, content)
    os.close(handle)

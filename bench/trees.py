"""Data directories with many repositories or tags, in the layout of all registries but zot and olareg."""

from pathlib import Path

from bench.generated import Tree
from tests.engine.images import Image, oci_image


def make_tree(data: Path, repositories: int, tags: int) -> Image:
    """Make `repositories` with one tag each, `r000000` and so on, and `tagged` with so many `tags`.

    A repository is 20 inodes, a tag 7. A tmpfs has one for every two pages of the machine's memory.
    """
    image = oci_image([1024])
    tree = Tree(data)
    blobs, manifest = [tree.add_blob(blob) for blob in image.blobs], tree.add_blob(image.manifest)
    of = {name_of(number): ["v1"] for number in range(repositories)}
    if tags:
        of["tagged"] = [tag_of(number) for number in range(tags)]
    for name, tagged in of.items():
        for blob in blobs:
            tree.link_blob(name, blob)
        tree.link_manifest(name, manifest, tagged)
    return image


def name_of(number: int) -> str:
    """Return the name of that repository."""
    return f"r{number:06}"


def tag_of(number: int) -> str:
    """Return the name of that tag."""
    return f"t{number:06}"

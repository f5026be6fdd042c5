"""`pyregistry ls`: lists repositories and images."""

import sys
from typing import Annotated

import typer

from pyregistry.cli.config_file import ConfigOption, load_or_fail
from pyregistry.cli.data_directory import open_storage, report_empty, unusable_directory
from pyregistry.cli.output import print_json
from pyregistry.cli.selection import Pattern, report_missed
from pyregistry.cli.tables import ByteCount, Cell, Moment, Narrower, is_terminal, print_table
from pyregistry.inventory.images import TaggedImage, tagged_images
from pyregistry.storage.backend import Backend

NOT_FOUND = 1


def ls(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[REPOSITORY[:TAG]]...",
            help="Show tags of these; * ? and [...] are wildcards. Give the config with -c.",
        ),
    ] = None,
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show all repositories, or the tags of the given ones, with types and times of their pushes.

    A size is that of all platforms, including content shared with other images; `pyregistry du` separates the two.

    Exit status: 0 done; 1 something was not found; 2 the config is unusable.
    """
    patterns = [Pattern.parse(name) for name in names or ()]
    backend = open_storage(load_or_fail(config)[1])
    with unusable_directory():
        if patterns:
            _show_tags(backend, patterns, as_json=as_json)
        else:
            _show_repositories(backend, as_json=as_json, named=config is not None)


def _show_repositories(backend: Backend, *, as_json: bool, named: bool) -> None:
    registry = backend.registry()
    rows: list[tuple[Cell, ...]] = []
    for name in registry.catalog():
        images = list(tagged_images(backend.objects, registry.repository(name)))
        size = sum({digest: size for image in images for digest, size in image.blobs.items()}.values())
        pushed: Cell = Moment(max(image.pushed_at for image in images)) if images else ""
        rows.append((name, len(images), ByteCount(size), pushed))
    if as_json:
        keys = ("repository", "tags", "size", "pushed_at")
        print_json([dict(zip(keys, map(_for_json, row), strict=True)) for row in rows])
    elif rows:
        narrowers = (Narrower("PUSHED", _date), Narrower("PUSHED"), Narrower("TAGS"))
        print_table(("REPOSITORY", "TAGS", "SIZE", "PUSHED"), rows, narrowers)
    elif not named:
        report_empty(backend)


def _show_tags(backend: Backend, patterns: list[Pattern], *, as_json: bool) -> None:
    registry = backend.registry()
    images = []
    found: set[str] = set()
    for name in registry.catalog():
        meant = [pattern for pattern in patterns if pattern.matches_repository(name)]
        for image in tagged_images(backend.objects, registry.repository(name)) if meant else ():
            by = {pattern.text for pattern in meant if pattern.matches(image.tag, image.digest)}
            if by:
                images.append(image)
            found |= by
        found |= {pattern.text for pattern in meant if pattern.tag is None and pattern.digest is None}
    if as_json:
        print_json([_document(image) for image in images])
    elif images:
        columns = ("REPOSITORY", "TAG", "DIGEST", "TYPE", "PLATFORMS", "SIZE", "PUSHED")
        print_table(columns, [_row(image) for image in images], _NARROWERS)
    missed = [pattern.text for pattern in patterns if pattern.text not in found]
    report_missed(missed)
    if missed:
        sys.exit(NOT_FOUND)


def _date(moment: str) -> str:
    return moment.partition(" ")[0]


def _first_platform(platforms: str) -> str:
    first, *others = platforms.split(",")
    return f"{first} +{len(others)}" if others else first


def _without_algorithm(digest: str) -> str:
    return digest.rpartition(":")[2]


_NARROWERS = (
    Narrower("PLATFORMS", _first_platform),
    Narrower("TYPE"),
    Narrower("PUSHED", _date),
    Narrower("DIGEST", _without_algorithm),
    Narrower("PLATFORMS"),
    Narrower("PUSHED"),
    Narrower("DIGEST"),
    Narrower("SIZE"),
)
"""Order in which columns are narrowed or dropped on a narrow terminal; `--json` and a pipe have all."""


def _row(image: TaggedImage) -> tuple[Cell, ...]:
    digest = image.digest or "torn"
    return (
        image.repository,
        image.tag,
        digest[: len("sha256:") + 12] if is_terminal() else digest,
        _short(image.media_type) if is_terminal() else image.media_type,
        ",".join(image.platforms),
        ByteCount(image.size),
        Moment(image.pushed_at),
    )


def _short(media_type: str) -> str:
    """Return the type in short words."""
    kind = "index" if "index" in media_type or ".list." in media_type else "manifest"
    if not media_type:
        return "missing"
    return f"{'Docker' if 'docker' in media_type else 'OCI'} {kind}"


def _document(image: TaggedImage) -> dict[str, object]:
    return {
        "repository": image.repository,
        "tag": image.tag,
        "digest": image.digest,
        "media_type": image.media_type,
        "platforms": image.platforms,
        "size": image.size,
        "pushed_at": Moment(image.pushed_at).text,
    }


def _for_json(cell: Cell) -> object:
    return cell.text if isinstance(cell, Moment) else None if cell == "" else cell

"""The directories that are, or could be, repositories."""

from collections.abc import Iterator
from contextlib import suppress

from pyregistry.oci.errors import NameInvalid
from pyregistry.oci.names import NAME_COMPONENTS, RepositoryName
from pyregistry.storage import layout
from pyregistry.storage.driver import Driver
from pyregistry.storage.layout import StoragePath


def walk_repositories(driver: Driver, after: str | None = None, *, strict: bool = False) -> Iterator[RepositoryName]:
    """Every directory behind `after` that could be a repository, whatever is in it. Blocks.

    In the order of their components, as if `/` were the lowest character: `a`, `a/b`, `a-b`, which is the order of a
    walk. With `strict` it raises NameInvalid for what it would leave out: a repository whose name no client could say,
    and a symbolic link.
    """
    yield from _walk(driver, layout.REPOSITORIES, (), tuple(after.split("/")) if after else (), strict=strict)


def _walk(
    driver: Driver, path: StoragePath, parents: tuple[str, ...], after: tuple[str, ...], *, strict: bool
) -> Iterator[RepositoryName]:
    if after and len(parents) < NAME_COMPONENTS:
        with suppress(ValueError):  # `last` comes from the client and need not name anything
            yield from _walk(driver, layout.child(path, after[0]), (*parents, after[0]), after[1:], strict=strict)
    if strict:
        _require_no_link(driver, path)
    for child in driver.children(path, after[0] if after else None):
        if child in layout.OF_A_REPOSITORY and strict:
            _require_name("/".join(parents))
        if child.startswith("_") or (len(parents) >= NAME_COMPONENTS and not strict):
            continue
        with suppress(NameInvalid):
            yield RepositoryName("/".join((*parents, child)))
        yield from _walk(driver, layout.child(path, child), (*parents, child), (), strict=strict)


def _require_no_link(driver: Driver, path: StoragePath) -> None:
    # Its repositories can be pulled by their names, and no walk ever sees them.
    for name in driver.symbolic_links(path):
        if not name.startswith("_"):
            raise NameInvalid(f"{path}/{name} is a symbolic link, which is not followed")


def _require_name(directory: str) -> None:
    try:
        RepositoryName(directory)
    except NameInvalid as error:
        raise NameInvalid(f"{directory}: {error.detail}") from error

"""The directories that are, or could be, repositories."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from pyregistry.oci.errors import NameInvalid
from pyregistry.oci.names import NAME_COMPONENTS, RepositoryName
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import Objects
from pyregistry.storage.seams.reserved import is_of_file_system, is_reserved
from pyregistry.threads.fair_scheduler import Steps

Enter = Callable[[str], bool]
"""Returns True for a namespace to enter; the empty one holds all repositories."""


def walk_repositories(objects: Objects, after: str | None = None, *, strict: bool = False) -> Iterator[RepositoryName]:
    """Yield every directory after `after` that could be a repository, with any content. Blocks.

    In the order of their components, as if `/` were the lowest character: `a`, `a/b`, `a-b`, which is the order of a
    walk. With `strict` it raises NameInvalid for what it would leave out: a symbolic link, or a repository with an
    invalid name, such as one that an operator put aside as `.app.old`.
    """
    walk = _Walk(objects, strict=strict, enter=lambda _: True)
    return (name for name in walk.below(layout.REPOSITORIES, (), _components(after)) if name is not None)


def walk_in_steps(objects: Objects, after: str | None, enter: Enter) -> Steps[RepositoryName]:
    """Do the same in steps, without the namespaces that `enter` leaves out, which are not read. Blocks."""
    return _Walk(objects, strict=False, enter=enter).below(layout.REPOSITORIES, (), _components(after))


def _components(after: str | None) -> tuple[str, ...]:
    """Return the position after which a walk continues; it need not be a name, since a client may send anything."""
    return tuple(after.split("/")) if after else ()


@dataclass(frozen=True, slots=True)
class _Walk:
    objects: Objects
    strict: bool
    enter: Enter

    def below(
        self, path: StoragePath, parents: tuple[str, ...], after: tuple[str, ...] = ()
    ) -> Iterator[RepositoryName | None]:
        """Yield the repositories below a directory in the order of their names; None for other directories."""
        if not self.enter("/".join(parents)):
            return
        if after and _name((*parents, after[0])) is not None:
            yield from self.below(layout.child(path, after[0]), (*parents, after[0]), after[1:])
        if self.strict:
            _require_no_link(self.objects, path)
        for child in self.objects.children(path, after[0] if after else None):
            if child in layout.OF_A_REPOSITORY and self.strict:
                _require_name("/".join(parents))
            if self._passes_over(path, parents, child):
                continue
            name = _name((*parents, child))
            yield name
            if name is not None or self.strict:  # below an invalid name there are no valid ones
                yield from self.below(layout.child(path, child), (*parents, child))

    def _passes_over(self, path: StoragePath, parents: tuple[str, ...], child: str) -> bool:
        if self.strict and is_reserved(child):
            self._require_no_repository(layout.child(path, child), (*parents, child))
        is_too_deep = len(parents) >= NAME_COMPONENTS and not self.strict
        return child.startswith("_") or is_reserved(child) or is_too_deep

    def _require_no_repository(self, path: StoragePath, parents: tuple[str, ...]) -> None:
        """Raise NameInvalid if a directory with a reserved name has a repository and is not a file system's."""
        if is_of_file_system(parents[-1]):
            return
        with suppress(PermissionError):  # a repository that was put aside would be readable
            for name in self.objects.children(path):
                if name in layout.OF_A_REPOSITORY:
                    _require_name("/".join(parents))
                self._require_no_repository(layout.child(path, name), (*parents, name))


def _name(parts: tuple[str, ...]) -> RepositoryName | None:
    with suppress(NameInvalid):
        return RepositoryName("/".join(parts))
    return None


def _require_no_link(objects: Objects, path: StoragePath) -> None:
    # Its repositories can be pulled by their names, but no walk sees them.
    for name in objects.symbolic_links(path):
        if not name.startswith("_") and not is_of_file_system(name):
            raise NameInvalid(f"{path}/{name} is a symbolic link, which is not followed")


def _require_name(directory: str) -> None:
    try:
        RepositoryName(directory)
    except NameInvalid as error:
        raise NameInvalid(f"{directory}: {error.detail}") from error

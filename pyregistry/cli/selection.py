"""Selects content by arguments: REPOSITORY, REPOSITORY:TAG or REPOSITORY@DIGEST, with wildcards."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import typer

from pyregistry.cli.output import say
from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import DigestInvalid, ManifestInvalid
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage.repositories.walking import walk_repositories
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.links import exists
from pyregistry.storage.seams.objects import Objects


@dataclass(frozen=True, slots=True)
class Pattern:
    """One argument. `*`, `?` and `[...]` are wildcards, which match a slash too."""

    text: str
    repository: str
    tag: str | None
    digest: Digest | None

    @classmethod
    def parse(cls, text: str) -> "Pattern":
        """Return the pattern; raise typer.BadParameter for an invalid digest."""
        repository, at, digest = text.partition("@")
        if at:
            try:
                return cls(text, repository, None, Digest(digest))
            except DigestInvalid as error:
                raise typer.BadParameter(f"{text}: {error.detail}") from error
        repository, colon, tag = text.partition(":")
        return cls(text, repository, tag if colon else None, None)

    def matches_repository(self, name: RepositoryName) -> bool:
        """Return True if the pattern selects this repository or something in it."""
        return fnmatchcase(name, self.repository)

    def matches(self, tag: str, digest: str | None) -> bool:
        """Return True if the pattern selects this tag of this digest."""
        return self.digest == digest if self.digest is not None else self.matches_tag(tag)

    def matches_tag(self, tag: str) -> bool:
        """Return True if the pattern selects this tag, alone or with its repository."""
        return self.digest is None and (self.tag is None or fnmatchcase(tag, self.tag))


@dataclass(frozen=True, slots=True)
class Selected:
    """A repository, one of its tags, or one of its manifests with its tags."""

    repository: RepositoryName
    tag: Tag | None = None
    digest: Digest | None = None

    def __str__(self) -> str:
        if self.tag is not None:
            return f"{self.repository}:{self.tag}"
        return f"{self.repository}@{self.digest}" if self.digest is not None else self.repository


def existing_repositories(objects: Objects) -> Iterator[RepositoryName]:
    """Yield the names of all directories with content of a repository, also those not in the catalog."""
    for name in walk_repositories(objects):
        parts = (layout.manifests, layout.layers, layout.uploads, layout.all_referrers)
        if any(exists(objects, part(name)) for part in parts):
            yield name


def select(objects: Objects, patterns: list[Pattern]) -> tuple[list[Selected], list[str]]:
    """Return what the patterns select, each once; and the patterns that select nothing."""
    names = list(existing_repositories(objects))
    selected: dict[Selected, None] = {}
    missed = []
    for pattern in patterns:
        found = [each for name in names if pattern.matches_repository(name) for each in _in(objects, name, pattern)]
        selected |= dict.fromkeys(found)
        if not found:
            missed.append(pattern.text)
    return list(selected), missed


def _in(objects: Objects, name: RepositoryName, pattern: Pattern) -> Iterator[Selected]:
    if pattern.digest is not None:
        if exists(objects, layout.revision_link(name, pattern.digest)):
            yield Selected(name, digest=pattern.digest)
    elif pattern.tag is None:
        yield Selected(name)
    else:
        # Also tags with a damaged link, which the API does not show: they must be removable.
        for tag in objects.children(layout.tags(name)):
            if pattern.matches_tag(tag):
                with suppress(ManifestInvalid):
                    yield Selected(name, Tag(tag))


def report_missed(texts: list[str]) -> None:
    """Print the patterns that select nothing, on standard error."""
    for text in texts:
        # du, fsck and gc take their config as an argument, so users try it here as well.
        hint = f"; give the config with -c {text}" if Path(text).is_file() else ""
        say(f"pyregistry: {text}: not found{hint}", err=True)

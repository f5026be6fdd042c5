"""A small store and the actors on it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from pyregistry.oci.digest import Digest
from pyregistry.oci.names import RepositoryName
from pyregistry.storage.local import leases
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.seams import layout
from tests.builders import IMAGE_CONFIG, LAYER, OCI_INDEX, OCI_MANIFEST, descriptor, digest_of


@dataclass(frozen=True)
class Operation:
    """The next operation of an actor; `what` and `more` are names of documents, tags or repositories."""

    kind: str
    repository: str
    what: str = ""
    more: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.kind, self.repository, self.what, self.more) if part)


def head(repository: str, what: str) -> Operation:
    """HEAD; a layer that is not there is uploaded."""
    return Operation("head", repository, what)


def upload(repository: str, what: str) -> Operation:
    """An upload, without a question before it."""
    return Operation("upload", repository, what)


def mount(source: str, repository: str, what: str) -> Operation:
    """A mount; what is not there is uploaded."""
    return Operation("mount", repository, what, source)


def put(repository: str, what: str, tag: str = "") -> Operation:
    """A manifest, by tag or by digest."""
    return Operation("put", repository, what, tag)


def delete(repository: str, what: str) -> Operation:
    """DELETE of a manifest."""
    return Operation("delete", repository, what)


def unlink(repository: str, what: str) -> Operation:
    """DELETE of a blob."""
    return Operation("unlink", repository, what)


def untag(repository: str, tag: str) -> Operation:
    """DELETE of a tag."""
    return Operation("untag", repository, tag)


def lose(repository: str, what: str) -> Operation:
    """A disk that loses the bytes of a manifest."""
    return Operation("lose", repository, what)


def tear(repository: str, tag: str) -> Operation:
    """A disk that empties the link of a tag."""
    return Operation("tear", repository, tag)


def rm_rf(repository: str) -> Operation:
    """An operator's `rm -rf`, file by file."""
    return Operation("rm", repository)


@dataclass(frozen=True)
class Scenario:
    """A store at the start, and the actors. Names in capitals are manifests, `^X` is a subject, all others are blobs.

    `start` has the digests of each repository, and `name:tag` -> manifest. No lease is held at the start.
    """

    name: str
    manifests: Mapping[str, str]
    start: Mapping[str, str]
    actors: Mapping[str, tuple[Operation, ...]]
    untagged: bool = False
    """The collector takes untagged manifests."""
    chain: bool = False
    """The one admitted way to a refused push can occur."""
    algorithm: str = "sha256"
    aliased: str = ""
    """Repositories whose links lead to the sha256 of the same bytes, as the CNCF registry writes them."""
    contents: Mapping[str, bytes] = field(default_factory=dict)

    @cached_property
    def refs(self) -> dict[str, tuple[str, ...]]:
        """References of each manifest, without subjects; nothing for a blob."""
        refs = {m: tuple(r for r in text.split() if r[0] != "^") for m, text in self.manifests.items()}
        return refs | {
            r: ()
            for text in [*refs.values(), *map(str.split, self._repositories.values())]
            for r in text
            if r not in refs
        }

    @cached_property
    def subjects(self) -> dict[str, str]:
        """The subject of each manifest that has one."""
        return {m: r[1:] for m, text in self.manifests.items() for r in text.split() if r[0] == "^"}

    @property
    def _repositories(self) -> dict[str, str]:
        return {name: text for name, text in self.start.items() if ":" not in name}

    @cached_property
    def content(self) -> dict[str, bytes]:
        """The bytes of everything."""
        made: dict[str, bytes] = {}

        def make(name: str) -> bytes:
            if name not in made:
                made[name] = self._document(name, make) if name in self.manifests else f"blob {name}".encode()
            return made[name]

        for name in self.refs:
            make(name)
        return made

    def _document(self, name: str, make: object) -> bytes:
        assert callable(make)
        refs = self.refs[name]
        document: dict[str, object] = {"schemaVersion": 2, "annotations": {"name": name}}
        if all(ref in self.manifests for ref in refs):
            document |= {
                "mediaType": OCI_INDEX,
                "manifests": [descriptor(make(ref), self.media_type(ref), self.algorithm) for ref in refs],
            }
        else:
            config, *layers = refs
            document |= {
                "mediaType": OCI_MANIFEST,
                "config": descriptor(make(config), IMAGE_CONFIG, self.algorithm),
                "layers": [descriptor(make(layer), LAYER, self.algorithm) for layer in layers],
            }
        if name in self.subjects:
            subject = self.subjects[name]
            document["subject"] = descriptor(make(subject), self.media_type(subject), self.algorithm)
        return json.dumps(document).encode()

    def media_type(self, name: str) -> str:
        """Of a manifest."""
        return OCI_INDEX if all(ref in self.manifests for ref in self.refs[name]) else OCI_MANIFEST

    @cached_property
    def digest(self) -> dict[str, Digest]:
        """Of everything."""
        return {name: Digest(digest_of(content, self.algorithm)) for name, content in self.content.items()}

    def target(self, name: str) -> Digest:
        """Return the digest that stores the bytes of a blob with another digest in the CNCF registry."""
        return Digest(digest_of(self.content[name]))

    @cached_property
    def below(self) -> dict[str, frozenset[str]]:
        """Everything that each name reaches, itself included."""
        found: dict[str, frozenset[str]] = {}

        def reach(name: str) -> frozenset[str]:
            if name not in found:
                found[name] = frozenset({name}).union(*(reach(ref) for ref in self.refs[name]))
            return found[name]

        for name in self.refs:
            reach(name)
        return found

    @property
    def acknowledged(self) -> set[tuple[str, str]]:
        """The manifests of the start, in their repositories."""
        return {
            (repository, name)
            for repository, text in self._repositories.items()
            for name in text.split()
            if name in self.manifests
        }

    def link(self, repository: str, name: str) -> layout.StoragePath:
        """The layer or revision link of a name."""
        make = layout.revision_link if name in self.manifests else layout.layer_link
        return make(RepositoryName(repository), self.digest[name])

    def prepare(self, driver: Driver) -> None:
        """Write the store as it is at the start."""
        for repository, text in self._repositories.items():
            name = RepositoryName(repository)
            for directory in (layout.layers(name), layout.manifests(name)):
                driver.make_directory(directory, durable=False)
            for each in text.split():
                target = self.target(each) if repository in self.aliased.split() else self.digest[each]
                driver.write(layout.blob_data(target), self.content[each], durable=False)
                link = self.link(repository, each)
                driver.write(link, target.encode(), durable=False)
                driver.set_mtime(link, leases.ENDED_NS)
        for place, manifest in self.start.items():
            if ":" in place:
                repository, tag = place.split(":")
                directory = layout.child(layout.tags(RepositoryName(repository)), tag)
                link = layout.child(layout.child(directory, "current"), layout.LINK)
                driver.write(link, self.digest[manifest].encode(), durable=False)

    def names_of(self, digests: Iterable[str]) -> list[str]:
        """Return names for the reader of a failure."""
        names = {str(digest): name for name, digest in self.digest.items()}
        return sorted(names.get(digest, digest) for digest in digests)

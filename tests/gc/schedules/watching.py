"""Checks of the actors of one schedule against the promises of docs/gc.md.

S  an acknowledged manifest that is still there is whole, and so is what a tag names
L  a push that got the answer "it is there" is not refused because the collector took it, but for the admitted chain
F  afterwards one run of the collector alone leaves exactly what can be reached

Where a disk lost a file, S is judged as if that one file were back: nothing else may be missing then. F is judged when
it is back.
"""

from collections.abc import Iterator

from pyregistry.gc import collector
from pyregistry.gc.types import Options
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import RepositoryName
from pyregistry.storage.local.coordinator import LocalCoordinator
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.coordinator import Coordinator
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import PathNotFound
from tests.gc.collecting import blobs, exists
from tests.gc.schedules.scenario import Operation, Scenario
from tests.gc.schedules.stepping import Actor, Stage
from tests.storage.pushing import files_of

COLLECTOR = "collector"


class Watch:
    """Over one run. The failure of the stage says what was broken, and begins with the letter of the promise."""

    def __init__(
        self, scenario: Scenario, driver: Driver, stage: Stage, grace: float, coordinator: Coordinator
    ) -> None:
        self.scenario = scenario
        self.stage = stage
        self.gone: set[tuple[str, str]] = set()
        """Manifests from which an actor removed something."""
        self.unfinished = False
        """A push was broken off, or waits for its index."""
        self.lost: dict[StoragePath, bytes] = {}
        """Files that a disk lost, with what was in them."""
        self._driver = driver
        self._grace = grace
        self._coordinator = coordinator
        self._acknowledged = scenario.acknowledged
        self._removed_by: dict[str, str] = {}  # link -> who removed it, as long as it is gone
        self._committed: list[tuple[int, str, str]] = []

    def acknowledge(self, repository: str, manifest: str) -> None:
        """201."""
        self._acknowledged.add((repository, manifest))
        self._committed.append((self.stage.steps, repository, manifest))

    def _exists(self, path: StoragePath) -> bool:
        return path in self.lost or exists(self._driver, path)

    def _read(self, path: StoragePath) -> str:
        """A link; raises PathNotFound."""
        return (self._driver.read(path) or self.lost.get(path, b"")).decode()

    def note(self, actor: Actor, call: str, path: str) -> None:
        """A change of the store."""
        if call in ("write", "move"):
            self._removed_by.pop(path, None)
        else:
            link = path if path.endswith(f"/{layout.LINK}") else f"{path}/{layout.LINK}"
            self._removed_by[link] = actor.name
            if actor.name == COLLECTOR:
                self._check_subject(link)
        if actor.name == COLLECTOR:
            self._check_safety()

    def _is_swept(self, link: str) -> bool:
        return self._removed_by.get(link) == COLLECTOR and not exists(self._driver, StoragePath(link))

    def judge_refusal(self, operation: Operation, promised: dict[tuple[str, str], int]) -> None:
        """404 MANIFEST_BLOB_UNKNOWN, though some things were promised, at these steps."""
        scenario, repository = self.scenario, operation.repository
        if self._grace == 0 or self.lost:
            return
        links = {name: scenario.link(repository, name) for name in scenario.refs[operation.what]}
        if any(not exists(self._driver, link) and not self._is_swept(link) for link in links.values()):
            return  # its user or an operator took it, or it never was there
        for name, link in links.items():
            missing = self._is_swept(link) or self._data(link, name) is None
            begin = promised.get((repository, name))
            if missing and begin is not None and not (scenario.chain and self._is_chain(repository, name, begin)):
                self.stage.fail(f"L: {operation}: {name} was promised at step {begin} and is refused")

    def _is_chain(self, repository: str, name: str, begin: int) -> bool:
        return any(
            step >= begin and where == repository and name in self.scenario.below[manifest]
            for step, where, manifest in self._committed
            if (repository, manifest) in self.gone
        )

    def _data(self, link: StoragePath, name: str) -> Digest | None:
        """Return the digest that stores the bytes of a name, or None."""
        try:
            target = Digest(self._driver.read(link).decode())
        except PathNotFound:
            target = self.scenario.digest[name]
        return target if self._exists(layout.blob_data(target)) else None

    # S

    def _check_safety(self) -> None:
        scenario = self.scenario
        for repository, manifest in list(self._acknowledged):
            link = scenario.link(repository, manifest)
            if exists(self._driver, link):
                if self._data(link, manifest) is None:
                    self.stage.fail(f"S: the manifest {manifest} of {repository} was taken")
                self._check_whole(repository, manifest)
            elif self._is_swept(link):
                self._check_swept(repository, manifest)
                if not isinstance(self._coordinator, LocalCoordinator):
                    # A section without locks may write the link again before it finds that it has to be refused.
                    self._acknowledged.discard((repository, manifest))

    def _check_swept(self, repository: str, manifest: str) -> None:
        scenario = self.scenario
        if not scenario.untagged:
            self.stage.fail(f"S: the link of {manifest} in {repository} was taken")
        if scenario.digest[manifest] in self._tagged(repository).values():
            self.stage.fail(f"S: a tag of {repository} names {manifest}, whose link was taken")

    def _check_subject(self, removed: str) -> None:
        for repository, subject in self._acknowledged:
            for referrer in (name for name, its in self.scenario.subjects.items() if its == subject):
                link = self.scenario.link(repository, referrer)
                if link == removed and exists(self._driver, self.scenario.link(repository, subject)):
                    self.stage.fail(f"S: the link of {referrer} in {repository} was taken, while its subject lives")

    def _check_whole(self, repository: str, manifest: str) -> None:
        for name in self.scenario.refs[manifest]:
            link = self.scenario.link(repository, name)
            if self._is_swept(link):
                self.stage.fail(f"S: {manifest} of {repository} lost its link to {name}")
            elif exists(self._driver, link):
                if self._data(link, name) is None:
                    self.stage.fail(f"S: {manifest} of {repository} lost {name}")
                self._check_whole(repository, name)

    def _tagged(self, repository: str) -> dict[str, str]:
        tags = layout.tags(RepositoryName(repository))
        return {
            tag: self._read(StoragePath(f"{tags}/{tag}/current/{layout.LINK}"))
            for tag in self._driver.children(tags)
            if exists(self._driver, StoragePath(f"{tags}/{tag}/current/{layout.LINK}"))
        }

    # F

    def check_end(self) -> None:
        """Check all promises when all actors have ended."""
        self._check_safety()
        options = Options(grace=self._grace, delete_untagged=self.scenario.untagged)
        self._collect(options)
        self._check_safety()
        for path, content in self.lost.items():
            if not exists(self._driver, path) or not self._driver.read(path):
                self._driver.write(path, content)
        self.lost.clear()
        self._collect(options)
        if self.unfinished:  # a push that was broken off holds leases
            unlinked = blobs(self._driver) - self._named()
            if unlinked:
                self.stage.fail(f"F: no link names {self.scenario.names_of(unlinked)}, which was not freed")
            self._collect(Options(grace=0, delete_untagged=self.scenario.untagged))
        self._check_safety()
        if (found := blobs(self._driver)) != (wanted := self._reachable()):
            names = self.scenario.names_of
            self.stage.fail(f"F: {names(found - wanted)} should have been freed, {names(wanted - found)} not")
        for digest in found:
            if Digest.of(self._driver.read(layout.blob_data(Digest(digest))), Digest(digest).algorithm) != digest:
                self.stage.fail(f"S: {self.scenario.names_of([digest])} has other bytes")

    def _collect(self, options: Options) -> None:
        collector.collect(self._driver, self._coordinator, options)

    def _repositories(self) -> list[str]:
        return list(self._driver.children(layout.REPOSITORIES))

    def _links(self) -> Iterator[tuple[str, str, str]]:
        for repository in self._repositories():
            for name in self.scenario.refs:
                link = self.scenario.link(repository, name)
                if exists(self._driver, link):
                    yield repository, name, self._driver.read(link).decode()

    def _named(self) -> set[str]:
        links = list(self._links())
        tagged = {digest for repository in self._repositories() for digest in self._tagged(repository).values()}
        tagged |= {digest for repository in self._repositories() for digest in self._unfinished(repository)}
        named = {name for _, name, _ in links} | {
            name for name, digest in self.scenario.digest.items() if digest in tagged
        }
        below = {each for name in named for each in self.scenario.below[name]}
        return {str(self.scenario.digest[each]) for each in below} | {target for _, _, target in links}

    def _unfinished(self, repository: str) -> set[str]:
        """Return entries in the index of tags that name nothing: a push, or an operator's `rm`, was cut off between."""
        tags = layout.tags(RepositoryName(repository))
        paths = [path.removeprefix(f"{tags}/").split("/") for path in files_of(self._driver, tags)]
        named = set(self._tagged(repository))
        return {f"{path[2]}:{path[3]}" for path in paths if path[1] == "index" and path[0] not in named}

    def _reachable(self) -> set[str]:
        """Computed from the scenario's own table, with nothing of the code under test."""
        scenario, found = self.scenario, set()
        links = list(self._links())
        for repository in self._repositories():
            there = {name for where, name, _ in links if where == repository and name in scenario.manifests}
            tagged = set(self._tagged(repository).values())
            is_whole = bool(unfinished := self._unfinished(repository))
            kept = {name for name, digest in scenario.digest.items() if digest in tagged | unfinished}
            if is_whole or not scenario.untagged:
                kept |= there
            below: set[str] = set()
            while kept - below:
                below |= {each for name in kept for each in scenario.below[name]}
                kept |= {name for name in there if scenario.subjects.get(name) in below}
            found |= {target for where, name, target in links if where == repository and (is_whole or name in below)}
            found |= {str(scenario.digest[name]) for name in below}
        return found & blobs(self._driver)  # what its user took away, or what it never had

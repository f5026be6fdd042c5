"""One schedule of one scenario: the store, what its actors do, and whether the promises of docs/gc.md were kept.

S  an acknowledged manifest that is still there is whole, and so is what a tag names
L  a push that was told "it is there" is not refused because the collector took it, but for the admitted chain
F  afterwards one run of the collector alone leaves exactly what can be reached
"""

import asyncio
from collections.abc import Iterator
from contextlib import suppress

from pyregistry.gc import collector, sweeping
from pyregistry.gc.outcome import Options
from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import BlobUnknown, BlobUploadUnknown, ManifestBlobUnknown, ManifestUnknown
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage import layout
from pyregistry.storage.driver import Driver, PathNotFound
from pyregistry.storage.layout import StoragePath
from pyregistry.storage.registry import Registry
from pyregistry.storage.repository import Repository
from pyregistry.storage.rules import GRACE
from tests.gc.collecting import blobs, exists
from tests.gc.schedules.scenario import Operation, Scenario
from tests.gc.schedules.stepping import Actor, Killed, Schedule, Stage, SteppingDriver
from tests.storage.pushing import files_of, stream

COLLECTOR = "collector"


class Refused(Exception):
    """A push that cannot go on; its client would begin anew."""


class World:
    """One run. `failure` says what was broken, and begins with the letter of the promise."""

    def __init__(self, scenario: Scenario, driver: Driver, schedule: Schedule, grace: float = GRACE) -> None:
        self._scenario = scenario
        self._driver = driver
        self._grace = grace
        self._schedule = schedule
        self.stage = Stage(schedule)
        self._acknowledged = scenario.acknowledged
        self._removed_by: dict[str, str] = {}  # link -> who removed it, as long as it is gone
        self._committed: list[tuple[int, str, str]] = []
        self._gone: set[tuple[str, str]] = set()  # manifests of which something was taken away
        self._unfinished = False
        self.actors: list[Actor] = []

    def run(self) -> None:
        """Prepare, let the actors run, and look at what they left."""
        self._scenario.prepare(self._driver)
        self.actors = [Actor(name, self._push) for name in self._scenario.actors]
        self.actors.append(Actor(COLLECTOR, self._collect))
        before, sweeping.BATCH = sweeping.BATCH, self._schedule.batch
        try:
            self.stage.run(self.actors)
        finally:
            sweeping.BATCH = before
        if self.stage.failure is None:
            self._check_all()

    @property
    def failure(self) -> str | None:
        """What was broken; None if nothing was."""
        return self.stage.failure

    # What the actors do

    def _stepping(self, actor: Actor) -> Driver:
        def changed(call: str, path: str) -> None:
            self._note(actor, call, path)

        return SteppingDriver(self._driver, self.stage, actor, changed)

    def _collect(self, actor: Actor) -> None:
        options = Options(grace=self._grace, delete_untagged=self._scenario.untagged)
        driver = self._stepping(actor)
        try:
            collector.collect(driver, options)
        except Killed:
            if self.stage.failure is not None:
                raise
            actor.killed = False
            collector.collect(driver, options)  # started again

    def _push(self, actor: Actor) -> None:
        driver = self._stepping(actor)
        promised: dict[tuple[str, str], int] = {}
        try:
            for operation in self._scenario.actors[actor.name]:
                if actor.steps:
                    self.stage.end_operation(actor)
                begin = self.stage.steps
                self._perform(driver, operation, promised)
                if operation.kind in ("head", "upload", "mount") or (operation.kind == "put" and not operation.more):
                    for name in self._scenario.below[operation.what]:
                        promised[operation.repository, name] = begin
                    # A manifest by digest waits for an index or a tag.
            self._unfinished |= self._scenario.untagged and operation.kind == "put" and not operation.more
            if self._scenario.untagged and operation.kind == "put" and not operation.more:
                self._unfinished = True  # a manifest by digest waits for an index or a tag
        except Refused:
            self._unfinished = True
        except Killed:
            self._unfinished = True
            raise

    def _perform(self, driver: Driver, operation: Operation, promised: dict[tuple[str, str], int]) -> None:
        repo = _repository(driver, operation.repository)
        what = operation.what
        match operation.kind:
            case "put":
                self._put(repo, operation, promised)
            case "rm":
                self._remove_all(driver, operation.repository)
            case "head" if what in self._scenario.manifests:
                try:
                    repo.promise_manifest(self._scenario.digest[what])
                except ManifestUnknown as error:
                    raise Refused from error
            case "untag":
                self._untag(repo, what)
            case "delete":
                self._gone.add((operation.repository, what))
                with suppress(ManifestUnknown):
                    repo.delete_manifest(self._scenario.digest[what])
            case "unlink":
                with suppress(BlobUnknown):
                    repo.unlink_blob(self._scenario.digest[what])
            case _:
                self._reuse(driver, repo, operation)

    def _reuse(self, driver: Driver, repo: Repository, operation: Operation) -> None:
        digest = self._scenario.digest[operation.what]
        with suppress(BlobUnknown):
            if operation.kind == "head":
                repo.promise_blob(digest)
                return
            if operation.kind == "mount":
                repo.mount_blob(digest, _repository(driver, operation.more))
                return
        content = self._scenario.content[operation.what]
        try:
            asyncio.run(repo.start_upload(digest.algorithm).commit(digest, stream(content)))
        except BlobUploadUnknown as error:
            if not self._gone:
                raise
            raise Refused from error  # an operator's `rm -rf` took the upload

    def _put(self, repo: Repository, operation: Operation, promised: dict[tuple[str, str], int]) -> None:
        what = operation.what
        tags = [Tag(operation.more)] if operation.more else []
        content, media_type = self._scenario.content[what], self._scenario.media_type(what)
        try:
            repo.put_manifest(self._scenario.digest[what], content, media_type, tags)
        except ManifestBlobUnknown as error:
            self._judge_refusal(operation, promised)
            raise Refused from error
        self._acknowledged.add((operation.repository, what))
        self._committed.append((self.stage.steps, operation.repository, what))

    def _untag(self, repo: Repository, tag: str) -> None:
        with suppress(ManifestUnknown):
            named = repo.tagged(Tag(tag))
            self._gone |= {(str(repo.name), name) for name, digest in self._scenario.digest.items() if digest == named}
            repo.delete_tag(Tag(tag))

    def _remove_all(self, driver: Driver, repository: str) -> None:
        self._gone |= {(repository, name) for name in self._scenario.manifests}
        for path in files_of(self._driver, layout.repository(RepositoryName(repository))):
            with suppress(PathNotFound):
                driver.delete(StoragePath(path))

    # What is seen of it

    def _note(self, actor: Actor, call: str, path: str) -> None:
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

    def _judge_refusal(self, operation: Operation, promised: dict[tuple[str, str], int]) -> None:
        scenario, repository = self._scenario, operation.repository
        if self._grace == 0:
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
            step >= begin and where == repository and name in self._scenario.below[manifest]
            for step, where, manifest in self._committed
            if (repository, manifest) in self._gone
        )

    def _data(self, link: StoragePath, name: str) -> Digest | None:
        """Where the bytes of a name are; None if nowhere."""
        try:
            target = Digest(self._driver.read(link).decode())
        except PathNotFound:
            target = self._scenario.digest[name]
        return target if exists(self._driver, layout.blob_data(target)) else None

    # S

    def _check_safety(self) -> None:
        scenario = self._scenario
        for repository, manifest in self._acknowledged:
            link = scenario.link(repository, manifest)
            if exists(self._driver, link):
                if self._data(link, manifest) is None:
                    self.stage.fail(f"S: the manifest {manifest} of {repository} was taken")
                self._check_whole(repository, manifest)
            elif self._is_swept(link):
                self._check_swept(repository, manifest)

    def _check_swept(self, repository: str, manifest: str) -> None:
        scenario = self._scenario
        if not scenario.untagged:
            self.stage.fail(f"S: the link of {manifest} in {repository} was taken")
        if scenario.digest[manifest] in self._tagged(repository).values():
            self.stage.fail(f"S: a tag of {repository} names {manifest}, whose link was taken")

    def _check_subject(self, removed: str) -> None:
        for repository, subject in self._acknowledged:
            for referrer in (name for name, its in self._scenario.subjects.items() if its == subject):
                link = self._scenario.link(repository, referrer)
                if link == removed and exists(self._driver, self._scenario.link(repository, subject)):
                    self.stage.fail(f"S: the link of {referrer} in {repository} was taken, while its subject lives")

    def _check_whole(self, repository: str, manifest: str) -> None:
        for name in self._scenario.refs[manifest]:
            link = self._scenario.link(repository, name)
            if self._is_swept(link):
                self.stage.fail(f"S: {manifest} of {repository} lost its link to {name}")
            elif exists(self._driver, link):
                if self._data(link, name) is None:
                    self.stage.fail(f"S: {manifest} of {repository} lost {name}")
                self._check_whole(repository, name)

    def _tagged(self, repository: str) -> dict[str, str]:
        tags = layout.tags(RepositoryName(repository))
        return {
            tag: self._driver.read(StoragePath(f"{tags}/{tag}/current/{layout.LINK}")).decode()
            for tag in self._driver.children(tags)
            if exists(self._driver, StoragePath(f"{tags}/{tag}/current/{layout.LINK}"))
        }

    # F

    def _check_all(self) -> None:
        self._check_safety()
        options = Options(grace=self._grace, delete_untagged=self._scenario.untagged)
        collector.collect(self._driver, options)
        if self._unfinished:  # a push that was broken off holds leases
            unlinked = blobs(self._driver) - self._named()
            if unlinked:
                self.stage.fail(f"F: no link names {self._scenario.names_of(unlinked)}, which was not freed")
            collector.collect(self._driver, Options(grace=0, delete_untagged=self._scenario.untagged))
        self._check_safety()
        if (found := blobs(self._driver)) != (wanted := self._reachable()):
            names = self._scenario.names_of
            self.stage.fail(f"F: {names(found - wanted)} should have been freed, {names(wanted - found)} not")
        for digest in found:
            if Digest.of(self._driver.read(layout.blob_data(Digest(digest))), Digest(digest).algorithm) != digest:
                self.stage.fail(f"S: {self._scenario.names_of([digest])} has other bytes")

    def _repositories(self) -> list[str]:
        return list(self._driver.children(layout.REPOSITORIES))

    def _links(self) -> Iterator[tuple[str, str, str]]:
        for repository in self._repositories():
            for name in self._scenario.refs:
                link = self._scenario.link(repository, name)
                if exists(self._driver, link):
                    yield repository, name, self._driver.read(link).decode()

    def _named(self) -> set[str]:
        links = list(self._links())
        tagged = {digest for repository in self._repositories() for digest in self._tagged(repository).values()}
        named = {name for _, name, _ in links} | {
            name for name, digest in self._scenario.digest.items() if digest in tagged
        }
        below = {each for name in named for each in self._scenario.below[name]}
        return {str(self._scenario.digest[each]) for each in below} | {target for _, _, target in links}

    def _reachable(self) -> set[str]:
        """Computed from the scenario's own table, with nothing of the code under test."""
        scenario, found = self._scenario, set()
        links = list(self._links())
        for repository in self._repositories():
            there = {name for where, name, _ in links if where == repository and name in scenario.manifests}
            tagged = set(self._tagged(repository).values())
            kept = (
                {name for name, digest in scenario.digest.items() if digest in tagged} if scenario.untagged else there
            )
            below: set[str] = set()
            while kept - below:
                below |= {each for name in kept for each in scenario.below[name]}
                kept |= {name for name in there if scenario.subjects.get(name) in below}
            found |= {target for where, name, target in links if where == repository and name in below}
            found |= {str(scenario.digest[name]) for name in below}
        return found & blobs(self._driver)  # what its user took away, or what it never had


def _repository(driver: Driver, name: str) -> Repository:
    return Registry(driver).repository(RepositoryName(name))

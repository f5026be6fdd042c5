"""One schedule of one scenario: the store, and what its actors do."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from pyregistry.gc import batches, collector
from pyregistry.gc.types import MarkFailed, Options
from pyregistry.oci.errors import BlobUnknown, BlobUploadUnknown, ManifestBlobUnknown, ManifestUnknown, Unavailable
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage.local import volumes
from pyregistry.storage.local.coordinator import LocalCoordinator
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.repositories.repository import Repository
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.coordinator import Coordinator
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import PathNotFound
from pyregistry.storage.seams.rules import GRACE_SECONDS
from tests.gc.schedules.scenario import Operation, Scenario
from tests.gc.schedules.stepping import Actor, Killed, Schedule, Stage, SteppingDriver
from tests.gc.schedules.watching import COLLECTOR, Watch
from tests.storage.pushing import files_of, registry_on, stream


class Refused(Exception):
    """A push that cannot go on; its client would begin anew."""


class World:
    """One run, in which the actors of a scenario do what they do."""

    def __init__(
        self,
        scenario: Scenario,
        driver: Driver,
        schedule: Schedule,
        grace: float = GRACE_SECONDS,
        make_coordinator: Callable[[Driver], Coordinator] = LocalCoordinator,
    ) -> None:
        self._make_coordinator = make_coordinator
        self._scenario = scenario
        self._driver = driver
        self._grace = grace
        self._schedule = schedule
        self.stage = Stage(schedule)
        self._watch = Watch(scenario, driver, self.stage, grace, make_coordinator(driver))
        self.actors: list[Actor] = []

    def run(self) -> None:
        """Prepare, let the actors run, and look at what they left."""
        self._scenario.prepare(self._driver)
        volumes.note_mounted(self._driver)  # as a server does when it starts
        self.actors = [Actor(name, self._push) for name in self._scenario.actors]
        self.actors.append(Actor(COLLECTOR, self._collect))
        before, batches.BATCH = batches.BATCH, self._schedule.batch
        try:
            self.stage.run(self.actors)
        finally:
            batches.BATCH = before
        if self.stage.failure is None:
            self._watch.check_end()

    @property
    def failure(self) -> str | None:
        """The broken promise, or None."""
        return self.stage.failure

    # What the actors do

    def _stepping(self, actor: Actor) -> Driver:
        def changed(call: str, path: str) -> None:
            self._watch.note(actor, call, path)

        return SteppingDriver(self._driver, self.stage, actor, changed)

    def _collect(self, actor: Actor) -> None:
        options = Options(grace=self._grace, delete_untagged=self._scenario.untagged)
        driver = self._stepping(actor)
        try:
            self._run_collector(driver, options)
        except Killed:
            if self.stage.failure is not None:
                raise
            actor.killed = False
            self._run_collector(driver, options)  # started again

    def _run_collector(self, driver: Driver, options: Options) -> None:
        try:
            collector.collect(driver, self._make_coordinator(driver), options)
        except MarkFailed:
            if not self._watch.lost:
                raise

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
            self._watch.unfinished |= self._scenario.untagged and operation.kind == "put" and not operation.more
            if self._scenario.untagged and operation.kind == "put" and not operation.more:
                self._watch.unfinished = True  # a manifest by digest waits for an index or a tag
        except Refused:
            self._watch.unfinished = True
        except Killed:
            self._watch.unfinished = True
            raise

    def _perform(self, driver: Driver, operation: Operation, promised: dict[tuple[str, str], int]) -> None:
        repo = self._repository(driver, operation.repository)
        what = operation.what
        match operation.kind:
            case "put":
                self._put(repo, operation, promised)
            case "rm":
                self._remove_all(driver, operation.repository)
            case "head" if what in self._scenario.manifests:
                try:
                    repo.manifest_with_lease(self._scenario.digest[what])
                except ManifestUnknown as error:
                    raise Refused from error
            case "untag":
                self._untag(repo, what)
            case "delete":
                self._watch.gone.add((operation.repository, what))
                with suppress(ManifestUnknown):
                    repo.delete_manifest(self._scenario.digest[what])
            case "unlink":
                with suppress(BlobUnknown):
                    repo.unlink_blob(self._scenario.digest[what])
            case _:
                self._reuse_or_damage(driver, repo, operation)

    def _reuse_or_damage(self, driver: Driver, repo: Repository, operation: Operation) -> None:
        if operation.kind in ("lose", "tear"):
            self._damage(driver, operation)
        else:
            self._reuse(driver, repo, operation)

    def _reuse(self, driver: Driver, repo: Repository, operation: Operation) -> None:
        digest = self._scenario.digest[operation.what]
        with suppress(BlobUnknown):
            if operation.kind == "head":
                repo.blob_with_lease(digest)
                return
            if operation.kind == "mount":
                repo.mount_blob(digest, self._repository(driver, operation.more))
                return
        content = self._scenario.content[operation.what]
        try:
            asyncio.run(repo.start_upload(digest.algorithm).commit(digest, stream(content)))
        except BlobUploadUnknown as error:
            if not self._watch.gone:
                raise
            raise Refused from error  # an operator's `rm -rf` took the upload
        except Unavailable as error:  # only where sections have no locks, after a collector that was killed
            raise Refused from error

    def _put(self, repo: Repository, operation: Operation, promised: dict[tuple[str, str], int]) -> None:
        what = operation.what
        tags = [Tag(operation.more)] if operation.more else []
        content, media_type = self._scenario.content[what], self._scenario.media_type(what)
        try:
            repo.put_manifest(self._scenario.digest[what], content, media_type, tags)
        except ManifestBlobUnknown as error:
            self._watch.judge_refusal(operation, promised)
            raise Refused from error
        except Unavailable as error:
            raise Refused from error
        self._watch.acknowledge(operation.repository, what)

    def _untag(self, repo: Repository, tag: str) -> None:
        with suppress(ManifestUnknown):
            named = repo.tagged(Tag(tag))
            self._watch.gone |= {
                (str(repo.name), name) for name, digest in self._scenario.digest.items() if digest == named
            }
            repo.delete_tag(Tag(tag))

    def _damage(self, driver: Driver, operation: Operation) -> None:
        with suppress(PathNotFound):
            if operation.kind == "lose":
                path = layout.blob_data(self._scenario.digest[operation.what])
                content = self._driver.read(path)
                driver.delete(path)
            else:
                path = layout.tag_current_link(RepositoryName(operation.repository), Tag(operation.what))
                content = self._driver.read(path)
                driver.write(path, b"")
            self._watch.lost[path] = content

    def _remove_all(self, driver: Driver, repository: str) -> None:
        self._watch.gone |= {(repository, name) for name in self._scenario.manifests}
        for path in files_of(self._driver, layout.repository(RepositoryName(repository))):
            with suppress(PathNotFound):
                driver.delete(StoragePath(path))

    def _repository(self, driver: Driver, name: str) -> Repository:
        return registry_on(driver, coordinator=self._make_coordinator(driver)).repository(RepositoryName(name))

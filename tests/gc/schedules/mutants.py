"""The protocol with one thing taken away: each of these must be caught, by the promise that it breaks.

`text` is code that is exactly once in its file; a mutant whose text is gone fails its test, and is written anew. The
names are those of the model's variants, where it has them.
"""

from tests.gc.schedules.breaking import Mutant

_LEASES, _LOCAL, _UPLOADS = "storage.local.leases", "storage.local.coordinator", "storage.local.uploads"
_COMMIT, _REPOSITORY = "storage.repositories.committing", "storage.repositories.repository"
_COLLECTOR, _SWEEP = "gc.collector", "gc.sweeping"
_PLAN, _MARK, _UNREADABLE = "gc.marking", "gc.repository_marks", "gc.unreadable"
_NO_LOCK = "            stack.enter_context(driver.lock(_COMMIT, exclusive=False))\n"

MUTANTS = (
    # Safety.
    Mutant("no commit lock", _LEASES, _NO_LOCK, "            pass\n", "S", "HEAD, HEAD", seed=25),
    Mutant(
        "no barrier",
        _COLLECTOR,
        "collection.barrier()",
        "pass",
        "S",
        "HEAD, HEAD",
    ),
    Mutant(
        "generation checked at enumeration only (no re-check)",
        _LOCAL,
        "return now == generation and not leases.is_marked(self._driver, digest)",
        "return True",
        "S",
        "HEAD, HEAD",
    ),
    Mutant(
        "mark before enumerate",
        _COLLECTOR,
        "    plan = marker.plan(processes)\n",
        "    plan = marker.plan(processes)\n"
        "    seen, marker.candidates = candidates, enumerate_blobs(objects, collection)\n"
        "    for digest, _ in list(marker.candidates.unmarked()):\n"
        "        if seen.is_marked(digest):\n"
        "            marker.candidates.mark(digest)\n"
        "    object.__setattr__(plan, 'candidates', marker.candidates)\n",
        "S",
        "HEAD, HEAD",
    ),
    Mutant(
        "no touch at manifest PUT",
        _LOCAL,
        "return leases.touch(self._driver, content)",
        "pass",
        "S",
        "HEAD, HEAD",
    ),
    Mutant(
        "no touch while a collector runs",
        _LEASES,
        "if _stat_or_none(driver, layout.TOUCHED) is not None:\n    ...",
        "pass",
        "S",
        "HEAD, HEAD",
    ),
    Mutant(
        "touches may be invisible, and leave no mark",
        _LEASES,
        "not _make_later(driver, path, before) or driver.stat(path).modified_ns <= before.modified_ns",
        "not _make_later(driver, path, before)",
        "S",
        "HEAD, HEAD",
        unseen=True,
    ),
    Mutant(
        "touches may be invisible, marks removed between mark and sweep",
        _COLLECTOR,
        "    plan = marker.plan(processes)\n",
        "    plan = marker.plan(processes)\n"
        "    objects.delete(layout.TOUCHED)\n    objects.make_directory(layout.TOUCHED)\n",
        "S",
        "HEAD, HEAD",
        unseen=True,
    ),
    Mutant(
        "the collector looks for no marks",
        _LOCAL,
        "not leases.is_marked(self._driver, digest)",
        "True",
        "S",
        "HEAD, HEAD",
        unseen=True,
    ),
    Mutant(
        "a manifest that is written over another file leaves no mark",
        _LEASES,
        "_leave_mark(driver, digest)\nyield path",
        "yield path",
        "S",
        "deleted, pushed again",
        unseen=True,
        seed=11,
    ),
    Mutant(
        "an upload that is renamed over another file leaves no mark",
        _LEASES,
        "_leave_mark(driver, digest)\nyield path",
        "yield path",
        "L",
        "upload",
        unseen=True,
    ),
    Mutant(
        "no check at manifest PUT",
        _COMMIT,
        "if missing:\n    ...",
        "if False:\n    ...",
        "S",
        "HEAD",
    ),
    Mutant(
        "manifest PUT keeps an old manifest blob as it is",
        _LOCAL,
        "leases.write(driver, unit.digest, content, collecting=self._is_collecting())",
        "try:\n    driver.stat(layout.blob_data(unit.digest))\n"
        "except PathNotFound:\n    leases.write(driver, unit.digest, content, collecting=True)",
        "S",
        "deleted, pushed again",
        seed=11,
    ),
    Mutant(
        "changed manifest kept, what is below it not",
        _SWEEP,
        "            marks.keep(each.digest for each in group)\n",
        "            marks._kept.update(each.digest for each in group)\n",
        "S",
        "index of indexes",
    ),
    Mutant(
        "children swept before their index",
        _PLAN,
        "[group for marks in self.repositories.values() for group in marks.deletion_order()]",
        "[group for marks in self.repositories.values() for group in marks.deletion_order()][::-1]",
        "S",
        "index of indexes",
    ),
    Mutant(
        "layer links swept before manifests",
        _SWEEP,
        "        self._in_batches(self._plan.manifests, self._remove_manifests)\n",
        "",
        "S",
        "index of indexes",
        more=(
            (
                _SWEEP,
                "        self._in_batches(self._plan.blobs(), self._remove_blob)\n",
                "        self._in_batches(self._plan.manifests, self._remove_manifests)\n"
                "        self._in_batches(self._plan.blobs(), self._remove_blob)\n",
            ),
        ),
    ),
    Mutant(
        "data swept before links",
        _SWEEP,
        "        self._in_batches(self._plan.manifests, self._remove_manifests)\n",
        "        self._in_batches(self._plan.blobs(), self._remove_blob)\n"
        "        self._in_batches(self._plan.manifests, self._remove_manifests)\n",
        "S",
        "index of indexes",
    ),
    Mutant(
        "referrers keep nothing",
        _MARK,
        "                self._referrers[document.subject].append(digest)\n",
        "                pass\n",
        "S",
        "referrer of an orphan",
    ),
    Mutant(
        "a referrer goes although its subject was just pushed",
        _SWEEP,
        "if not batch.is_unchanged(subject, self._plan.candidates.generation(subject)):\n    ...",
        "if False:\n    ...",
        "S",
        "subject comes later",
        seed=2,
    ),
    Mutant(
        "where a link leads is not looked at again, uploads",
        _SWEEP,
        "self._marker.repositories[link.repository].target(link.digest) != link.target",
        "self._marker.repositories[link.repository].target(link.digest) is None",
        "SL",
        "sha512 of the CNCF registry, uploaded",
    ),
    Mutant(
        "where a link leads is not looked at again, mounts",
        _SWEEP,
        "self._marker.repositories[link.repository].target(link.digest) != link.target",
        "self._marker.repositories[link.repository].target(link.digest) is None",
        "SL",
        "sha512 of the CNCF registry, mounted",
    ),
    Mutant(
        "unreadable tagged manifest is skipped",
        _MARK,
        "            self._unreadable.manifest(digest)\n            return None\n",
        "            return None\n",
        "S",
        "manifest lost",
    ),
    Mutant(
        "unreadable index is skipped",
        _MARK,
        "            self._unreadable.manifest(digest)\n            return None\n",
        "            return None\n",
        "S",
        "index lost",
    ),
    Mutant(
        "unreadable manifest keeps the other manifests, not the layers",
        _MARK,
        "if self._is_whole:\n    ...",
        "if False:\n    ...",
        "S",
        "manifest lost",
    ),
    Mutant(
        "unreadable manifest keeps the layers, not the other manifests",
        _MARK,
        "            self.keep(self._before.revisions)\n            self.keep(found.named)\n",
        "            pass\n",
        "S",
        "index lost",
    ),
    Mutant(
        "unreadable tag is skipped",
        _UNREADABLE,
        "        self._tags = [tag for tag, digest in documents.tags.items() if digest is None]\n",
        "        self._tags = []\n",
        "S",
        "tag torn",
    ),
    Mutant(
        "the sweep continues below a manifest that it cannot read",
        _SWEEP,
        "            marks.require_read()\n",
        "            pass\n",
        "S",
        "orphan used, then lost",
    ),
    # Liveness.
    Mutant(
        "no leases at all",
        _LEASES,
        "return seconds > 0 and link.modified_ns != ENDED_NS and now_ns - link.modified_ns < seconds * 10**9",
        "return False",
        "L",
        "HEAD",
    ),
    Mutant(
        "HEAD takes no lease",
        _REPOSITORY,
        "section.renew(unit)",
        "pass",
        "L",
        "HEAD",
    ),
    Mutant(
        "mount takes no lease",
        _REPOSITORY,
        "section.link(Unit(self.name, digest), there)",
        "section.link(Unit(self.name, digest), there)\nsection.finish([Unit(self.name, digest)])",
        "L",
        "mount",
    ),
    Mutant(
        "no touch at HEAD",
        _REPOSITORY,
        "if section.claim([unit]):\n    ...",
        "if not exists(self._objects, unit.link):\n    ...",
        "L",
        "HEAD",
        seed=8,
    ),
    Mutant(
        "no touch at mount",
        _REPOSITORY,
        "if section.claim([there]):\n    ...",
        "section._content_of[there] = digest\nif not exists(self._objects, there.link):\n    ...",
        "L",
        "mount",
    ),
    Mutant(
        "upload keeps an existing blob as it is",
        _LOCAL,
        "leases.install(driver, content.path, unit.digest, collecting=self._is_collecting())",
        "try:\n    driver.stat(layout.blob_data(unit.digest))\n"
        "except PathNotFound:\n    leases.install(driver, content.path, unit.digest, collecting=True)",
        "L",
        "upload",
    ),
    Mutant(
        "HEAD outside the commit lock",
        _REPOSITORY,
        "self._coordinator.run(renew)",
        "from pyregistry.storage.local.coordinator import LocalSection\nrenew(LocalSection(self._objects))",
        "L",
        "HEAD, HEAD",
        seed=9,
    ),
    Mutant(
        "HEAD skips its work when the data is young",
        _REPOSITORY,
        "self._coordinator.is_leased(unit, renewed_after(self._rules.grace))",
        "self._objects.stat(layout.blob_data(unit.digest)).modified_ns"
        " > __import__('time').time_ns() - renewed_after(self._rules.grace) * 10**9",
        "L",
        "HEAD, HEAD",
    ),
    Mutant(
        "leases ended before the revision link is there",
        _REPOSITORY,
        "steps.store(tags)\nsteps.end_leases(tagged=bool(tags))",
        "steps.end_leases(tagged=bool(tags))\nsteps.store(tags)",
        "L",
        "HEAD, PUT",
        seed=25,
    ),
    # Freshness.
    Mutant(
        "leases never ended",
        _REPOSITORY,
        "steps.end_leases(tagged=bool(tags))",
        "pass",
        "F",
        "deleted, pushed again",
    ),
    Mutant(
        "index PUT ends its children's leases, not their layers'",
        _COMMIT,
        "if self._manifest.children:\n    ...",
        "if False:\n    ...",
        "F",
        "child is there already",
    ),
)

_EPOCHS = "tests.storage.epochs"

EPOCH_MUTANTS = (
    Mutant(
        "the state is not read again",
        _EPOCHS,
        "if EpochCoordinator(self._driver).state() != self._state:\n    ...",
        "pass",
        "S",
        "HEAD, HEAD",
        seed=22,
    ),
    Mutant(
        "no second marking",
        _COLLECTOR,
        "marker, plan = _mark_again(marker, plan)",
        "pass",
        "S",
        "HEAD, HEAD",
    ),
    Mutant(
        "writers do not rescue",
        _EPOCHS,
        "create_marker(self._driver, self._state, path, _RESCUED) == _RESCUED",
        "True",
        "S",
        "HEAD, HEAD",
    ),
    Mutant(
        "markers are made without looking for one",
        _EPOCHS,
        "with suppress(PathNotFound):\n    return driver.read(marker)",
        "pass",
        "S",
        "HEAD, HEAD",
    ),
    Mutant(
        "an upload writes what is just being deleted",
        _EPOCHS,
        "if self._rescue(unit, content):\n    return",
        "return",
        "SL",
        "upload",
    ),
    Mutant(
        "idle is the same after each epoch",
        _EPOCHS,
        "self._driver.write(_STATE, idle)",
        "self._driver.write(_STATE, _IDLE)",
        "S",
        "HEAD, HEAD",
        more=((_EPOCHS, "self._driver.write(_STATE, idle + b' begins')", "self._driver.write(_STATE, _IDLE)"),),
        seed=2,
    ),
    Mutant(
        "no lease at HEAD",
        _REPOSITORY,
        "section.renew(unit)",
        "pass",
        "L",
        "HEAD",
    ),
)

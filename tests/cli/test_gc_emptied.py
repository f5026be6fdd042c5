"""`pyregistry gc` names what goes with the blobs, and its bars end at what there was to do."""

import json
from pathlib import Path

import pytest

from pyregistry.cli.gc_terminal import ProgressBars
from pyregistry.gc.enumerating import enumerate_blobs
from pyregistry.gc.marking import Marker
from pyregistry.gc.types import Options
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import Tag
from pyregistry.storage.seams import layout
from tests.builders import image
from tests.cli.place import Place, begin_upload, run
from tests.cli.terminal import run_at_terminal
from tests.cli.test_gc import KEPT, make_place
from tests.gc.collecting import looking
from tests.storage.pushing import files_of, push_blob, push_image, repository


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return make_place(tmp_path)


def test_a_bar_ends_at_what_there_was_to_do(place: Place) -> None:
    bars = ProgressBars(dry_run=False)
    with bars:
        run_of = looking(place.driver)
        plan = Marker(place.driver, run_of, enumerate_blobs(place.driver, run_of), Options(), bars).plan()
        bars.planned(plan)
        bars.removed("blob", "one of two, the other one is used again")
    assert [(task.completed, task.total) for task in bars._progress.tasks] == [(1, 1), (1, 1)]


def test_emptied_repositories_and_uploads_are_named(place: Place) -> None:
    upload = begin_upload(place, 1_000, hours_ago=30)
    emptied = repository(place.registry, "team/emptied")
    push_image(emptied, image(b"emptied"), "latest")
    emptied.delete_manifest(Digest(image(b"emptied").digest))
    leased = repository(place.registry, "team/leased")
    push_blob(leased, b"in progress")
    options = ("--uploads-older-than", "24h", place.config)
    before = files_of(place.driver)
    tried = run("gc", "--dry-run", *options)
    assert files_of(place.driver) == before
    assert {line for line in tried.stdout.splitlines() if "repository" in line or "upload" in line} == {
        "team/emptied: repository eligible for deletion",
        f"team/app: upload eligible for deletion: {upload.id}",
        "1 empty repository would be removed",
        "1 open uploads would be removed, 1.0 kB would be freed",
    }
    at_terminal = run_at_terminal("gc", "--dry-run", *options)[1]
    assert any("would remove repository team/emptied" in line for line in at_terminal)
    assert any(f"would remove upload team/app {upload.id}" in line for line in at_terminal)
    done = run("gc", "-q", *options)
    assert (done.returncode, done.stdout) == (0, "")
    deleted = [f"Deleting repository: /{layout.repository(emptied.name)}"]
    deleted += [f"Deleting upload: /{layout.upload(upload.repository, upload.id)}"]
    assert [line for line in done.stderr.splitlines() if "blob" not in line and "layer" not in line] == deleted


@pytest.mark.parametrize("options", [(), ("-m",)], ids=["tagged and untagged", "untagged go"])
@pytest.mark.parametrize("what", ["a lease", "an upload", "an untagged manifest", "nothing"])
def test_a_dry_run_counts_the_repositories_that_a_run_empties(
    tmp_path: Path, what: str, options: tuple[str, ...]
) -> None:
    place = Place(tmp_path)
    repo = repository(place.registry, "team/app")
    push_image(repo, KEPT, "latest")
    if what == "an untagged manifest":
        repo.delete_tag(Tag("latest"))
    else:
        repo.delete_manifest(Digest(KEPT.digest))
    if what == "a lease":
        push_blob(repo, b"in progress")
    if what == "an upload":
        repo.start_upload()
    tried, done = (
        json.loads(run("gc", "--json", *options, *more, place.config).stdout)["repositories_removed"]
        for more in (("--dry-run",), ())
    )
    assert tried == done == int(what == "nothing" or (what == "an untagged manifest" and options == ("-m",)))

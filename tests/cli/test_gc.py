"""`pyregistry gc`: what it prints, and how it ends."""

import contextlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from pyregistry.cli.gc_output import UploadLog, idle_time
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import RepositoryName
from pyregistry.storage.seams import layout
from tests.builders import digest_of, image
from tests.cli.place import Place, begin_upload, run
from tests.cli.terminal import run_at_terminal
from tests.processes import require, require_root
from tests.storage.mounts import tmpfs
from tests.storage.pushing import files_of, push_blob, push_image, repository

KEPT, GONE = image(b"base", b"app"), image(b"base", b"gone")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """One image that stays, and one whose repository was removed."""
    return make_place(tmp_path)


def make_place(directory: Path) -> Place:
    made = Place(directory)
    push_image(repository(made.registry, "app"), KEPT, "latest")
    push_image(repository(made.registry, "gone"), GONE, "latest")
    made.driver.delete(layout.repository(RepositoryName("gone")))
    return made


@pytest.mark.parametrize("command", ["gc", "garbage-collect"])
def test_without_a_terminal_it_prints_the_lines_of_the_cncf_registry(place: Place, command: str) -> None:
    done = run(command, place.config)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == ["app", f"app: marking manifest {KEPT.digest} "]
    assert lines[2:5] == [f"app: marking blob {digest_of(blob)}" for blob in (b"{}", b"base", b"app")]
    assert lines[5:7] == ["", "4 blobs marked, 2 blobs and 0 manifests eligible for deletion"]
    assert sorted(lines[7:9]) == sorted(
        f"blob eligible for deletion: {each}" for each in (GONE.digest, digest_of(b"gone"))
    )
    freed = len(GONE.content) + len(b"gone")
    assert lines[9:] == [f"2 blobs and 0 manifests removed, {freed} bytes freed"]
    deleted = f"Deleting blob: /{layout.blob(Digest(GONE.digest))}"
    assert deleted in done.stderr.splitlines()


def test_a_dry_run_finds_what_the_cncf_registry_finds(place: Place) -> None:
    push_image(repository(place.registry, "app"), image(b"base", b"moved"), "latest")
    before = files_of(place.driver)
    for option in ("-d", "--dry-run"):
        ours = run("gc", option, place.config)
        assert "would be freed" in ours.stdout
        theirs = subprocess.run(
            [require("docker-registry", "docker-registry"), "garbage-collect", "--dry-run", str(place.config)],
            capture_output=True,
            text=True,
            check=True,
        )
        for begins in ("blob eligible", "app: marking"):
            assert sorted(line.strip() for line in ours.stdout.splitlines() if line.startswith(begins)) == sorted(
                line.strip() for line in theirs.stdout.splitlines() if line.startswith(begins)
            )
    assert files_of(place.driver) == before


def test_untagged_manifests_go_when_told(place: Place) -> None:
    old = image(b"base", b"app")
    push_image(repository(place.registry, "app"), image(b"base", b"new"), "latest")
    done = run("gc", "-m", place.config)
    assert f"manifest eligible for deletion: {{app {old.digest} []}}" in done.stdout
    assert run("gc", "--json", "--delete-untagged", place.config).returncode == 0


def test_quiet_says_only_what_is_removed(place: Place) -> None:
    done = run("gc", "-q", place.config)
    assert done.stdout == ""
    assert sorted(line.partition(":")[0] for line in done.stderr.splitlines()) == ["Deleting blob"] * 2


def test_the_figures_as_json(place: Place) -> None:
    push_blob(repository(place.registry, "app"), b"in progress")
    report = json.loads(run("gc", "--json", place.config).stdout)
    assert (report["blobs_removed"], report["blobs_kept_by_leases"], report["bytes_kept_by_leases"]) == (2, 1, 11)
    assert report["leases_end_at"].endswith("Z")
    report = json.loads(run("gc", "--json", "--grace", "0", place.config).stdout)
    assert (report["blobs_removed"], report["blobs_kept_by_leases"]) == (1, 0)


def test_what_leases_keep_is_said_in_one_line(place: Place) -> None:
    push_blob(repository(place.registry, "app"), b"in progress")
    last = run("gc", place.config).stdout.splitlines()[-1]
    assert last.startswith("kept 1 blobs, 11 bytes, for pushes in progress, until 20")
    assert last.endswith("at the latest; or use --grace 0")


def test_on_a_terminal_it_draws_bars_and_a_table(place: Place) -> None:
    push_image(repository(place.registry, "team/payments/api"), KEPT, "latest")
    status, lines = run_at_terminal("gc", place.config)
    output = "\n".join(lines)
    assert status == 0
    for shown in ("mark", "sweep", "2/2", "repositories", "space"):
        assert shown in output
    assert "2/4" not in output  # team and team/payments are no repositories
    assert "marking blob" not in output


def test_uploads_that_nobody_goes_on_with_go_as_well(tmp_path: Path) -> None:
    place = Place(tmp_path, maintenance={"uploadpurging": {"enabled": True, "age": "1h"}})
    old, young = (repository(place.registry).start_upload() for _ in range(2))
    for path in (layout.upload_data(old.repository, old.id), layout.upload_started_at(old.repository, old.id)):
        place.driver.set_mtime(path, 0)
    assert json.loads(run("gc", "--json", "--dry-run", place.config).stdout)["uploads_removed"] == 1
    assert json.loads(run("gc", "--json", place.config).stdout)["uploads_removed"] == 1
    assert [upload.id for upload in place.registry.uploads()] == [young.id]


@pytest.mark.parametrize(
    ("option", "left"),
    [
        ((), {"30 h", "5 h", "now"}),
        (("--uploads-older-than", "24h"), {"5 h", "now"}),
        (("--uploads-older-than", "90m"), {"now"}),
        (("--uploads-older-than", "0"), set()),
    ],
)
@pytest.mark.parametrize("purging", [True, False], ids=["purging is on", "purging is off"])
def test_open_uploads_are_named_and_go_when_an_option_says_so(
    tmp_path: Path, option: tuple[str, ...], left: set[str], purging: bool
) -> None:
    place = Place(tmp_path, maintenance={"uploadpurging": {"enabled": purging}})
    sizes = {"30 h": 3_000_000, "5 h": 200_000, "now": 10_000}
    ages = {"30 h": 30.0, "5 h": 5.0, "now": 0.0}
    uploads = {begin_upload(place, size, hours_ago=ages[name]).id: name for name, size in sizes.items()}
    sizes_left = [sizes[name] for name in left]
    tried = json.loads(run("gc", "--json", "--dry-run", *option, place.config).stdout)
    report = json.loads(run("gc", "--json", *option, place.config).stdout)
    for each in (tried, report):
        assert (each["uploads"], each["bytes_in_uploads"]) == (len(left), sum(sizes_left))
        assert each["uploads_removed"] == 3 - len(left)
        assert each["bytes_freed_from_uploads"] == sum(sizes.values()) - sum(sizes_left)
    oldest = max((ages[name] for name in left), default=0.0) * 3600
    assert oldest <= report["oldest_upload_idle_seconds"] < oldest + 60
    assert {uploads[upload.id] for upload in place.registry.uploads()} == left


def test_what_open_uploads_hold_is_a_line_of_the_output(tmp_path: Path) -> None:
    place = Place(tmp_path)
    begin_upload(place, 41_000_000, hours_ago=3.5)
    begin_upload(place, 1_000, hours_ago=0)
    last = run("gc", place.config).stdout.splitlines()[-1]
    assert last.startswith("2 open uploads hold 41.0 MB, the oldest idle for 3h30m; ")
    assert "--uploads-older-than" in last
    lines = run("gc", "--uploads-older-than", "1h", place.config).stdout.splitlines()
    assert lines[-2] == "1 open uploads removed, 41.0 MB freed"


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0s"), (59.9, "59s"), (61, "1m1s"), (3_600, "1h0m"), (90_000, "1d1h"), (700_000, "8d2h")]
)
def test_an_idle_time_has_two_units(seconds: float, shown: str) -> None:
    assert idle_time(seconds) == shown


def test_an_age_of_uploads_that_is_no_duration_is_refused(place: Place) -> None:
    done = run("gc", "--uploads-older-than", "soon", place.config)
    assert done.returncode == 2
    assert "soon" in done.stderr


def test_an_upload_that_cannot_be_removed_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    log = UploadLog()
    log.info("upload purged", upload="1")
    log.warning("upload cannot be purged", repository="app", upload="2", reason="Permission denied")
    assert capsys.readouterr() == (
        "",
        "warning: upload cannot be purged: repository=app, upload=2, reason=Permission denied\n",
    )


def test_something_skipped_ends_with_2(place: Place) -> None:
    place.driver.delete(layout.blob(Digest(KEPT.digest)))
    done = run("gc", "--json", place.config)
    assert done.returncode == 2
    [sentence] = json.loads(done.stdout)["skipped"]
    assert sentence.startswith(f"app: the manifest {KEPT.digest}, which the tag latest names, is missing; ")


def test_a_missing_volume_ends_with_3(place: Place) -> None:
    place.driver.delete(layout.REPOSITORIES)
    done = run("gc", place.config)
    assert (done.returncode, done.stdout) == (3, "")
    assert "there are 6 blobs, but there is no directory docker/registry/v2/repositories" in done.stderr


def test_a_damaged_manifest_ends_with_2_and_keeps_its_repository(place: Place) -> None:
    place.driver.write(layout.blob_data(Digest(KEPT.digest)), b"damaged")
    before = files_of(place.driver, layout.repository(RepositoryName("app")))
    done = run("gc", "--json", place.config)
    assert done.returncode == 2
    assert f"skipped: app: the manifest {KEPT.digest}, which the tag latest names, is damaged" in done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads(done.stdout)["blobs_removed"] == 2  # the rest continues
    assert files_of(place.driver, layout.repository(RepositoryName("app"))) == before


def test_a_repository_that_cannot_be_listed_ends_with_4(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    odd = place.data / layout.REPOSITORIES / "elsewhere"
    odd.symlink_to(place.data / layout.REPOSITORIES / "app")
    before = files_of(place.driver)
    done = run("gc", place.config)
    assert done.returncode == 4
    assert "elsewhere is a symbolic link" in done.stderr
    assert files_of(place.driver) == before


def test_a_second_run_at_the_same_time_ends_with_75(place: Place) -> None:
    with place.driver.lock("gc", exclusive=True):
        done = run("gc", place.config)
    assert (done.returncode, done.stderr) == (
        75,
        "pyregistry: failed to garbage collect: another garbage collection is running, or `pyregistry without-gc`\n",
    )


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ("version: 0.1\nstorage: inmemory\n", "inmemory"),
        ("version: 0.1\nstorage: {filesystem: {rootdirectory: /nowhere/at/all}}\n", "/nowhere/at/all"),
        ("version: 0.1\n", "storage"),
    ],
)
def test_a_config_without_a_data_directory_ends_with_2(tmp_path: Path, config: str, named: str) -> None:
    path = tmp_path / "config.yml"
    path.write_text(config)
    done = run("gc", path)
    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_a_grace_that_is_no_duration_is_refused(place: Place) -> None:
    done = run("gc", "--grace", "soon", place.config)
    assert done.returncode == 2
    assert "'soon' is not a duration" in done.stderr


def test_root_leaves_nothing_that_the_owner_of_the_directory_cannot_use(place: Place) -> None:
    require_root()
    place.data.parent.chmod(0o755)
    for parent in place.data.parents:
        if parent.stat().st_mode & 0o005 != 0o005:
            parent.chmod(parent.stat().st_mode | 0o005)
    for path in (place.data, *place.data.rglob("*")):
        os.chown(path, 1234, 1234)
    assert run("gc", "--json", place.config).returncode == 0
    assert {path.stat().st_uid for path in place.data.rglob("*")} == {1234}


def test_a_full_disk_can_be_tidied_up(tmp_path: Path) -> None:
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    with tmpfs(mounted, "size=2m"):
        place = make_place(mounted)
        with contextlib.suppress(OSError), (mounted / "ballast").open("wb", buffering=0) as ballast:
            while True:
                ballast.write(bytes(4096))
        with pytest.raises(OSError, match="space"):
            place.driver.write(layout.child(layout.TMP, "one-more"), bytes(4096))
        done = run("gc", "--json", place.config)
        assert (done.returncode, json.loads(done.stdout)["blobs_removed"]) == (0, 2), done.stderr

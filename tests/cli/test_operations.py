"""rm, ls, du and fsck on the command line."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from pyregistry.cli.tables import human_size, parse_size
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import Tag
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.repositories.registry import Registry
from pyregistry.storage.seams import layout
from tests import forked
from tests.builders import image, index
from tests.cli.running import run, run_process, write_config
from tests.fsck.trees import APP, NEW, OLD, SBOM, blob_path, current, fill
from tests.processes import require_root, wait_until
from tests.storage.pushing import pull, push_image, registry_on, repository, tagged_images

_AGE = re.compile(r" \d+s$", re.MULTILINE)
"""Of an upload; a second may pass between two looks."""


@pytest.fixture
def config(root: Path) -> Path:
    return write_config(root.parent)


@pytest.fixture
def driver(config: Path) -> FilesystemDriver:
    driver = FilesystemDriver(config.parent / "data")
    fill(registry_on(driver))
    return driver


@pytest.fixture
def registry(driver: FilesystemDriver) -> Registry:
    return registry_on(driver)


def test_rm_of_a_repository_leaves_the_others_and_gc_the_bytes(
    config: Path, driver: FilesystemDriver, registry: Registry
) -> None:
    output = run("rm", APP, "--yes", "--config", config)
    assert output == "removed team/app\npyregistry gc frees the space\n"
    assert list(registry.catalog()) == ["other"]
    assert pull(repository(registry, "other"), image(b"base"))
    assert not (driver.root / layout.REPOSITORIES / "team").exists()
    assert (driver.root / blob_path(b"new")).exists()


def test_rm_of_tags_by_glob(config: Path, registry: Registry) -> None:
    assert run("rm", "team/*:v*", "te*:mul?i", "--yes", "--json", "-c", config)
    assert tagged_images(repository(registry, APP)).keys() == {"latest", "wide"}
    assert pull(repository(registry, APP), NEW)


def test_rm_of_a_digest_takes_its_tags(config: Path, registry: Registry) -> None:
    run("rm", f"{APP}@{NEW.digest}", "--yes", "-c", config)
    assert tagged_images(repository(registry, APP)).keys() == {"multi", "wide"}


def test_rm_takes_a_torn_tag(config: Path, driver: FilesystemDriver) -> None:
    driver.write(current(), b"")
    run("rm", f"{APP}:latest", "--yes", "-c", config)
    assert "latest" not in list(driver.children(layout.tags(APP)))


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("team/app", "nothing", "--yes"), 1, "nothing: not found"),
        (("team/app:nope", "--yes"), 1, "team/app:nope: not found"),
        (("team/app@sha256:12", "--yes"), 2, "a digest is"),
        (("team/app",), 2, "use --yes"),
        (("team/*", "--dry-run"), 0, "would remove team/app\n"),
    ],
)
def test_rm_removes_nothing_unless_all_is_clear(
    config: Path, registry: Registry, words: tuple[str, ...], status: int, said: str
) -> None:
    assert said in re.sub(r"\s*│\s*", " ", run("rm", *words, "-c", config, status=status)) + "\n"
    assert set(registry.catalog()) == {"other", "team/app"}


@pytest.mark.parametrize(("answer", "left"), [(b"y\n", ["team/app"]), (b"n\n", ["other", "team/app"])])
def test_rm_asks_on_a_terminal(config: Path, registry: Registry, answer: bytes, left: list[str]) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "pyregistry", "rm", "other", "-c", str(config)]
    process = forked.Process(command, (theirs, theirs, theirs))
    os.write(ours, answer)
    assert process.wait(60) == (0 if answer == b"y\n" else 1)
    assert b"Remove this?" in os.read(ours, 4096)
    os.close(ours)
    os.close(theirs)
    assert list(registry.catalog()) == left


def test_what_may_not_be_touched_is_a_sentence_and_not_a_traceback(config: Path, driver: FilesystemDriver) -> None:
    require_root()
    for path in (driver.root, driver.root / layout.TREE):
        os.chown(path, 65_534, 65_534)
    config.parent.chmod(0o755)
    (driver.root / ".pyregistry").chmod(0o700)
    assert "Permission denied" in run_process("rm", "other", "--yes", "-c", config, status=3)
    (driver.root / layout.REPOSITORIES).chmod(0o700)
    for words in (("ls", "-c"), ("rm", "other", "--yes", "-c")):
        assert "cannot use the data directory: " in run_process(*words, config, status=2)
    run_process("du", config, status=4)
    assert "no-permission docker/registry/v2/repositories: " in run_process("fsck", config, status=1)


def test_ls_shows_repositories(config: Path, driver: FilesystemDriver) -> None:
    lines = run("ls", "-c", config).splitlines()
    assert lines[0].split() == ["REPOSITORY", "TAGS", "SIZE", "PUSHED"]
    assert [line.split()[:2] for line in lines[1:]] == [["other", "1"], ["team/app", "4"]]


@pytest.mark.parametrize("command", ["ls", "rm"])
def test_a_config_that_stands_where_a_name_does_is_hinted_at(config: Path, registry: Registry, command: str) -> None:
    output = run(command, config, "nothing", "-c", config, status=1)
    hint = f"pyregistry: {config}: not found; give the config with -c {config}"
    assert output.splitlines() == [hint, "pyregistry: nothing: not found"]


def test_ls_of_nothing_prints_no_header(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    (tmp_path / "data").mkdir()
    assert run("ls", "-c", config) == ""
    assert json.loads(run("ls", "--json", "-c", config)) == []


def test_ls_shows_what_a_tag_names(config: Path, registry: Registry) -> None:
    amd64 = image(b"a", config=b'{"os": "linux", "architecture": "amd64"}')
    push_image(repository(registry, "shown"), amd64, "one")
    several = index(amd64).content.replace(
        b'"size"', b'"platform": {"os": "linux", "architecture": "arm", "variant": "v7"}, "size"'
    )
    driver_of(registry).set_mtime(
        layout.tag_current_link(repository(registry, "shown").name, Tag("one")), 1_700_000_000 * 10**9
    )
    repository(registry, "shown").put_manifest(Tag("two"), several, None)
    one, two = json.loads(run("ls", "show*", "--json", "-c", config))
    assert one == {
        "repository": "shown",
        "tag": "one",
        "digest": amd64.digest,
        "media_type": amd64.media_type,
        "platforms": ["linux/amd64"],
        "size": len(amd64.content) + sum(map(len, amd64.blobs)),
        "pushed_at": "2023-11-14T22:13:20Z",
    }
    assert (two["platforms"], two["size"]) == (["linux/arm/v7"], one["size"] + len(several))
    assert run("ls", "shown:two", "-c", config).splitlines()[1].split()[:3] == ["shown", "two", two["digest"]]
    run("ls", "shown:three", "-c", config, status=1)


def driver_of(registry: Registry) -> FilesystemDriver:
    driver = registry._objects
    assert isinstance(driver, FilesystemDriver)
    return driver


def test_ls_shows_a_torn_tag_and_a_missing_manifest(config: Path, driver: FilesystemDriver) -> None:
    driver.write(current(), b"")
    driver.delete(layout.blob(Digest(NEW.digest)))
    rows = {
        row["tag"]: (row["digest"], row["media_type"]) for row in json.loads(run("ls", APP, "--json", "-c", config))
    }
    assert rows["latest"] == (None, "")
    assert rows["v1"] == (NEW.digest, "")


def test_du_tells_own_from_shared_and_what_gc_would_free(config: Path, registry: Registry) -> None:
    usage = json.loads(run("du", config, "--json"))
    of = {each["name"]: each for each in usage["repositories"]}
    assert of["other"]["shared"] == of["team/app"]["shared"] == len(b"base") + len(b"{}")
    assert of["other"]["own"] == len(image(b"base").content)
    assert (usage["reclaimable"], usage["leased"], usage["uploads"]) == (0, len(b"without a manifest"), 1)
    run("rm", "other", "--yes", "-c", config)
    usage = json.loads(run("du", config, "--json"))
    assert usage["reclaimable"] == len(image(b"base").content)
    usage = json.loads(run("du", config, "--json", "-m"))
    assert usage["reclaimable"] == len(image(b"base").content) + len(OLD.content) + len(b"old")
    assert "reclaimable" in run("du", config)


def test_du_of_what_cannot_be_marked_ends_with_4(config: Path, driver: FilesystemDriver) -> None:
    elsewhere = driver.root / layout.REPOSITORIES / "elsewhere"
    elsewhere.symlink_to(driver.root / layout.REPOSITORIES / "team")
    assert "elsewhere is a symbolic link" in run("du", config, status=4)


def test_du_names_a_manifest_that_cannot_be_read_and_counts_the_rest(config: Path, driver: FilesystemDriver) -> None:
    driver.write(blob_path(NEW.content), b"damaged")
    shown = run("du", config)
    assert f"warning: team/app: the manifest {NEW.digest}" in shown
    assert "see pyregistry fsck" in shown
    assert "reclaimable" in shown


def test_fsck_of_a_sound_tree(config: Path, driver: FilesystemDriver) -> None:
    assert run("fsck", config) == "0 damaged, 0 left over\n"


def test_fsck_repairs_nothing_while_all_blobs_are_away(config: Path, driver: FilesystemDriver) -> None:
    before = run("ls", "-c", config, "--json")
    blobs = driver.root / layout.BLOBS
    away = blobs.rename(blobs.with_name("away"))
    for present in (False, True):
        if present:  # as a volume that is not mounted
            blobs.mkdir()
        assert "a volume seems to be missing" in run_process("fsck", config, "--repair", status=3)
    blobs.rmdir()
    away.rename(blobs)
    assert run("fsck", config) == "0 damaged, 0 left over\n"
    assert run("ls", "-c", config, "--json") == before
    shutil.rmtree(blobs)
    assert "repaired" in run("fsck", config, "--repair", "--allow-empty", status=4)


def test_fsck_says_what_is_lost_and_its_status_tells(config: Path, driver: FilesystemDriver) -> None:
    driver.write(current("multi"), b"")
    assert "torn-tag" in run("fsck", config, status=1)
    output = run("fsck", config, "--repair", status=1)
    assert "repaired: set to sha256:" in output
    assert "lost" not in output
    run("fsck", config)
    driver.write(blob_path(b"new"), b"ne")
    output = run("fsck", config, "--repair", status=4)
    assert "lost: team/app:latest team/app:multi team/app:v1" in output
    assert "1 repaired" not in run("fsck", config, status=1)


def test_fsck_reports_leftovers_without_alarm(config: Path, driver: FilesystemDriver) -> None:
    driver.make_directory(layout.blob(Digest.of(b"never came")))
    summary, step = run("fsck", config).splitlines()[-2:]
    assert summary == "0 damaged, 1 left over"
    assert step.endswith(" --repair (tidies up)")


def test_a_wrong_size_of_a_blob_is_noted_without_alarm(config: Path, driver: FilesystemDriver) -> None:
    repo = repository(registry_on(driver), APP)
    content = NEW.content.replace(b'"size": 3', b'"size": 0')
    assert content != NEW.content
    before = _AGE.sub("", run("du", config))
    repo.put_manifest(Tag("old-client"), content, NEW.media_type)
    shown = run("fsck", config)
    assert "has 3 bytes instead of 0; the blob is right" in shown
    assert "lost" not in shown
    assert shown.splitlines()[-1] == "0 damaged, 1 left over"
    assert "repaired" not in run("fsck", config, "--repair").replace("0 repaired", "")
    sizes = {image["tag"]: image["size"] for image in json.loads(run("ls", APP, "-c", config, "--json"))}
    assert sizes["old-client"] == sizes["latest"] - len(NEW.content) + len(content)
    repo.delete_manifest(Digest.of(content))
    run("gc", config)
    assert _AGE.sub("", run("du", config)) == before


def test_fsck_prints_json(config: Path, driver: FilesystemDriver) -> None:
    driver.write(blob_path(SBOM.content), SBOM.content[:-1] + b" ")
    document = json.loads(run_process("fsck", config, "--scrub", "--rate", "0", "--json", status=1))
    kinds = {finding["kind"]: finding for finding in document["findings"]}
    assert kinds.keys() == {"corrupt-blob", "damaged-manifest"}
    assert kinds["damaged-manifest"]["lost"] == [f"team/app@{SBOM.digest}"]
    assert (document["scrub"]["complete"], document["scrub"]["never"]) == (True, 1)


def test_fsck_needs_a_directory(tmp_path: Path) -> None:
    assert "cannot use the data directory" in run("fsck", write_config(tmp_path), status=2)


@pytest.mark.parametrize("command", [("ls", "-c"), ("du",), ("gc",), ("fsck",), ("rm", "app", "-y", "-c"), ("serve",)])
def test_a_root_directory_that_no_file_system_has_is_a_sentence(tmp_path: Path, command: tuple[str, ...]) -> None:
    config = write_config(tmp_path, storage={"filesystem": {"rootdirectory": "/data\0"}})
    output = run(*command, config, status=2)
    assert 'storage.filesystem.rootdirectory: "/data\\u0000", expected the path of a directory' in output


def test_fsck_works_as_the_owner_of_the_directory(config: Path, driver: FilesystemDriver) -> None:
    require_root()
    for path in (driver.root, *driver.root.rglob("*")):
        os.chown(path, 65_534, 65_534)
    config.parent.chmod(0o755)
    driver.write(current("multi"), b"")
    os.chown(driver.root / current("multi"), 65_534, 65_534)
    run_process("fsck", config, "--repair", status=1)
    assert {path.stat().st_uid for path in driver.root.rglob("*")} == {65_534}


def test_a_scrub_that_is_stopped_goes_on_later(config: Path, driver: FilesystemDriver) -> None:
    words = [sys.executable, "-m", "pyregistry", "fsck", str(config), "--scrub", "--rate", "300"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        wait_until(lambda: any((driver.root / ".pyregistry/scrub").glob("sha*")), "some of it was read")
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 130, output
    stopped = re.search(r"scrub: (\d+) of (\d+) blobs", output)
    assert stopped is not None
    assert 0 < int(stopped[1]) < int(stopped[2])
    scrubbed = json.loads(run_process("fsck", config, "--scrub", "--json"))["scrub"]
    assert scrubbed["checked"] == scrubbed["blobs"] == int(stopped[2])


@pytest.mark.parametrize(
    ("text", "size"), [("50MB", 50e6), ("1.5 GiB", 1.5 * 2**30), ("10", 10), ("7k", 7000), ("0", 0)]
)
def test_sizes_that_are_understood(text: str, size: float) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-1MB", "1 PB", "1e9", "\u0661MB"])
def test_sizes_that_are_not(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (999_950, "1.0 MB"), (10**15, "1000.0 TB")]
)
def test_sizes_as_people_read_them(size: int, text: str) -> None:
    assert human_size(size) == text


@pytest.mark.parametrize("command", ["ls", "du"])
def test_where_a_config_that_nobody_named_has_nothing_the_directory_is_named(
    config: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    (root := config.parent / "data").mkdir(exist_ok=True)
    monkeypatch.setenv("REGISTRY_CONFIGURATION_PATH", str(config))
    assert run(command).startswith(f"no repositories in {root}\n")
    json.loads(run(command, "--json"))


def test_du_names_the_open_uploads_those_first_that_are_idle_longest(config: Path, root: Path) -> None:
    driver = FilesystemDriver(root)
    repo = repository(registry_on(driver), "team/app")
    begun = [repo.start_upload() for _ in range(22)]
    for hours, upload in enumerate(begun):
        path = layout.upload_data(upload.repository, upload.id)
        driver.write(path, bytes(1_000 * hours))
        for each in (path, layout.upload_started_at(upload.repository, upload.id)):
            driver.set_mtime(each, time.time_ns() - hours * 3600 * 10**9)
    listed = json.loads(run("du", config, "--json"))
    assert listed["uploads"] == 22
    assert [each["id"] for each in listed["open_uploads"]] == [upload.id for upload in reversed(begun)]
    assert listed["open_uploads"][0]["size"] == 21_000
    assert 21 * 3600 <= listed["open_uploads"][0]["idle"] < 21 * 3600 + 60
    shown = run("du", config)
    rows = shown.partition("OPEN UPLOADS IN")[2].splitlines()[1:]
    assert rows[0].split() == ["team/app", begun[-1].id, "21000", "21h0m"]
    assert rows[19].split()[1] == begun[2].id
    assert "2 more, see --json" in shown

"""The output of fsck: causes, images that cannot be pulled, next steps, and what a run did not look at."""

import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pyregistry.oci.digest import Digest
from pyregistry.storage.local import leases
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.seams import layout
from tests.builders import image
from tests.cli.running import run, run_process, write_config
from tests.cli.test_hostile_text import OUR_COLOURS, at_a_terminal
from tests.fsck.trees import APP, OLD, blob_path, current, fill
from tests.processes import wait_until
from tests.storage.pushing import files_of, push_image, registry_on, repository

IMAGES = 8
PUSH_AGAIN = (
    "push the images above again (a client that skips an image because it exists: pyregistry rm IMAGE -m first)"
)


@pytest.fixture
def config(root: Path) -> Path:
    return write_config(root.parent)


@pytest.fixture
def driver(config: Path) -> FilesystemDriver:
    """Images of two repositories and eight more that share a layer."""
    driver = FilesystemDriver(config.parent / "data")
    registry = registry_on(driver)
    fill(registry)
    for number in range(IMAGES):
        push_image(repository(registry, "many"), image(b"base", b"layer %d" % number), f"v{number}")
    return driver


def damage_two_blobs(driver: FilesystemDriver) -> None:
    driver.write(blob_path(b"base"), b"bad")
    driver.write(blob_path(b"layer 3"), b"")


TAGS = [f"many:v{number}" for number in range(IMAGES)] + [
    "other:latest",
    "team/app:latest",
    "team/app:multi",
    "team/app:v1",
]
"""Every tag that needs one of the two."""


def test_two_bad_blobs_are_two_causes_with_the_images_that_they_hinder(config: Path, driver: FilesystemDriver) -> None:
    damage_two_blobs(driver)
    lines = run("fsck", config, "--scrub", "--rate", "0", status=1).splitlines()
    [corrupt] = [line for line in lines if line.startswith("corrupt-blob ")]
    [empty] = [line for line in lines if line.startswith("empty-blob ")]
    assert str(blob_path(b"base")) in corrupt
    assert str(blob_path(b"layer 3")) in empty
    assert not [line for line in lines if line.startswith("missing-blob")]
    assert lines[lines.index(corrupt) + 1] == "  with it: 11 missing-blob"
    assert lines[lines.index(corrupt) + 2] == "  lost: many:v0 many:v1 many:v2 many:v3 many:v4 and 8 more"
    assert lines[lines.index(empty) + 2] == "  lost: many:v3"
    assert "2 damaged (14 findings), 0 left over" in lines


def test_every_tag_that_cannot_be_pulled_is_listed_once(config: Path, driver: FilesystemDriver) -> None:
    damage_two_blobs(driver)
    lines = run("fsck", config, "--scrub", "--rate", "0", status=1).splitlines()
    begin = lines.index(f"cannot be pulled whole: {len(TAGS) + 1}")
    assert lines[begin + 1 : begin + 2 + len(TAGS)] == [f"  {each}" for each in (*TAGS, f"{APP}@{OLD.digest}")]
    document = json.loads(run_process("fsck", config, "--scrub", "--rate", "0", "--json", status=1))
    assert document["images"] == [*TAGS, f"{APP}@{OLD.digest}"]
    assert [(each["kind"], each["weight"]) for each in document["causes"]] == [
        ("corrupt-blob", "damage"),
        ("empty-blob", "damage"),
    ]
    assert document["damaged"] == len(document["findings"]) == 14


def test_a_missing_blob_is_one_cause_that_counts_its_manifests(config: Path, driver: FilesystemDriver) -> None:
    driver.delete(layout.blob(Digest.of(b"base")))
    shown = run("fsck", config, status=1)
    assert f"the blob {Digest.of(b'base')} of 11 manifests is not there; push it again" in shown
    assert "\n  with it: 3 dangling-layer, 10 missing-blob\n" in shown


def test_a_missing_manifest_is_one_cause_with_its_tags(config: Path, driver: FilesystemDriver) -> None:
    driver.delete(layout.blob(Digest(image(b"base", b"layer 1").digest)))
    lines = run("fsck", config, status=1).splitlines()
    assert lines[1:3] == ["  with it: 1 dangling-tag", "  lost: many:v1"]
    assert "1 damaged (2 findings), 0 left over" in lines


def test_the_next_commands_lead_to_a_sound_tree(config: Path, driver: FilesystemDriver) -> None:
    damage_two_blobs(driver)
    quoted = shlex.quote(str(config))
    assert next_steps(run("fsck", config, "--scrub", "--rate", "0", status=1)) == [
        f"pyregistry fsck {quoted} --repair (puts damaged bytes into quarantine, so that a push sends them again)",
        PUSH_AGAIN,
        f"pyregistry fsck {quoted} (must end with 0 damaged)",
    ]
    assert next_steps(run("fsck", config, "--scrub", "--rate", "0", "--repair", status=4)) == [
        PUSH_AGAIN,
        f"look at {driver.root}/.pyregistry/quarantine, then empty it with rm",
        f"pyregistry fsck {quoted} (must end with 0 damaged)",
    ]
    fill(registry_on(driver))
    for number in range(IMAGES):
        push_image(repository(registry_on(driver), "many"), image(b"base", b"layer %d" % number), f"v{number}")
    assert run("fsck", config) == "0 damaged, 0 left over\n"


def test_an_image_that_a_client_skips_as_existing_is_sent_whole_after_rm_m(
    config: Path, driver: FilesystemDriver
) -> None:
    damage_two_blobs(driver)
    lost = run("fsck", config, "--scrub", "--rate", "0", "--repair", "--json", status=4)
    images = json.loads(lost)["images"]
    assert images
    run("rm", "-c", config, "-m", "--yes", *images)
    assert not json.loads(run("fsck", config, "--json", status=0))["images"]


def next_steps(shown: str) -> list[str]:
    return [line.removeprefix("next: ") for line in shown.splitlines() if line.startswith("next: ")]


def no_file(driver: FilesystemDriver) -> None:
    path = driver.root / blob_path(b"base")
    path.unlink()
    path.symlink_to("/nowhere")


def bad_name(driver: FilesystemDriver) -> None:
    (driver.root / layout.REPOSITORIES / "BIG/_manifests").mkdir(parents=True)


@pytest.mark.parametrize(
    ("damage", "step"),
    [
        (no_file, "mount or restore what the symbolic links of no-file lead to"),
        (bad_name, "rename or remove the directories of bad-name"),
    ],
)
def test_what_only_a_person_can_mend_is_a_step(
    config: Path, driver: FilesystemDriver, damage: Callable[[FilesystemDriver], None], step: str
) -> None:
    damage(driver)
    assert next_steps(run("fsck", config, status=1))[0] == step


def test_many_causes_of_one_kind_are_bounded_and_all_in_json(config: Path, driver: FilesystemDriver) -> None:
    links = [path for path in files_of(driver, layout.REPOSITORIES) if "/_layers/" in path]
    assert len(links) > 20
    for path in links:
        driver.write(layout.StoragePath(path), b"")
    shown = run("fsck", config, status=1)
    assert shown.count("\ntorn-link docker/") + shown.startswith("torn-link docker/") == 20
    assert f"torn-link: {len(links) - 20} more, see --json\n" in shown
    assert len(json.loads(run("fsck", config, "--json", status=1))["causes"]) == len(links)


def test_a_long_list_of_images_is_bounded(config: Path, driver: FilesystemDriver) -> None:
    repo = repository(registry_on(driver), "wide")
    push_image(repo, image(b"shared"), *(f"t{number:03}" for number in range(60)))
    driver.write(blob_path(b"shared"), b"")
    lines = run("fsck", config, status=1).splitlines()
    begin = lines.index("cannot be pulled whole: 60")
    assert lines[begin + 50 : begin + 52] == ["  wide:t049", "  and 10 more, see --json"]


def test_a_terminal_shows_the_table_the_total_and_the_next_step(config: Path, driver: FilesystemDriver) -> None:
    driver.write(current("multi"), b"")
    driver.make_directory(layout.blob(Digest.of(b"never came")))
    written = OUR_COLOURS.sub("", at_a_terminal("fsck", config, kind="xterm").decode()).replace("\r\n", "\n")
    table, _, rest = written.partition("FOUND")[2].partition("\n1 damaged, 1 left over\n")
    assert [line.split()[:3] for line in table.splitlines()[1:]] == [["torn-tag", "1", "0"], ["no-data", "1", "0"]]
    assert rest.startswith("next: pyregistry fsck ")
    assert at_a_terminal("fsck", config, "--repair").decode().count("repaired") == 3
    assert "0 damaged, 0 left over" in at_a_terminal("fsck", config).decode()


def start(*words: str | Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "pyregistry", "fsck", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_scrub_that_is_stopped_says_what_it_did_not_look_at(
    config: Path, driver: FilesystemDriver, stop: signal.Signals
) -> None:
    with start(config, "--scrub", "--rate", "100") as process:  # more than a minute for all
        wait_until(lambda: any((driver.root / ".pyregistry/scrub").glob("sha*")), "some of it was read")
        process.send_signal(stop)
        output = process.communicate(timeout=30)[0]
    assert process.returncode == 130, output
    read = re.search(r"^scrub: (\d+) of (\d+) blobs", output, re.MULTILINE)
    assert read is not None
    left = int(read[2]) - int(read[1])
    assert f"stopped; not looked at: the bytes of {left} of {read[2]} blobs (" in output
    assert "), all links and manifests\nso far 0 damaged, 0 left over\n" in output
    [step] = next_steps(output)
    words = shlex.split(step.partition(" (")[0])
    assert words == ["pyregistry", "fsck", str(config), "--scrub", "--rate", "100"]
    assert "\n0 damaged, 0 left over\n" in run_process(*words[1:-2], "--rate", "0")


def test_a_scrub_that_is_stopped_tells_a_program_so(config: Path, driver: FilesystemDriver) -> None:
    with start(config, "--scrub", "--rate", "300", "--json") as process:
        wait_until(lambda: any((driver.root / ".pyregistry/scrub").glob("sha*")), "some of it was read")
        process.send_signal(signal.SIGTERM)
        document = json.loads(process.communicate(timeout=30)[0])
    assert process.returncode == 130
    assert document["stopped"] == "stopped"
    assert not document["scrub"]["complete"]
    assert document["checked"] == {"repositories": 0, "complete": False}


def test_a_check_that_is_stopped_says_where(config: Path, driver: FilesystemDriver) -> None:
    """A torn link is looked at again with a lock, which is held here."""
    driver.write(layout.layer_link(APP, Digest.of(b"new")), b"")
    with leases.exclusive_section(driver), start(config) as process:
        waiting = re.compile(rf"-> .* {process.pid} ")
        wait_until(lambda: waiting.search(Path("/proc/locks").read_text()) is not None, "it waits for the lock")
        process.send_signal(signal.SIGTERM)
        output = process.communicate(timeout=30)[0]
    assert process.returncode == 130, output
    left = f"the rest of {APP} and the repositories after it (2 were checked)"
    assert f"stopped; not looked at: {left}\nso far 0 damaged, 0 left over\n" in output


def test_a_second_scrub_says_only_that_another_one_runs(config: Path, driver: FilesystemDriver) -> None:
    with driver.lock("scrub", exclusive=True):
        assert run("fsck", config, "--scrub", status=75) == "pyregistry: another scrub is running\n"

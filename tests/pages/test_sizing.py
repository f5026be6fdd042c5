"""docs/sizing.md: its figures are those of bench.sizing, and its commands show what the page says."""

import os
import re
from pathlib import Path

import pytest

from bench import sizing
from bench.sizing import Scale
from tests.engine.images import layer
from tests.engine.wire import Wire
from tests.pages.commands import DOCS, Page
from tests.processes import data_directory, forked_server, require_root
from tests.storage.mounts import tmpfs

RESERVED = 50
"""A fiftieth of the file system."""
FACTOR = 1.6
"""Memory differs between versions of Python and libraries, and by what happened to be there when it was measured."""


def documented() -> dict[str, str]:
    table = (DOCS / "sizing.md").read_text().partition(sizing.BEGIN)[2].partition(sizing.END)[0]
    rows = [line.strip("|").split("|") for line in table.splitlines()[2:]]
    return {name.strip(): value.strip() for name, value in rows}


def test_the_files_of_an_image_are_as_many_as_the_page_says(tmp_path: Path) -> None:
    one, ten = sizing.files_of(tmp_path, 1), sizing.files_of(tmp_path, 10)
    page = documented()
    assert page["inodes of an image with one layer"] == str(one.inodes)
    assert page["inodes of each layer more"] == f"{(ten.inodes - one.inodes) / 9:g}"
    assert f"one with ten layers {ten.inodes}." in (DOCS / "sizing.md").read_text()


def test_the_memory_of_idle_workers_is_about_what_the_page_says(tmp_path: Path) -> None:
    few, many = (sizing.idle_memory(tmp_path, workers) for workers in (1, 4))
    page = {name: int(value.split()[0]) * sizing.MIB for name, value in documented().items() if "idle" in name}
    assert few < page["memory, one worker, idle"] * FACTOR
    assert many - few < 3 * page["memory, each worker more, idle"] * FACTOR


def test_every_row_of_the_page_is_measured_by_its_command(tmp_path: Path) -> None:
    names = [name for name, _ in sizing.rows(tmp_path, Scale(pushes=3, layer_bytes=sizing.MIB, workers=(1, 2)))]
    numbers = re.compile(r"\d+")
    assert [numbers.sub("N", name) for name in names] == [numbers.sub("N", name) for name in documented()]


@pytest.mark.parametrize(("size", "is_full"), [("40m", False), ("40m", True), ("8g", False)])
def test_the_bytes_that_may_still_be_sent_are_what_the_command_prints(tmp_path: Path, size: str, is_full: bool) -> None:
    require_root()
    server = forked_server(tmp_path)
    data = data_directory(tmp_path)
    with tmpfs(data, f"size={size}"), server, Wire(server) as wire:
        if is_full:
            usage = os.statvfs(data)
            with (data / "ballast").open("wb") as file:
                left = usage.f_blocks * usage.f_frsize // (2 * RESERVED)
                os.posix_fallocate(file.fileno(), 0, usage.f_bavail * usage.f_frsize - left)
        printed = int(Page("sizing.md", {"/srv/registry": str(data)}).run("available", tmp_path))
        usage = os.statvfs(data)
        assert abs(printed - (usage.f_bavail - usage.f_blocks // RESERVED) * usage.f_frsize) <= 2 * usage.f_frsize
        assert (printed <= 0) == is_full
        wire.request("POST", "/v2/app/blobs/uploads/", b"").must(507 if is_full else 202)


def test_the_commands_for_inodes_and_descriptors_print_them(tmp_path: Path) -> None:
    with forked_server(tmp_path) as server, Wire(server) as wire:
        wire.push_blob("app", layer(100))
        paths = {"/srv/registry": str(data_directory(tmp_path)), "$(pgrep -f 'pyregistry serve')": str(server.pid)}
        page = Page("sizing.md", paths)
        assert "IUse%" in page.run("inodes", tmp_path)
        assert int(page.run("descriptors", tmp_path)) > 3

"""Tables at terminals of every width, and what a program gets."""

import re
from pathlib import Path

import pytest

from pyregistry.cli.tables import Narrower, narrow
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage.local import volumes
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.seams import layout
from tests.builders import image, index
from tests.cli.running import run, write_config
from tests.cli.terminal import run_at_terminal
from tests.storage.pushing import push_image, registry_on, repository

AMD64, ARM64 = (image(name, config=b'{"os": "linux", "architecture": "%b"}' % name) for name in (b"amd64", b"arm64"))
NAME = "team/payments-api"
PUSHED_NS = 1_700_000_000 * 10**9


@pytest.fixture
def config(root: Path) -> Path:
    config = write_config(root.parent)
    root.mkdir(exist_ok=True)
    driver = FilesystemDriver(root)
    volumes.note_mounted(driver)
    push_image(repository(registry_on(driver), NAME), AMD64, "1.2.3")
    push_image(repository(registry_on(driver), NAME), index(AMD64, ARM64), "1.2.3-multi")
    for tag in ("1.2.3", "1.2.3-multi"):
        driver.set_mtime(layout.tag_current_link(RepositoryName(NAME), Tag(tag)), PUSHED_NS)
    return config


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (120, ["REPOSITORY", "TAG", "DIGEST", "TYPE", "PLATFORMS", "SIZE", "PUSHED"]),
        (80, ["REPOSITORY", "TAG", "DIGEST", "PLATFORMS", "SIZE", "PUSHED"]),
        (60, ["REPOSITORY", "TAG", "DIGEST", "SIZE"]),
        (40, ["REPOSITORY", "TAG", "SIZE"]),
    ],
)
def test_ls_leaves_out_what_does_not_fit_and_breaks_nothing(config: Path, columns: int, shown: list[str]) -> None:
    status, lines = run_at_terminal("ls", NAME, "-c", config, columns=columns)
    lines = [line for line in lines if line]
    assert status == 0
    assert len(lines) == 3
    assert max(map(len, lines)) <= columns
    assert lines[0].split() == shown
    digest = AMD64.digest.removeprefix("sha256:")[:12]
    for name, text in {
        "DIGEST": digest,
        "PUSHED": "2023-11-14",
        "PLATFORMS": "linux/amd64",
        "REPOSITORY": NAME,
    }.items():
        assert (text in lines[1]) == (name in shown)


def test_the_list_of_repositories_fits_as_well(config: Path) -> None:
    for columns, shown in ((60, "REPOSITORY TAGS SIZE PUSHED"), (36, "REPOSITORY TAGS SIZE"), (28, "REPOSITORY SIZE")):
        lines = [line for line in run_at_terminal("ls", "-c", config, columns=columns)[1] if line]
        assert (len(lines), lines[0].split()) == (2, shown.split())


def test_a_program_gets_everything(config: Path) -> None:
    row = run("ls", f"{NAME}:1.2.3", "-c", config).splitlines()[1].split()
    assert row[:3] == [NAME, "1.2.3", AMD64.digest]
    assert row[-1] == "2023-11-14T22:13:20Z"


def test_du_fits(config: Path) -> None:
    for columns in (80, 60, 40):
        assert max(map(len, run_at_terminal("du", config, columns=columns)[1])) <= columns


@pytest.mark.parametrize("width", range(8, 40))
def test_a_table_that_nothing_else_helps_is_cut_in_its_widest_column(width: int) -> None:
    texts = {"NAME": ["a" * 30, "b"], "SIZE": ["12 MB", "1 MB"], "MORE": ["x" * 9, ""]}
    narrow(texts, [Narrower("MORE", lambda text: text[:2]), Narrower("MORE")], width)
    used = sum(max(map(len, (name, *cells))) for name, cells in texts.items()) + 2 * (len(texts) - 1)
    assert used <= max(width, 8 + 2 + 5)
    assert texts["SIZE"] == ["12 MB", "1 MB"]
    assert texts["NAME"][1] == "b"
    assert re.fullmatch("a+…|a{30}", texts["NAME"][0])

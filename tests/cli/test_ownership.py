"""A service of another user can use what root's commands leave: on volumes as Kubernetes makes them.

The service is a real one with a user and a group of its own. It may read everything, since the tests' Python may lie
where only root can read; what it may write is decided by owners and modes alone.
"""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pyregistry.cli.data_directory import become_owner_of
from pyregistry.storage.local.filesystem import FilesystemDriver
from tests.builders import digest_of
from tests.cli.running import run_process
from tests.fsck.trees import current, fill
from tests.processes import Server, data_directory, forked_server, require, require_root
from tests.storage.pushing import registry_on
from tests.workers.http import ask

SERVICE, GROUP = 1234, 3000


def as_service() -> list[str]:
    """Return the first words of a command that runs as the service."""
    rights = ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
    return [require("setpriv", "util-linux"), f"--reuid={SERVICE}", f"--regid={GROUP}", "--clear-groups", *rights]


def everything(root: Path) -> list[Path]:
    return [root, *root.rglob("*")]


def give(path: Path, owner: int, group: int, directories: int, files: int) -> None:
    for each in everything(path):
        os.chown(each, owner, group)
        each.chmod(directories if each.is_dir() else files)


def of_the_service(root: Path) -> None:
    """fsGroup, filled by the service."""
    give(root, SERVICE, GROUP, 0o2755, 0o644)
    os.chown(root, 0, GROUP)
    root.chmod(0o2775)


def of_the_service_without_ours(root: Path) -> None:
    """The same, by the CNCF registry."""
    shutil.rmtree(root / ".pyregistry")
    of_the_service(root)


def of_the_service_for_its_group(root: Path) -> None:
    """The same, with a umask that lets the group in."""
    shutil.rmtree(root / ".pyregistry")
    give(root, SERVICE, GROUP, 0o2775, 0o664)
    os.chown(root, 0, GROUP)


def of_root_for_the_group(root: Path) -> None:
    """fsGroup over files of root, as Kubernetes changes a volume that was filled before."""
    give(root, 0, GROUP, 0o2775, 0o664)


def of_root_for_the_group_without_ours(root: Path) -> None:
    """The same, by the CNCF registry."""
    shutil.rmtree(root / ".pyregistry")
    of_root_for_the_group(root)


def of_root_for_the_group_not_inherited(root: Path) -> None:
    """The same without the bit that lets files inherit the group."""
    shutil.rmtree(root / ".pyregistry")
    give(root, 0, GROUP, 0o775, 0o664)


VOLUMES = [
    of_the_service,
    of_the_service_without_ours,
    of_the_service_for_its_group,
    of_root_for_the_group,
    of_root_for_the_group_without_ours,
    of_root_for_the_group_not_inherited,
]


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that others may enter, unlike pytest's."""
    with tempfile.TemporaryDirectory(prefix="pyregistry-ownership-") as directory:
        path = Path(directory)
        path.chmod(0o755)
        yield path


@pytest.fixture(params=VOLUMES, ids=lambda make: make.__name__)
def server(request: pytest.FixtureRequest, place: Path) -> Iterator[Server]:
    """A server, not started, whose volume was filled and given to another user."""
    require_root()
    server = forked_server(place, pyregistry={"workers": 1})
    server.command[:0] = as_service()
    root = data_directory(place)
    driver = FilesystemDriver(root)
    fill(registry_on(driver))
    driver.write(current("multi"), b"")  # something to repair
    make: Callable[[Path], None] = request.param
    make(root)
    with umask(0o022):
        yield server
    server.stop()


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def push(server: Server, name: str) -> None:
    content = os.urandom(100)
    path = f"/v2/{name}/blobs/uploads/?digest={digest_of(content)}"
    answer = ask(server, "POST", path, content)
    assert answer.status == 201, f"{answer}\n{server.output()}"
    assert ask(server, "GET", f"/v2/{name}/blobs/{digest_of(content)}").body == content


COMMANDS = [
    (("gc", "--grace", "0"), 2),  # the repository with the torn tag is kept until it is mended
    (("fsck", "--scrub", "--repair"), 1),
    (("rm", "other", "--yes", "-c"), 0),
    (("gc", "--grace", "0"), 0),
]


def test_after_roots_commands_the_service_starts_pushes_and_collects(server: Server) -> None:
    for words, status in COMMANDS:
        run_process(*words, server.config, status=status)
    with server:
        assert "cannot" not in server.output()
        assert ask(server, "GET", "/readyz").status == 200
        push(server, "new/one")
        push(server, "team/app")
        assert ask(server, "DELETE", "/v2/team/app/manifests/latest").status == 202
    command = [*as_service(), sys.executable, "-m", "pyregistry", "gc", "--grace", "0", str(server.config)]
    done = subprocess.run(command, check=False, env=server.env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_what_root_makes_has_the_group_and_the_group_rights_of_the_tree(server: Server) -> None:
    root = server.tree.parent.parent.parent
    tree = server.tree.stat()
    before = {path for path in everything(root)}
    run_process("gc", "--grace", "0", server.config, status=2)
    made = [path for path in everything(root) if path not in before]
    assert made or (root / ".pyregistry") in before
    for path in made:
        found = path.stat()
        assert (found.st_uid, found.st_gid) == (tree.st_uid, tree.st_gid), path
        if tree.st_mode & stat.S_IWGRP:
            assert found.st_mode & stat.S_IWGRP, path


@pytest.mark.parametrize(("tree", "owner"), [((SERVICE, GROUP), (SERVICE, GROUP)), (None, (5, 6))])
def test_the_tree_decides_or_else_the_directory(
    place: Path, tree: tuple[int, int] | None, owner: tuple[int, int]
) -> None:
    require_root()
    if tree is not None:
        (place / "docker/registry/v2").mkdir(parents=True)
        os.chown(place / "docker/registry/v2", *tree)
    os.chown(place, 5, 6)
    child = os.fork()
    if child == 0:
        become_owner_of(place)
        os._exit(0 if (os.geteuid(), os.getegid(), os.getgroups()) == (*owner, []) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_servers_of_two_users_of_a_group_take_turns_on_its_directory(place: Path) -> None:
    require_root()
    root = data_directory(place)
    root.mkdir(exist_ok=True)
    os.chown(root, 0, GROUP)
    root.chmod(0o2775)
    for user in (SERVICE, SERVICE + 1):
        server = forked_server(place, pyregistry={"workers": 1})
        rights = ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
        server.command[:0] = [
            *(require("setpriv", "util-linux"), f"--reuid={user}", f"--regid={user}", f"--groups={GROUP}", *rights)
        ]
        with umask(0o022), server:
            assert "cannot be written" not in server.output()
            push(server, "app")
            push(server, f"of/{user}")

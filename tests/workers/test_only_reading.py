"""Readable content is served: a disk that cannot be written stops no pull, and needs no restart later."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from pyregistry.storage.local.filesystem import FilesystemDriver
from tests.auth.credentials import auth_section, write_htpasswd
from tests.builders import digest_of, image
from tests.processes import Server, data_directory, pyregistry_server, require_root, wait_until
from tests.push import path_of
from tests.storage.mounts import _mount, _unmount, tmpfs
from tests.storage.pushing import push_image, registry_on, repository
from tests.workers.http import Answer, ask

IMAGE = image(b"a layer")
NEVER = "never again"
SERVICE = 1234


@dataclass(frozen=True)
class Disk:
    """A way in which a disk cannot be written; `status` is what a write gets, `error` what the log says."""

    break_it: Callable[[Path], None]
    mend_it: Callable[[Path], None]
    status: int
    error: str
    prefix: tuple[str, ...] = ()


def _fill(data: Path) -> None:
    with suppress(OSError), (data / "ballast").open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(4096))


def _take_inodes(data: Path) -> None:
    (data / "ballast").mkdir()
    with suppress(OSError):
        for number in range(100_000):
            (data / "ballast" / str(number)).touch()


def _give_inodes(data: Path) -> None:
    for path in (data / "ballast").iterdir():
        path.unlink()


def _take_rights(data: Path) -> None:
    for path in (data, *data.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _give_rights(data: Path) -> None:
    for path in (data, *data.rglob("*")):
        os.chown(path, SERVICE, SERVICE)


AS_SERVICE = (
    "setpriv",
    f"--reuid={SERVICE}",
    f"--regid={SERVICE}",
    "--clear-groups",
    "--inh-caps=+dac_read_search",  # for a Python that only root can read
    "--ambient-caps=+dac_read_search",
)
DISKS = {
    "remounted read-only": Disk(
        lambda data: _mount("-o", "remount,ro", str(data)),
        lambda data: _mount("-o", "remount,rw", str(data)),
        503,
        "EROFS",
    ),
    "full": Disk(_fill, lambda data: (data / "ballast").unlink(), 507, "ENOSPC"),
    "without inodes": Disk(_take_inodes, _give_inodes, 507, "ENOSPC"),
    "of another user": Disk(_take_rights, _give_rights, 503, "EACCES", AS_SERVICE),
}


@pytest.fixture(params=list(DISKS.values()), ids=list(DISKS))
def disk(request: pytest.FixtureRequest) -> Disk:
    """One of them."""
    disk: Disk = request.param
    return disk


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that others may enter, unlike pytest's."""
    with tempfile.TemporaryDirectory(prefix="pyregistry-reading-") as directory:
        path = Path(directory)
        path.chmod(0o755)
        yield path


@pytest.fixture
def server(place: Path, disk: Disk) -> Iterator[Server]:
    """A server, not started, with one image, on a small file system of its own that can be written so far."""
    data_directory(place).mkdir()
    with tmpfs(data_directory(place), "size=2m", "nr_inodes=1000") as data:
        push_image(repository(registry_on(FilesystemDriver(data)), "app"), IMAGE, "latest")
        debug = {"uploadpurging": {"enabled": False}}
        server = pyregistry_server(place, pyregistry={"workers": 2}, storage={"maintenance": debug})
        server.command[:0] = disk.prefix
        yield server
        server.stop()
        with suppress(Exception):
            disk.mend_it(data)


def pull(server: Server) -> None:
    """Everything that a client asks for, several times, so that each worker is asked."""
    for _ in range(4):
        assert ask(server, "HEAD", "/v2/app/manifests/latest").status == 200
        assert ask(server, "HEAD", f"/v2/app/manifests/{IMAGE.digest}").status == 200
        assert ask(server, "GET", f"/v2/app/manifests/{IMAGE.digest}").body == IMAGE.content
        for blob in IMAGE.blobs:
            assert ask(server, "HEAD", f"/v2/app/blobs/{digest_of(blob)}").status == 200
            assert ask(server, "GET", f"/v2/app/blobs/{digest_of(blob)}").body == blob
        assert json.loads(ask(server, "GET", "/v2/app/tags/list").body)["tags"] == ["latest"]
        assert json.loads(ask(server, "GET", "/v2/_catalog").body)["repositories"] == ["app"]
        assert ask(server, "GET", f"/v2/app/referrers/{IMAGE.digest}").status == 200
        assert ask(server, "GET", "/livez").status == 200


def push(server: Server, name: str = "new") -> Answer:
    """The first write that is refused, or the last one."""
    content = os.urandom(20_000)
    started = ask(server, "POST", f"/v2/{name}/blobs/uploads/")
    if started.status != 202:
        return started
    return ask(server, "PUT", f"{path_of(started.headers['Location'])}?digest={digest_of(content)}", content)


def require_refused(answer: Answer, disk: Disk) -> None:
    assert answer.status == disk.status, answer
    assert json.loads(answer.body)["errors"][0]["code"] == "UNAVAILABLE"
    assert ("Retry-After" in answer.headers) == (disk.status == 503)


def test_a_start_serves_what_can_be_read_and_writes_work_as_soon_as_the_disk_does(server: Server, disk: Disk) -> None:
    data = data_directory(server.directory)
    disk.break_it(data)
    with server:
        [warning] = [line for line in server.output().splitlines() if "warning" in line]
        assert "the data directory cannot be written: reads are answered" in warning
        assert f"error={disk.error}" in warning
        assert str(data) in warning
        pull(server)
        require_refused(push(server), disk)
        answer = ask(server, "PUT", "/v2/app/manifests/again", IMAGE.content, {"Content-Type": IMAGE.media_type})
        require_refused(answer, disk)
        answer = ask(server, "GET", "/readyz")
        assert answer.status == 503
        assert b"the storage cannot be written" in answer.body
        pull(server)
        disk.mend_it(data)
        wait_until(lambda: ask(server, "GET", "/readyz").status == 200, "it is ready")
        assert push(server).status == 201
        assert "Traceback" not in server.output()


def test_a_disk_that_breaks_under_a_running_server_is_one_line_for_each_refused_request(
    server: Server, disk: Disk
) -> None:
    data = data_directory(server.directory)
    if disk.prefix:
        _give_rights(data)
    with server:
        assert push(server).status == 201
        if disk.prefix:
            for path in (data, *data.rglob("*")):
                os.chown(path, 0, 0)
        disk.break_it(data)
        before = len(server.output().splitlines())
        answer = push(server, "refused")
        require_refused(answer, disk)
        number = answer.headers["X-Request-ID"]
        wait_until(lambda: f"request_id={number}" in server.output(), "the log has it")
        lines = [line for line in server.output().splitlines()[before:] if "HTTP/1.1" not in line]
        assert len(lines) == 1, lines
        for part in ("storage error", f"error={disk.error}", f"request_id={number}", "path=/v2/refused/"):
            assert part in lines[0]
        server.restart()
        pull(server)
        disk.mend_it(data)
        wait_until(lambda: ask(server, "GET", "/readyz").status == 200, "it is ready")
        assert push(server).status == 201


COMMANDS = [("ls",), ("ls", "app"), ("du",), ("fsck",), ("gc", "--dry-run")]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_commands_that_change_nothing_work(server: Server, disk: Disk, words: tuple[str, ...]) -> None:
    disk.break_it(data_directory(server.directory))
    option = ["-c"] if words[0] == "ls" else []
    command = [*disk.prefix, sys.executable, "-m", "pyregistry", *words, *option, str(server.config)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=server.env, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_check_config_warns_in_the_same_words(server: Server, disk: Disk) -> None:
    disk.break_it(data_directory(server.directory))
    before = {path: path.stat() for path in data_directory(server.directory).rglob("*")}
    command = [*disk.prefix, sys.executable, "-m", "pyregistry", "check-config", str(server.config)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=server.env, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "the data directory cannot be written: reads are answered" in done.stderr
    assert f"error={disk.error}" in done.stderr
    assert before.keys() == set(data_directory(server.directory).rglob("*"))


@pytest.mark.parametrize("command", ["serve", "check-config"])
@pytest.mark.parametrize("kind", ["a file", "no way to make it", "no way to read it"])
def test_a_data_directory_that_cannot_be_read_or_made_is_refused(place: Path, command: str, kind: str) -> None:
    require_root()
    server = pyregistry_server(place)
    data = data_directory(place)
    data.rmdir()
    if kind == "a file":
        data.write_text("")
    elif kind == "no way to read it":
        data.mkdir(mode=0o700)
    code = f"import os; os.setgid({SERVICE}); os.setuid({SERVICE}); from pyregistry.cli import main; main()"
    modules = "encodings.idna, pyregistry.service.server, pyregistry.cli.serve, pyregistry.cli.check_config"
    words = [sys.executable, "-c", f"import sys, {modules}\n{code}", command, str(server.config)]
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=server.env, timeout=60)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "cannot use the data directory" in done.stderr
    assert str(data) in done.stderr
    assert "Traceback" not in done.stderr


@contextmanager
def read_only(directory: Path) -> Iterator[None]:
    """Mounted again, read-only, over itself: as a volume of a container is."""
    require_root()
    _mount("--bind", str(directory), str(directory))
    try:
        _mount("-o", "remount,bind,ro", str(directory))
        yield
    finally:
        _unmount(directory)


def test_an_empty_volume_that_is_mounted_read_only_is_served(tmp_path: Path) -> None:
    server = pyregistry_server(tmp_path)
    with read_only(data_directory(tmp_path)), server:
        assert json.loads(ask(server, "GET", "/v2/_catalog").body) == {"repositories": []}
        assert push(server).status == 503


def test_tokens_are_made_by_all_workers_where_no_key_can_be_stored(tmp_path: Path) -> None:
    rules = [{"repositories": "**", "who": "anonymous", "actions": "pull"}]
    write_htpasswd(tmp_path / "htpasswd", {"alice": "wonderland"})
    auth = auth_section(tmp_path / "htpasswd")
    server = pyregistry_server(tmp_path, auth=auth, pyregistry={"workers": 4, "access": rules})
    data = data_directory(tmp_path)
    push_image(repository(registry_on(FilesystemDriver(data)), "app"), IMAGE, "latest")
    with read_only(data), server:
        path = "/auth/token?service=pyregistry&scope=repository:app:pull"
        tokens = {json.loads(ask(server, "GET", path).body)["token"] for _ in range(10)}
        for token in tokens:
            for _ in range(4):
                headers = {"Authorization": f"Bearer {token}"}
                assert ask(server, "GET", "/v2/app/manifests/latest", headers=headers).status == 200
        assert server.output().count("the keys of tokens could not be stored") <= 4


@pytest.mark.parametrize(("gone", "status"), [(("/tmp", "/var/tmp"), 200), (("/tmp", "/var/tmp", "/dev/shm"), 404)])
def test_no_place_for_temporary_files_is_needed(gone: tuple[str, ...], status: int) -> None:
    """With one in memory alone there are metrics; without any there are not, and the log says so."""
    require_root()
    # Read-only rather than away: the tree that is tested may lie below one of them.
    mounts = "; ".join(f"mount --bind {place} {place}; mount -o remount,ro,bind {place}" for place in gone)
    with tempfile.TemporaryDirectory(dir=Path.home()) as directory:  # which is in none of these places
        server = pyregistry_server(Path(directory), pyregistry={"workers": 2, "metrics": True})
        server.command[:0] = ["unshare", "--mount", "sh", "-c", f'set -e; {mounts}; exec "$@"', "sh"]
        server.env.pop("TMPDIR", None)
        with server:
            assert push(server).status == 201
            assert ask(server, "GET", "/metrics").status == status
            assert ("metrics are off" in server.output()) == (status == 404)

"""Password files and keys that only root can read, which the server of the image uses without being root."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.auth.credentials import write_htpasswd
from tests.authority import Authority
from tests.engine.engine import Engine
from tests.image.conftest import BridgedDaemon
from tests.image.container import logs
from tests.processes import require, wait_until

SERVICE = 65530
URL = "https://127.0.0.1:5000/v2/_catalog"
OPTIONS = [
    *(
        "-e",
        "REGISTRY_HTTP_TLS_CERTIFICATE=/files/live/domain.crt",
        "-e",
        "REGISTRY_HTTP_TLS_KEY=/files/live/domain.key",
    ),
    *("-e", "REGISTRY_AUTH=htpasswd", "-e", "REGISTRY_AUTH_HTPASSWD_REALM=r"),
    *("-e", "REGISTRY_AUTH_HTPASSWD_PATH=/files/auth/htpasswd"),
]


class Site:
    """A container with its files, in the modes in which openssl, certbot and our documentation leave them."""

    def __init__(self, docker: Engine, bridged: BridgedDaemon, directory: Path) -> None:
        self._docker, self._bridged = docker, bridged
        self._files = directory / "files"
        for name, mode in (("live", 0o700), ("auth", 0o750), ("ca", 0o700)):
            (self._files / name).mkdir(parents=True)
            (self._files / name).chmod(mode)
        self.authority = Authority(self._files / "ca")
        self.users = self._files / "auth/htpasswd"
        self.renew("first")
        self.set_users("alice")

    def renew(self, name: str) -> None:
        """Replace certificate and key, as certbot does: new files of root's, and a link to them."""
        for made, link in zip(self.authority.issue(name), ("domain.crt", "domain.key"), strict=True):
            new = self._files / "live" / f"{name}-{link}"
            shutil.copy(made, new)
            new.chmod(0o600 if link.endswith(".key") else 0o644)
            (self._files / "live/new").symlink_to(new.name)
            (self._files / "live/new").rename(self._files / "live" / link)

    def set_users(self, *names: str, group: int = 0) -> None:
        new = self.users.with_name("new")
        write_htpasswd(new, dict.fromkeys(names, "wonderland"))
        new.chmod(0o640)
        os.chown(new, 0, group)
        new.rename(self.users)

    def start(self, volume: Path, image: str) -> None:
        mounts = ["-v", f"{volume}:/var/lib/registry", "-v", f"{self._files}:/files:ro"]
        self._docker.run("run", "-d", "-p", "5000:5000", "--name", "registry", *OPTIONS, *mounts, image)
        self.wait("alice")

    def wait(self, user: str, name: str = "CN", status: str = "200") -> None:
        """Wait until this user gets this status, by way of a certificate with this name."""
        wait_until(lambda: self._is(user, name, status), f"{user} gets {status} from {name}", 30)

    def _is(self, user: str, name: str, status: str) -> bool:
        curl = [require("curl", "curl"), "--silent", "--verbose", "--cacert", str(self.authority.certificate)]
        words = [*self._bridged.inside.command, *curl, "--user", f"{user}:wonderland", URL]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        return name in done.stderr and f"HTTP/1.1 {status}" in done.stderr

    def processes(self) -> dict[int, str]:
        """Return the users of all processes, with the last command line of each."""
        found = {}
        for line in self._docker.run("top", "registry").splitlines()[1:]:
            process = Path("/proc", line.split()[1])
            with suppress(FileNotFoundError, ProcessLookupError):  # it has ended, as the health check does
                found[process.stat().st_uid] = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def restart(self) -> None:
        self._docker.run("restart", "registry")

    def reload(self) -> None:
        self._docker.run("kill", "--signal", signal.SIGHUP.name, "registry")


@pytest.fixture
def site(docker: Engine, bridged: BridgedDaemon, volume: Path, image: str) -> Iterator[Site]:
    """A container that serves."""
    directory = Path(tempfile.mkdtemp(prefix="pyregistry-site-"))
    try:
        made = Site(docker, bridged, directory)
        made.start(volume, image)
        yield made
    except AssertionError as error:
        raise AssertionError(f"{error}\n{logs(docker)}") from None
    finally:
        docker.run("rm", "--force", "registry")
        shutil.rmtree(directory)


def test_server_is_not_root_and_one_small_process_is(docker: Engine, site: Site) -> None:
    processes = site.processes()
    assert set(processes) == {0, SERVICE}
    assert "common/opener.py" in processes[0]
    said = logs(docker)
    for file in ("/files/live/domain.key", "/files/auth/htpasswd"):
        assert f"user {SERVICE} cannot read {file}: a root process opens it for the server" in said
    docker.run("stop", "--time", "20", "registry")
    assert docker.run("inspect", "--format", "{{.State.ExitCode}}", "registry").strip() == "0"


def test_renewed_files_of_roots_are_served(site: Site) -> None:
    site.wait("alice", "CN=first")
    site.renew("second")
    site.wait("alice", "CN=second")
    site.set_users("bob", group=4321)
    site.wait("bob")
    site.wait("alice", status="401")
    for step in (site.reload, site.restart):
        step()
        site.wait("bob", "CN=second")
        assert set(site.processes()) == {0, SERVICE}
    site.renew("third")
    site.wait("bob", "CN=third")


def test_a_password_file_that_everybody_may_read_is_worth_no_warning(
    docker: Engine, bridged: BridgedDaemon, image: str, volume: Path, tmp_path: Path
) -> None:
    site = Site(docker, bridged, tmp_path)
    try:
        site.users.chmod(0o644)
        site.users.parent.chmod(0o755)
        site.start(volume, image)
        said = [line for line in logs(docker).splitlines() if "htpasswd" in line]
        assert not [line for line in said if "warn" in line or "cannot" in line]
    finally:
        docker.run("rm", "--force", "registry")

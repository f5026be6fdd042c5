"""Programs that the tests start: output in a file, ended by their own pid, and skipped when not installed."""

import contextlib
import http.client
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

import pytest
import yaml

from tests import forked
from tests.modes import FAST_PATH

SOURCE_TREE = Path(__file__).resolve().parent.parent
REQUIRE_CLIENTS = "PYREGISTRY_REQUIRE_CLIENTS"  # =1 where everything is installed: a skip would hide a fault
PORTS = range(20_000, 32_000)  # below the ephemeral ports, which clients of other tests occupy at random
LOG_TAIL = 6_000
FAULTS = re.compile(r'Traceback \(most recent call last\)| HTTP/1\.[01]" 5\d\d |"status":5\d\d\b')


def missing(reason: str) -> NoReturn:
    """Skip the test that asks, or fail it where the clients are promised to be there."""
    if os.environ.get(REQUIRE_CLIENTS) == "1":
        pytest.fail(f"{reason}, and {REQUIRE_CLIENTS}=1", pytrace=False)
    pytest.skip(reason)


def require(program: str, package: str) -> str:
    """The path of `program`, or a skip that names the Debian package which brings it."""
    found = shutil.which(program)
    if found is None:
        missing(f"{program} (Debian: apt-get install {package}) is not installed")
    return found


def require_root() -> None:
    """Container engines mount file systems."""
    if os.geteuid() != 0:
        missing("only root can mount the file systems of a container engine")


def require_cgroups() -> None:
    """Containers run in cgroups."""
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    if not any(line.split()[2] in ("cgroup", "cgroup2") for line in mounts):
        missing("no cgroup file system (mount -t cgroup2 cgroup2 /sys/fs/cgroup) is mounted")


def own_ports() -> Sequence[int]:
    """Those of this process among the ones that run tests: each is used a moment after it was found free."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return PORTS[number :: int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))]


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    ports = own_ports()
    while True:
        port = ports[secrets.randbelow(len(ports))]  # not `random`: its seed is the same in every test
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def wait_until(fact: Callable[[], bool], what: str, deadline: float = 30) -> None:
    """Poll `fact` until it holds; `what` names it in the failure."""
    end = time.monotonic() + deadline
    while not fact():
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline:g} s: {what}")
        time.sleep(0.01)


class Program:
    """A process in a session of its own, so that a signal can reach only it and its workers."""

    forks = False
    """True for a fork of a process that has imported the program: tests/forked.py."""

    def __init__(self, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.command = list(command)
        self.log = log
        self.env = {**os.environ, **(env or {})}
        self._process: subprocess.Popen[bytes] | forked.Process | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The pid of the running program."""
        assert self._process is not None, f"{self.command[0]} does not run"
        return self._process.pid

    def answers(self) -> bool:
        """Return True if the program is ready for its clients."""
        return True

    def start(self, deadline: float = 30) -> None:
        """Start it and wait until it answers; a failure shows the end of its output."""
        assert self._process is None, f"{self.command[0]} runs already"
        process = self._process = self._launch()
        try:
            wait_until(lambda: process.poll() is not None or self.answers(), "it answers", deadline)
            assert process.poll() is None, f"it ended with status {process.returncode}"
        except AssertionError as error:
            Program.kill(self)  # not a subclass's: the port may be another program's
            raise AssertionError(f"{' '.join(self.command)}: {error}\n{self.output()}") from None

    def _launch(self) -> "subprocess.Popen[bytes] | forked.Process":
        with self.log.open("ab") as output, Path(os.devnull).open() as nothing:
            if self.forks and forked.can_fork(self.command, self.env):
                streams = (nothing.fileno(), output.fileno(), output.fileno())
                return forked.Process(self.command, streams, env=self.env, start_new_session=True)
            return subprocess.Popen(
                self.command,
                stdin=nothing,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.env,
                start_new_session=True,
            )

    def stop(self, deadline: float = 20) -> int | None:
        """SIGTERM, and it must end; its exit status (negative: a signal), None if it did not run."""
        if self._process is None:
            return None
        self._process.terminate()
        try:
            self._process.wait(deadline)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.command} lived {deadline:g} s after SIGTERM\n{self.output()}") from None
        return self.kill()

    def kill(self) -> int | None:
        """SIGKILL the whole process group: nothing gets a chance to tidy up."""
        if self._process is None:
            return None
        with contextlib.suppress(ProcessLookupError):  # all of it has ended already
            os.killpg(self._process.pid, signal.SIGKILL)
        status = self._process.wait()
        self._process = None
        return status

    def output(self) -> str:
        """The end of what it wrote."""
        return self.log.read_text(errors="replace")[-LOG_TAIL:]


def start_or_skip(program: Program) -> None:
    """Start an engine; not every kernel and container lets it."""
    try:
        program.start()
    except AssertionError:
        last = "".join(program.output().splitlines()[-1:])
        missing(f"{Path(program.command[0]).name} does not start here ({last})")


class Server(Program):
    """A registry on 127.0.0.1 with everything it owns in one directory."""

    def __init__(self, command: Sequence[str], directory: Path, port: int, config: Path) -> None:
        super().__init__(command, config.with_suffix(".log"), {"PYTHONPATH": str(SOURCE_TREE)})
        self.directory = directory
        self.port = port
        self.config = config

    @property
    def host(self) -> str:
        """The text before the repository in an image's name."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The start of its API's addresses, without a slash at the end."""
        return f"http://{self.host}"

    @property
    def tree(self) -> Path:
        """The CNCF layout: `blobs` and `repositories` are in here."""
        return data_directory(self.directory) / "docker/registry/v2"

    def answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/v2/")
            return connection.getresponse().status in (200, 401)
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def kill(self) -> int | None:
        """SIGKILL the master and its workers, and wait until the port is free for the next start."""
        status = super().kill()
        wait_until(self._refuses, f"port {self.port} refuses after SIGKILL")
        return status

    def restart(self) -> None:
        """Start again on the same port and directory."""
        self.stop()
        self.start()

    def faults(self, since: int = 0) -> list[str]:
        """Lines of its log, from this byte on, that tell of an error inside."""
        written = self.log.read_bytes()[since:].decode(errors="replace")
        return [line for line in written.splitlines() if FAULTS.search(line)]

    def _refuses(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) != 0


def data_directory(directory: Path) -> Path:
    """`rootdirectory` of both kinds of server: started on one directory, they serve one tree."""
    return directory / "data"


def merged(base: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `extra` laid over it, mappings key by key."""
    result = dict(base)
    for key, value in extra.items():
        below = result.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            result[key] = merged(below, value)
        else:
            result[key] = value
    return result


def pyregistry_server(directory: Path, port: int | None = None, **extra: Any) -> Server:
    """`pyregistry serve` on `directory`/data, not yet started; `extra` is laid over its config.yml."""
    chosen = port or free_port()
    config = _write_config(directory / "pyregistry.yml", chosen, extra)
    command = [sys.executable, "-m", "pyregistry", "serve", str(config)]
    return Server(command, directory, chosen, config)


def forked_server(directory: Path, port: int | None = None, **extra: Any) -> Server:
    """The same, and its start takes a tenth of the processor time: where neither start nor memory is measured."""
    made = pyregistry_server(directory, port, **extra)
    made.forks = True
    return made


def cncf_server(directory: Path, port: int | None = None, **extra: Any) -> Server:
    """Debian's docker-registry (the CNCF registry 2.8) on the same kind of directory and config."""
    program = require("docker-registry", "docker-registry")
    chosen = port or free_port()
    config = _write_config(directory / "cncf.yml", chosen, extra)
    return Server([program, "serve", str(config)], directory, chosen, config)


def cncf3_server(directory: Path, port: int | None = None, **extra: Any) -> Server:
    """The CNCF registry 3.1.1 on the same kind of directory and config."""
    chosen = port or free_port()
    config = _write_config(directory / "cncf3.yml", chosen, extra)
    server = Server([cncf3_program(), "serve", str(config)], directory, chosen, config)
    server.env["OTEL_TRACES_EXPORTER"] = "none"  # or it looks for a collector of traces, and logs that there is none
    return server


def cncf3_program() -> str:
    """The path of the CNCF registry 3.1.1, or a skip: no Debian package brings it."""
    found = shutil.which("cncf-registry")
    if found is None:
        missing("cncf-registry (make clients, needs Go) is not installed")
    return found


def _write_config(path: Path, port: int, extra: Mapping[str, Any]) -> Path:
    data = data_directory(path.parent)
    data.mkdir(exist_ok=True)
    base: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "info"},
        "storage": {"filesystem": {"rootdirectory": str(data)}, "delete": {"enabled": True}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    if not FAST_PATH and path.name == "pyregistry.yml":
        base["pyregistry"] = {"fast-path": False}
    path.write_text(yaml.safe_dump(merged(base, extra)))
    return path

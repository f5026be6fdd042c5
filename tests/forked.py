"""Our programs, without the half second of processor time that Python and the imports take at each start.

A process that has imported the server and all commands is started once in each process of tests. Every program is a
fork of it, with arguments, an environment, a directory and streams of its own. It runs `python -m MODULE ...` or
`python -c CODE ...` to its end. A test of what a start imports, or when, executes Python itself. So does one of the end
of the interpreter, which a fork skips.
"""

import atexit
import contextlib
import gc
import io
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import types
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from pyregistry.cli.commands import Commands
from pyregistry.cli.serve import quick_imports
from pyregistry.common.early import hold_hangup
from tests import measured_forks

_SOURCE_TREE = Path(__file__).resolve().parent.parent
_AT_START = ("PYTHON", "LC_", "LANG", "AIOHTTP_")
"""Python, or a module that is imported by then, reads variables with these names once."""
_OF_SERVERS = ("pyregistry.service.server", "pyregistry.service.preflight")
_OF_COMMANDS = ("passlib.handlers.bcrypt", "rich.markdown", "rich.traceback", "rich.columns", "rich.progress")
"""Modules that are imported on demand."""
_LONGEST_REQUEST = 200_000
"""Bytes; a socket takes a little more as one message."""


class Process:
    """A program that was started; the part of `subprocess.Popen` that the tests use."""

    def __init__(
        self,
        command: Sequence[str],
        streams: tuple[int, int, int],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
        umask: int = -1,
        start_new_session: bool = False,
    ) -> None:
        self.args = list(command)
        self.returncode: int | None = None
        environ = dict(os.environ if env is None else env)
        request = {
            "words": self.args[1:],
            "env": environ,
            "cwd": str(cwd or Path.cwd()),
            "umask": _own_umask() if umask < 0 else umask,
            "session": start_new_session,
        }
        self._reply, theirs = socket.socketpair()
        with theirs:
            _source().ask(request, (*streams, theirs.fileno()))
        self.pid = int.from_bytes(self._reply.recv(8, socket.MSG_WAITALL), "big")
        assert self.pid, "the process that programs are forked from has ended"

    def wait(self, timeout: float | None = None) -> int:
        """Return its status (negative: a signal); raise TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._reply], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = int.from_bytes(self._reply.recv(8, socket.MSG_WAITALL), "big", signed=True)
            self._reply.close()
        return self.returncode

    def poll(self) -> int | None:
        """Return its status if it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def can_fork(command: Sequence[str], env: Mapping[str, str] | None = None) -> bool:
    """Return True unless the command, or a variable, asks for another start of Python."""
    changed = {} if env is None else {name: value for name, value in env.items() if os.environ.get(name) != value}
    if changed.get("PYTHONPATH") == str(_SOURCE_TREE):  # which a fork has in any case
        del changed["PYTHONPATH"]
    return (
        command[0] == sys.executable
        and command[1] in ("-m", "-c")
        and not any(name.startswith(_AT_START) for name in changed)
    )


def run(
    command: Sequence[str],
    *,
    input: bytes = b"",
    check: bool = False,
    timeout: float = 60,
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    umask: int = -1,
) -> "subprocess.CompletedProcess[bytes]":
    """Run a program to its end, as `subprocess.run(..., capture_output=True)` does."""
    if not can_fork(command, env):
        return subprocess.run(
            command, input=input, check=check, timeout=timeout, env=env, cwd=cwd, umask=umask, capture_output=True
        )
    output, errors, status = _communicate(command, input, timeout, {"env": env, "cwd": cwd, "umask": umask})
    done = subprocess.CompletedProcess(command, status, output, errors)
    if check:
        done.check_returncode()
    return done


def run_text(command: Sequence[str], **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run as `run` does, and decode both outputs."""
    done = run(command, **options)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def _communicate(
    command: Sequence[str], given: bytes, timeout: float, options: dict[str, Any]
) -> tuple[bytes, bytes, int]:
    """Return both outputs and the status."""
    pipes = [os.pipe() for _ in range(3)]
    theirs = (pipes[0][0], pipes[1][1], pipes[2][1])
    try:
        process = Process(command, theirs, **options)
    finally:
        for number in theirs:
            os.close(number)
    writer = threading.Thread(target=_write, args=(pipes[0][1], given))
    writer.start()
    collected: dict[int, bytes] = {pipes[1][0]: b"", pipes[2][0]: b""}
    open_ones, end = set(collected), time.monotonic() + timeout
    try:
        while open_ones:
            ready = select.select(open_ones, [], [], max(0, end - time.monotonic()))[0]
            if not ready:
                process.kill()
                raise subprocess.TimeoutExpired(command, timeout, *collected.values())
            for each in ready:
                piece = os.read(each, 65_536)
                collected[each] += piece
                if not piece:
                    open_ones.remove(each)
        status = process.wait(max(0, end - time.monotonic()))
    finally:
        writer.join()
        for each in collected:
            os.close(each)
    output, errors = collected.values()
    return output, errors, status


def _write(pipe: int, content: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), open(pipe, "wb") as stream:  # also where closing it writes
        stream.write(content)
        stream.flush()


def _own_umask() -> int:
    """Return the umask of this process, which a program inherits."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1], 8) for line in lines if line.startswith("Umask:"))


class Source:
    """The process that programs are forked from, as the tests see it. It ends with this one."""

    def __init__(self, python: Sequence[str] = (sys.executable, "-m", "tests.forked")) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [*python, str(theirs.fileno())],
                cwd=_SOURCE_TREE,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        atexit.register(self.end, os.getpid())

    def end(self, owner: int) -> None:
        if os.getpid() == owner:  # a fork of the tests has a source of its own
            self._socket.close()
            self._process.wait(10)

    def ask(self, request: dict[str, Any], descriptors: Sequence[int]) -> None:
        """Ask for a program. The last descriptor gets its pid, and its status at the end."""
        message = json.dumps(request).encode()
        assert len(message) < _LONGEST_REQUEST
        with self._lock:
            socket.send_fds(self._socket, [message], descriptors)


_sources: dict[int, Source] = {}
_starting = threading.Lock()


def _source() -> Source:
    """Return the one of this process, which may itself be a fork of another with tests."""
    with _starting:
        if os.getpid() not in _sources:
            _sources[os.getpid()] = Source()
        return _sources[os.getpid()]


class _Children:
    """The programs that run, by a descriptor that is readable when one has ended."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._running: dict[int, tuple[int, socket.socket]] = {}

    def serve(self) -> dict[str, Any]:
        """Return in each fork, with what is asked of it. In this process: end with the tests."""
        while True:
            requests = self._requests.fileno()
            for ready in select.select([requests, *self._running], [], [])[0]:
                if ready == requests:
                    if (asked := self._fork()) is not None:
                        return asked
                else:
                    self._tell_end(ready)

    def _fork(self) -> dict[str, Any] | None:
        message, descriptors, _, _ = socket.recv_fds(self._requests, _LONGEST_REQUEST, 4)
        if not message:
            sys.exit()
        asked: dict[str, Any] = json.loads(message)
        assert threading.active_count() == 1, "a fork would have one thread of several"
        pid = os.fork()
        if pid == 0:
            self._become(asked, descriptors)
            return asked
        for number in descriptors[:3]:
            os.close(number)
        self._running[os.pidfd_open(pid)] = (pid, socket.socket(fileno=descriptors[3]))
        return None

    def _become(self, asked: dict[str, Any], descriptors: Sequence[int]) -> None:
        """Take the place that a program executed by the test would have."""
        for number, descriptor in enumerate(descriptors[:3]):
            os.dup2(descriptor, number)
        if asked["session"]:
            os.setsid()
        os.write(descriptors[3], os.getpid().to_bytes(8, "big"))
        self._requests.detach()
        for _, reply in self._running.values():
            reply.detach()
        os.closerange(3, 1024)
        os.umask(asked["umask"])
        os.chdir(asked["cwd"])
        os.environ.clear()
        os.environ.update(asked["env"])
        time.tzset()
        _open_streams()

    def _tell_end(self, ended: int) -> None:
        pid, reply = self._running.pop(ended)
        os.close(ended)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with reply, contextlib.suppress(OSError):  # the test waits no longer
            reply.sendall(status.to_bytes(8, "big", signed=True))


def _open_streams() -> None:
    """Make the three streams anew: whether one is a terminal was looked at for those of the parent."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        old = getattr(sys, name)
        own = os.fdopen(number, "wb" if number else "rb", closefd=False)
        by_line = name == "stderr" or own.isatty()
        new = io.TextIOWrapper(own, old.encoding, old.errors, line_buffering=by_line)
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)


def _run(kind: str, what: str, *words: str) -> None:
    """Run a module or code as Python's command line does."""
    hold_hangup(words)  # which the import of the command line has done for other arguments
    if kind == "-m":
        sys.argv = ["", *words]
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        sys.argv = ["-c", *words]
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(what, "<string>", "exec"), main.__dict__)


def _import_all() -> None:
    """Import what the programs need, the server as a server does it."""
    with quick_imports():
        for name in _OF_SERVERS:
            import_module(name)
    list(Commands().commands.values())
    for name in _OF_COMMANDS:
        import_module(name)
    gc.collect()
    gc.freeze()  # a collection in a fork would copy all pages


def _end(status: int) -> NoReturn:
    """End as Python does, except that objects are not freed: two thirds of what a short program would take."""
    threading._shutdown()  # type: ignore[attr-defined] # private: waits for threads, as multiprocessing does with it
    atexit._run_exitfuncs()
    # Python has a status of its own where a stream fails.
    with contextlib.suppress(AttributeError, OSError, ValueError):
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)
    sys.exit(status)


def main() -> None:
    """Fork programs until the tests end; in a fork: be the program."""
    _import_all()
    measured_forks.measure()
    asked = _Children(socket.socket(fileno=int(sys.argv[1]))).serve()
    try:
        _run(*asked["words"])
    except SystemExit as end:
        if end.code is not None and not isinstance(end.code, int):
            raise
        _end(end.code or 0)
    _end(0)


if __name__ == "__main__":
    main()

"""Sockets, workers and signals: gunicorn runs the processes, aiohttp's worker class serves in each.

Nobody configures gunicorn; what it needs comes from our config.
"""

import logging
import os
import signal
import socket
from types import FrameType
from typing import Any

import structlog
from aiohttp.worker import GunicornWebWorker
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from pyregistry.api.access_log import AccessLogger
from pyregistry.api.connection import Runner
from pyregistry.app import connection_limits, create_app
from pyregistry.config.errors import ConfigError
from pyregistry.config.schema import Config
from pyregistry.log import configure_logging

BACKLOG = 2048
MAX_WORKERS = 4
GRACEFUL_SECONDS = 30
_STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})

log = structlog.get_logger("pyregistry.server")


def serve(config: Config) -> None:
    """Serve until a signal says otherwise; does not return.

    Raises ConfigError for an address that cannot be listened on or a storage that cannot be used.
    """
    configure_logging(
        config.log.level, config.log.formatter, config.log.fields, access_log=not config.log.access_log.disabled
    )
    create_app(config)  # so that what is wrong is said here, once, and not by each worker
    sockets = listen(config.http.addr)
    for listening in sockets:
        log.info("listening", address=_address_of(listening), workers=worker_count(config))
    hold_signals_across_fork()
    _Arbiter(config, sockets).run()


def listen(addr: str) -> list[socket.socket]:
    """Listening sockets for Go's notation `host:port`, `:port` for all addresses of both families."""
    host, colon, port = addr.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"http.addr: {addr!r}, expected HOST:PORT or :PORT")
    host = host.strip("[]")
    try:
        if not host and socket.has_dualstack_ipv6():
            return [_open_socket(socket.AF_INET6, "::", int(port), dualstack=True)]
        family, *_, address = socket.getaddrinfo(
            host or "0.0.0.0",  # noqa: S104 - that is what `:5000` means
            int(port),
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE,
        )[0]
        return [_open_socket(family, str(address[0]), int(port), dualstack=False)]
    except OSError as error:
        raise ConfigError(f"http.addr: cannot listen on {addr}: {error.strerror or error}") from error


def worker_count(config: Config) -> int:
    """`pyregistry.workers`, or one for each processor; memory can be seen by one process only."""
    if config.storage.filesystem is None:
        return 1
    return config.pyregistry.workers or min(len(os.sched_getaffinity(0)), MAX_WORKERS)


def _open_socket(family: int, host: str, port: int, *, dualstack: bool) -> socket.socket:
    listening = socket.create_server(
        (host, port), family=family, backlog=BACKLOG, dualstack_ipv6=dualstack, reuse_port=False
    )
    listening.setblocking(False)
    return listening


def _address_of(listening: socket.socket) -> str:
    host, port, *_ = listening.getsockname()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Worker(GunicornWebWorker):
    """One process, with its own event loop, thread pool and caches."""

    def init_signals(self) -> None:
        """See gunicorn's Worker; what came since the fork is delivered now."""
        super().init_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop at once rather than at the next tick of the heartbeat, a second later."""
        super().handle_exit(sig, frame)
        self._notify_waiter_done()


def hold_signals_across_fork() -> None:
    """A worker that is told to stop before it listens to signals would never hear of it.

    Between fork and init_signals it still has the arbiter's handlers, which put the signal into a queue that nobody
    in the worker reads.
    """
    os.register_at_fork(
        before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS),
        after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS),
    )


class _Log(Logger):  # type: ignore[misc] # gunicorn has no types
    """gunicorn's own lines go where ours go; what it says about each worker is for debugging."""

    def setup(self, cfg: Any) -> None:
        """Leave the handlers to configure_logging."""
        self.loglevel = logging.INFO
        self.error_log = logging.getLogger("gunicorn.error")
        self.error_log.propagate = True
        self.error_log.setLevel(logging.WARNING)
        self.access_log = logging.getLogger("gunicorn.access")


class _Arbiter(BaseApplication):  # type: ignore[misc] # gunicorn has no types
    """gunicorn's arbiter, told everything in Python."""

    def __init__(self, config: Config, sockets: list[socket.socket]) -> None:
        self._config = config
        self._sockets = sockets
        super().__init__()

    def load_config(self) -> None:
        """See BaseApplication."""
        values = {
            "bind": [f"fd://{listening.fileno()}" for listening in self._sockets],
            "workers": worker_count(self._config),
            "worker_class": f"{__name__}._Worker",
            "logger_class": _Log,
            "graceful_timeout": GRACEFUL_SECONDS,
            "proc_name": "pyregistry",
            "control_socket_disable": True,  # gunicorn 25 and later would make one in the home directory
        }
        for name, value in values.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Any:
        """What a worker serves."""
        return self._make_runner

    async def _make_runner(self) -> Runner:
        return Runner(
            create_app(self._config),
            limits=connection_limits(self._config),
            access_log_class=AccessLogger,
            shutdown_timeout=GRACEFUL_SECONDS * 0.95,
        )

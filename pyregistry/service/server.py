"""Workers and signals: gunicorn runs the processes, and an aiohttp worker serves in each.

gunicorn is configured only here, from our config.
"""

import gc
import resource
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from gunicorn.app.base import BaseApplication
from gunicorn.config import Chdir

from pyregistry.api.http.access_log import AccessLogger, JsonAccessLogger, LogstashAccessLogger
from pyregistry.api.transport.runner import Runner
from pyregistry.api.transport.runner_factory import make_runner
from pyregistry.api.transport.self_test import fast_path_works
from pyregistry.api.transport.workers import Arbiter, GunicornLog, Worker, hold_signals_across_fork
from pyregistry.common.lazy import import_now, lazy
from pyregistry.common.system_errors import in_words
from pyregistry.config.errors import ConfigError
from pyregistry.config.schema import Config, Log
from pyregistry.observe.metrics import Metrics
from pyregistry.observe.metrics import prepare as import_metrics
from pyregistry.observe.metrics_directory import counting_directory, places
from pyregistry.observe.multiprocess_metrics import merge_dead_worker
from pyregistry.observe.reloads import Reload
from pyregistry.service.announcing import announce_address, announce_rules, announce_storage, announce_version, is_new
from pyregistry.service.app import create_app
from pyregistry.service.data_directory import try_storage
from pyregistry.service.debug import DebugAddress, counts, listen_for_debugging
from pyregistry.service.effective_settings import DRAIN_SECONDS, worker_count
from pyregistry.service.log import configure_logging
from pyregistry.service.preflight import StartupState, prepare
from pyregistry.service.sockets import BACKLOG, address_of, listen
from pyregistry.service.wiring import connection_limits
from pyregistry.storage.backend import import_measuring
from pyregistry.threads.upload_budget import return_free_memory

if TYPE_CHECKING:
    from pyregistry.service import gauges
else:
    gauges = lazy("pyregistry.service.gauges")

log = structlog.get_logger("pyregistry.server")

Chdir.default = None  # else gunicorn ends if the working directory is missing, also at a SIGHUP; nothing needs it


def serve(config: Config, reload_config: Callable[[], Config]) -> None:
    """Serve until a signal; does not return.

    SIGTERM and Ctrl-C let running requests finish, a second one does not. SIGHUP loads the config of `reload_config`
    (which raises ConfigError); running requests finish with the old one.

    Raises ConfigError, also if it cannot listen on an address, and OSError if the storage is unusable.
    """
    _configure_logging(config)
    _raise_limit_of_files()
    was_made = is_new(config)
    prepared = _prepare(config)  # so that faults are reported here, once, and not by each worker
    listening = listen("http.addr", config.http.addr, config.http.net)
    debug = listen_for_debugging(config)
    announce_version()
    announce_storage(config, was_made=was_made)
    announce_rules(config)
    announce_address(config, listening, worker_count(config))
    if debug is not None:
        log.info("listening for debugging", address=address_of(debug))
    hold_signals_across_fork()
    with counting_directory() as directory:
        _warn_of_metrics(config, directory)
        _Service(prepared, reload_config, listening, debug, directory).run()


def _configure_logging(config: Config) -> None:
    configure_logging(config.log.level, config.log.formatter, config.log.fields)


def _access_logger(section: Log) -> AccessLogger | None:
    if section.access_log.disabled:
        return None
    if section.formatter == "text":
        return AccessLogger()
    kind = LogstashAccessLogger if section.formatter == "logstash" else JsonAccessLogger
    return kind(fields=section.fields)


def _warn_of_metrics(config: Config, directory: Path | None) -> None:
    if directory is None and counts(config):
        log.warning("metrics are off: no directory for their files", tried=[str(place) for place in places()])


def _raise_limit_of_files() -> None:
    """Raise the soft limit of open files, as Go's programs do: it is usually below the limit of connections."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _prepare(config: Config, spare_secret: bytes | None = None) -> StartupState:
    """Check the storage and prepare; raise ConfigError, OSError."""
    try_storage(config)
    return prepare(config, spare_secret)


class _Service(BaseApplication):  # type: ignore[misc] # gunicorn has no types
    """The gunicorn application, configured in Python."""

    def __init__(
        self,
        prepared: StartupState,
        reload_config: Callable[[], Config],
        listening: socket.socket,
        debug: socket.socket | None,
        counting_directory: Path | None,
    ) -> None:
        self.prepared = prepared
        self._reload_config = reload_config
        self._is_started = False
        self._address = address_of(listening)
        self._handle = listening.detach()  # gunicorn takes it over, and closes this number
        self._debug = debug
        self._directory = counting_directory
        self._reload = Reload(succeeded=True, at=time.time())
        self._fast_path_works: bool | None = None
        """None until a config enables the fast path."""
        super().__init__()

    def load_config(self) -> None:
        """Load the config, at the start and at every SIGHUP."""
        if self._is_started:
            self._reread(self.prepared.config)
        self._is_started = True
        config = self.prepared.config
        if config.pyregistry.fast_path and self._fast_path_works is None:  # once, for all workers
            self._fast_path_works = fast_path_works()
        if counts(config) and self._directory is not None:
            import_metrics()
            import_measuring()
            import_now(gauges)
        values = {
            "bind": [f"fd://{self._handle}"],
            "workers": worker_count(config),
            "worker_class": "pyregistry.api.transport.workers.Worker",
            "logger_class": GunicornLog,
            "graceful_timeout": 0,  # at SIGHUP gunicorn would wait that long for the old workers, ignoring all signals
            "proc_name": "pyregistry",
            "backlog": BACKLOG,
            "child_exit": self._forget_counting,
            "control_socket_disable": True,  # gunicorn 25 and later would create one in the home directory
        }
        for name, value in values.items():
            self.cfg.set(name, value)

    def tls_context(self) -> ssl.SSLContext | None:
        """Return the context of new connections; None without TLS."""
        certificate = self.prepared.certificate
        return None if certificate is None else certificate.context

    def drain_seconds(self) -> float:
        """Return the seconds that the last requests of a worker may take."""
        return float(self.prepared.config.http.drain_timeout) or DRAIN_SECONDS

    def load(self) -> Any:
        """Return the factory of a worker's server."""
        return self._make_runner

    def run(self) -> None:
        """Run the workers."""
        # A collection in a worker writes to all objects that it searches, so it would copy their shared pages.
        gc.collect()
        gc.freeze()
        return_free_memory()
        Arbiter(self).run()

    async def _make_runner(self) -> Runner:
        prepared, config = self.prepared, self.prepared.config
        metrics = self._make_metrics(config)
        app = create_app(config, prepared.authenticator, prepared.policy, metrics, prepared.spare_secret)
        if self._debug is not None:
            prometheus = config.http.debug.prometheus
            shown = metrics if prometheus.enabled else None
            app.cleanup_ctx.append(DebugAddress(self._debug, shown, prometheus.path).serve)
        if prepared.certificate is not None:
            app.cleanup_ctx.append(prepared.certificate.watch)
        # Objects made so far live until the end, so the garbage collector can skip them. Imports were frozen before
        # the fork.
        gc.collect()
        gc.freeze()
        return make_runner(
            app,
            fast_path=config.pyregistry.fast_path and bool(self._fast_path_works),
            limits=connection_limits(config),
            access_logger=_access_logger(config.log),
            shutdown_timeout=self.drain_seconds() * 0.95,
        )

    def _make_metrics(self, config: Config) -> Metrics | None:
        if self._directory is None or not counts(config):
            return None
        metrics = Metrics(self._directory)
        gauges.register_service_gauges(metrics, config, worker_count(config), self._reload)
        return metrics

    def _forget_counting(self, arbiter: Arbiter, worker: Worker) -> None:
        if counts(self.prepared.config) and self._directory is not None:
            try:
                merge_dead_worker(worker.pid, self._directory, worker.end)
            except OSError as error:  # it would end gunicorn
                log.warning("the counts of a worker could not be merged", reason=in_words(error))

    def _reread(self, current: Config) -> None:
        try:
            config = self._reload_config()
            self.prepared = _prepare(config, self.prepared.spare_secret)
        except (ConfigError, OSError) as error:
            log.error("config not usable, the last valid one stays active", reason=in_words(error))
            self._reload = Reload(succeeded=False, at=time.time())
            return
        self._reload = Reload(succeeded=True, at=time.time())
        if (config.http.addr, config.http.net) != (current.http.addr, current.http.net):
            log.warning("http.addr changes with a restart only", address=self._address)
        if config.http.debug.addr != current.http.debug.addr:
            log.warning("http.debug.addr changes with a restart only")
        _configure_logging(config)
        _warn_of_metrics(config, self._directory)
        log.info("config reloaded", workers=worker_count(config))
        announce_rules(config)

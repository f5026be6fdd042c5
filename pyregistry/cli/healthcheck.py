"""`pyregistry healthcheck`: checks that the server with this config responds, for the image's HEALTHCHECK.

It takes the address from the config, so TLS, a prefix or a unix socket need no extra setting. A 401 is fine too, so it
needs no password.
"""

import http.client
import os
import socket
import ssl
from pathlib import Path

from pyregistry.cli.config_file import ConfigFile, ConfigOption, fail, load_or_fail
from pyregistry.cli.failure import CommandFailed
from pyregistry.cli.output import say
from pyregistry.common.system_errors import in_words
from pyregistry.config.schema import Config, Http

TIMEOUT_SECONDS = 5.0
HEALTHY = (200, 401)
UNHEALTHY = 1
"""Exit status of any failure: Docker reserves 2."""
_FIRST_PROCESS = Path("/proc/1/cmdline")
_EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "127.0.0.1"}  # noqa: S104 - not listened on


def healthcheck(config: ConfigFile = None, config_option: ConfigOption = None) -> None:
    """Request `/v2/` from the server; exit with 0 if it responds like a registry, else with 1."""
    try:
        _check(config, config_option)
    except CommandFailed as failed:
        failed.status = UNHEALTHY
        raise


def _check(*given: Path | None) -> None:
    path, loaded = load_or_fail(*given) if any(given) else load_or_fail(_served())
    try:
        status = _status(loaded)
    except (OSError, ValueError, http.client.HTTPException) as error:
        if _wants_a_certificate(loaded.http) and _refused_us(error):
            return
        fail(f"{path}: {loaded.http.addr} does not answer: {in_words(error)}")
    if status not in HEALTHY:
        fail(f"{path}: {loaded.http.addr} answers with {status}")
    say(f"{loaded.http.addr} answers with {status}")


def _served() -> Path | None:
    """Return the config file in the arguments of the container's first process, if any."""
    try:
        words = _FIRST_PROCESS.read_bytes().split(b"\0")
    except OSError:
        return None
    files = [Path(os.fsdecode(word)) for word in words if word.endswith((b".yml", b".yaml"))]
    return files[-1] if files else None


def _status(config: Config) -> int:
    connection = http.client.HTTPConnection("localhost", timeout=TIMEOUT_SECONDS)
    connection.sock = _connect(config.http)
    try:
        connection.request("GET", f"{config.http.prefix.rstrip('/')}/v2/", headers={"User-Agent": "healthcheck"})
        return connection.getresponse().status
    finally:
        connection.close()


def _connect(section: Http) -> socket.socket:
    if section.net == "unix":
        connected = socket.socket(socket.AF_UNIX)
        connected.settimeout(TIMEOUT_SECONDS)
        connected.connect(section.addr)
    else:
        host, _, port = section.addr.rpartition(":")
        connected = socket.create_connection((_EVERYWHERE.get(host, host).strip("[]"), int(port)), TIMEOUT_SECONDS)
    if not section.tls.certificate:
        return connected
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # it is our own server on this machine, and the request has no secrets
    return context.wrap_socket(connected)


def _wants_a_certificate(section: Http) -> bool:
    return bool(section.tls.client_cas) and section.tls.client_auth != "verify-client-cert-if-given"


def _refused_us(error: Exception) -> bool:
    """Return True for a TLS alert or its remains: a server responds, which rejects us without a certificate."""
    if isinstance(error, ssl.SSLError):
        return "ALERT" in (error.reason or "")
    return isinstance(error, ConnectionResetError | BrokenPipeError)

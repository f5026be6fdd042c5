"""TLS of our own: the certificate is read again when its files change, as those who renew it expect."""

import asyncio
import mmap
import ssl
from collections.abc import AsyncIterator, Callable
from hashlib import blake2b
from typing import Any

import structlog
from aiohttp import web

from pyregistry.config.errors import ConfigError
from pyregistry.config.schema import Tls
from pyregistry.opener import stat_file
from pyregistry.storage.threads import in_thread
from pyregistry.tls_files import load_authorities, load_pair

POLL_SECONDS = 1.0
_DIGEST_BYTES = 16

log = structlog.get_logger("pyregistry.tls")

_KEPT = "certificate not usable, the last good one stays in force"
_VERSIONS = {"tls1.3": ssl.TLSVersion.TLSv1_3}
_CLIENT_AUTH = {
    "": ssl.CERT_REQUIRED,
    "verify-client-cert-if-given": ssl.CERT_OPTIONAL,
    "require-and-verify-client-cert": ssl.CERT_REQUIRED,
}
_WITH_ALERT = frozenset({"PEER_DID_NOT_RETURN_A_CERTIFICATE", "CERTIFICATE_VERIFY_FAILED", "UNSUPPORTED_PROTOCOL"})
"""Failures that OpenSSL tells the client of."""
_PLAIN_HTTP = frozenset({"HTTP_REQUEST", "HTTPS_PROXY_REQUEST"})


class _TellingWhy(ssl.SSLObject):
    """One connection, whose client learns why it is refused.

    asyncio ends a connection as soon as its handshake fails, with OpenSSL's alert ("certificate required") still in
    the buffer, and the client would speak of an unexpected EOF. Asking for more to read makes it send the alert first;
    what then comes, or the deadline of the handshake, ends the connection.
    """

    _told = False
    is_outdated = False
    """True if the files were read again between the accept and the client's first message."""
    on_plain_http: Callable[[], None] | None = None
    """Called for a client that sends a plain request instead of a handshake."""

    def do_handshake(self) -> None:
        """See SSLObject."""
        try:
            super().do_handshake()
        except ssl.SSLError as error:
            if error.reason in _PLAIN_HTTP and self.on_plain_http is not None:
                self.on_plain_http()
            if self._told or error.reason not in _WITH_ALERT:
                raise
            self._told = True
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "the alert has to be sent") from error
        if self.is_outdated and self.session_reused:
            raise ssl.SSLError("a session of an earlier context")


class _Accepting(ssl.SSLContext):
    """The context that asyncio is given once: each connection that it accepts gets the newest one, as a whole.

    To exchange only the context of a connection (SSL_set_SSL_CTX) is not enough: OpenSSL keeps looking up sessions in
    the first one, and a resumed session brings the client's certificate along, which nothing verifies again.
    """

    newest: ssl.SSLContext

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """See SSLContext."""
        return self.newest.wrap_bio(*args, **kwargs)


class _OnceInAllWorkers:
    """Remembers the last text that any process logged which was forked since this was made."""

    def __init__(self) -> None:
        self._last = mmap.mmap(-1, _DIGEST_BYTES)  # shared by them

    def is_new(self, text: str) -> bool:
        """Return True if the last text was another one, and remember this one."""
        digest = blake2b(text.encode(errors="replace"), digest_size=_DIGEST_BYTES).digest()
        if self._last[:] == digest:
            return False
        self._last[:] = digest
        return True


class Certificate:
    """A certificate with its key in two files, and the context that serves it."""

    def __init__(self, tls: Tls) -> None:
        """Raises ConfigError."""
        self._tls = tls
        self._missing: str | None = None
        """The error of files that vanished; None while they are there."""
        self._once = _OnceInAllWorkers()
        self._signature = self._stat()
        self.context = _Accepting(ssl.PROTOCOL_TLS_SERVER)
        self._serve(_make_context(tls))

    async def watch(self, app: web.Application) -> AsyncIterator[None]:
        """For Application.cleanup_ctx: look at the files once a second."""
        task = asyncio.create_task(self._watch())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            await in_thread(self.reload_if_changed)

    def reload_if_changed(self) -> None:
        """Serve new files to new connections; a pair that does not fit keeps the old one in force. Blocks."""
        try:
            signature = self._stat()
        except ConfigError as error:
            self._missing = str(error)
            if self._once.is_new(self._missing):
                log.error(_KEPT, reason=self._missing)
            return
        if self._missing is not None:
            self._missing = None
            if self._once.is_new(""):
                log.info("the files of the certificate are there again", certificate=self._tls.certificate)
        if signature == self._signature:
            return
        self._signature = signature  # also of invalid files: logged once, and read again when they change
        try:
            # Put in place as a whole: a context that serves handshakes while its pair is exchanged has, for a moment,
            # the certificate without the key, and fails them.
            self._serve(_make_context(self._tls))
            log.info("certificate read again", certificate=self._tls.certificate)
        except ConfigError as error:
            log.error(_KEPT, reason=str(error))

    def _serve(self, context: ssl.SSLContext) -> None:
        context.sni_callback = self._choose
        self.context.newest = context

    def _choose(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        # OpenSSL asks at each handshake, also of a client that names no server.
        if context is not self.context.newest and isinstance(connection, _TellingWhy):
            connection.context = self.context.newest
            connection.is_outdated = True

    def _stat(self) -> tuple[tuple[int, ...], ...]:
        found = []
        authorities = [("clientcas", path) for path in self._tls.client_cas]
        for key, path in (("certificate", self._tls.certificate), ("key", self._tls.key), *authorities):
            try:
                stat = stat_file(path)
            except OSError as error:
                raise ConfigError(f"http.tls.{key}: {path}: {error.strerror}") from error
            found.append((stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))  # the last: of a chmod
        return tuple(found)


def _make_context(tls: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslobject_class = _TellingWhy
    context.minimum_version = _VERSIONS.get(tls.minimum_tls, ssl.TLSVersion.TLSv1_2)
    context.set_alpn_protocols(["http/1.1"])
    load_pair(context, tls)
    if tls.client_cas:
        if tls.client_auth not in _CLIENT_AUTH:
            # OpenSSL, as Python drives it, has no way to ask for a certificate and then not look at it.
            raise ConfigError(f"http.tls.clientauth: {tls.client_auth!r}, expected one of {sorted(_CLIENT_AUTH)[1:]}")
        context.verify_mode = _CLIENT_AUTH[tls.client_auth]
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # an authority need not be self-signed, as in Go
        for path in tls.client_cas:
            load_authorities(context, path)
    return context

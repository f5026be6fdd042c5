"""TLS: the certificate is reloaded when its files change, as tools that renew it expect."""

import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

from pyregistry.common.overriding import override
from pyregistry.common.reloaded_files import ReloadedFiles, Use
from pyregistry.config.errors import ConfigError
from pyregistry.config.schema import Tls
from pyregistry.service.tls_files import files_of, load_authorities, load_pair, read_files
from pyregistry.threads.offload import in_thread

_VERSIONS = {"tls1.3": ssl.TLSVersion.TLSv1_3}
_CLIENT_AUTH = {
    "": ssl.CERT_REQUIRED,
    "verify-client-cert-if-given": ssl.CERT_OPTIONAL,
    "require-and-verify-client-cert": ssl.CERT_REQUIRED,
}
_WITH_ALERT = frozenset({"PEER_DID_NOT_RETURN_A_CERTIFICATE", "CERTIFICATE_VERIFY_FAILED", "UNSUPPORTED_PROTOCOL"})
"""Failures for which OpenSSL sends an alert to the client."""
_PLAIN_HTTP = frozenset({"HTTP_REQUEST", "HTTPS_PROXY_REQUEST"})


class _AlertingSSLObject(ssl.SSLObject):
    """A connection that sends the alert of a failed handshake to the client.

    asyncio closes a connection as soon as its handshake fails, with OpenSSL's alert ("certificate required") still in
    the buffer. The client would report an unexpected EOF. A request for more data makes asyncio send the alert first.
    The next data, or the deadline of the handshake, ends the connection.
    """

    _has_failed = False
    is_outdated = False
    """True if the files were reloaded between the accept and the client's first message."""
    on_plain_http: Callable[[], None] | None = None
    """Called for a client that sends a plain request instead of a handshake."""

    @override
    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except ssl.SSLError as error:
            if error.reason in _PLAIN_HTTP and self.on_plain_http is not None:
                self.on_plain_http()
            if self._has_failed or error.reason not in _WITH_ALERT:
                raise
            self._has_failed = True
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "the alert must be sent") from error
        if self.is_outdated and self.session_reused:
            raise ssl.SSLError("a session of an earlier context")


class _Accepting(ssl.SSLContext):
    """The context that asyncio gets once; each accepted connection uses the newest one.

    To replace only the context of a connection (SSL_set_SSL_CTX) is not enough. OpenSSL would look up sessions in the
    first one. A resumed session has the client's certificate, which nothing verifies again.
    """

    newest: Callable[[], ssl.SSLContext]

    @override
    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        return self.newest().wrap_bio(*args, **kwargs)


class Certificate:
    """A certificate with its key in two files, and the context that serves it."""

    def __init__(self, tls: Tls) -> None:
        """Load the files; raise ConfigError."""
        use = Use(
            "certificate",
            lambda: read_files(tls),
            self._make,
            lambda _: {"certificate": tls.certificate},
            invalid=ConfigError,
            unusable="certificate not usable, the last valid one stays active",
            restored="the files of the certificate are there again",
            logger="pyregistry.tls",
        )
        self._tls = tls
        # A reload makes a new context. A context in use whose pair is replaced has, for a moment, the certificate
        # without the key, and fails handshakes.
        self._files = ReloadedFiles([Path(path) for _, path in files_of(tls)], use)
        self.context = _Accepting(ssl.PROTOCOL_TLS_SERVER)
        self.context.newest = self._newest

    async def watch(self, app: web.Application) -> AsyncIterator[None]:
        """Watch the files, for Application.cleanup_ctx; new connections get the new ones."""
        await in_thread(self._files.start)
        yield
        self._files.close()

    def reload_if_changed(self) -> None:
        """Use new files for new connections; keep the old ones if the pair does not match. Blocks."""
        self._files.check(stable=False)

    def _newest(self) -> ssl.SSLContext:
        return self._files.value

    def _make(self, contents: Sequence[bytes]) -> ssl.SSLContext:
        context = _make_context(self._tls, contents)
        context.sni_callback = self._choose
        return context

    def _choose(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        # OpenSSL calls this at each handshake, also if the client does not name a server.
        if context is not self._files.value and isinstance(connection, _AlertingSSLObject):
            connection.context = self._files.value
            connection.is_outdated = True


def _make_context(tls: Tls, contents: Sequence[bytes]) -> ssl.SSLContext:
    certificate, key, *authorities = contents
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslobject_class = _AlertingSSLObject
    context.minimum_version = _VERSIONS.get(tls.minimum_tls, ssl.TLSVersion.TLSv1_2)
    context.set_alpn_protocols(["http/1.1"])
    load_pair(context, tls, certificate, key)
    if tls.client_cas:
        if tls.client_auth not in _CLIENT_AUTH:
            # With Python's ssl OpenSSL cannot request a certificate without verifying it.
            raise ConfigError(f"http.tls.clientauth: {tls.client_auth!r}, expected one of {sorted(_CLIENT_AUTH)[1:]}")
        context.verify_mode = _CLIENT_AUTH[tls.client_auth]
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # an authority need not be self-signed, as in Go
        for path, content in zip(tls.client_cas, authorities, strict=True):
            load_authorities(context, path, content)
    return context

"""The supported keys, typed; names and defaults are the CNCF registry's.

Its YAML names are the words below run together in lower case (`rootdirectory`). Keys that it does not have are in our
own section `pyregistry`, whose names have hyphens.
"""

from typing import Literal

import msgspec

from pyregistry.common.defaults import PAGE_ENTRIES
from pyregistry.common.overriding import override
from pyregistry.config.extensions import Extensions
from pyregistry.config.health_section import Health
from pyregistry.config.spelling import run_together
from pyregistry.config.validation_section import Validation
from pyregistry.config.values import Duration, Entries

Level = Literal["error", "warn", "warning", "info", "debug"]


class ConfigSection(msgspec.Struct, frozen=True, rename=run_together):
    """A part of the file."""


class AccessLog(ConfigSection, frozen=True):
    """`log.accesslog`: lines about requests."""

    disabled: bool = False
    """Write no access log to standard output."""


class Log(ConfigSection, frozen=True):
    """`log`: lines on standard error and standard output."""

    level: Level = "info"
    """Minimum level of the lines on standard error; deprecated name: `loglevel` at the top."""
    formatter: Literal["text", "json", "logstash"] = "text"
    """Format of all lines; the access log's `text` is Combined Log Format."""
    fields: dict[str, object] = {}
    """Members of each line; of the access log only in JSON."""
    access_log: AccessLog = AccessLog()


class Filesystem(ConfigSection, frozen=True):
    """`storage.filesystem`."""

    root_directory: str = "/var/lib/registry"
    """Directory of all data."""


class InMemory(ConfigSection, frozen=True):
    """`storage.inmemory`: data in memory, lost when the process ends."""


class Delete(ConfigSection, frozen=True):
    """`storage.delete`: off by default, as in the CNCF registry."""

    enabled: bool = False
    """Let clients delete tags, manifests and blobs; else DELETE is rejected with 405."""


class ReadOnly(ConfigSection, frozen=True):
    """`storage.maintenance.readonly`."""

    enabled: bool = False
    """Reject pushes and deletions."""


class UploadPurging(ConfigSection, frozen=True):
    """`storage.maintenance.uploadpurging`: removal of abandoned uploads."""

    enabled: bool = True
    """Remove abandoned uploads."""
    age: Duration = Duration(168 * 3600)
    """Time since the last byte of an upload after which it is removed."""
    interval: Duration = Duration(24 * 3600)
    """Time between two purges."""
    dry_run: bool = False
    """Only log the uploads, remove nothing."""


class Maintenance(ConfigSection, frozen=True):
    """`storage.maintenance`."""

    upload_purging: UploadPurging = UploadPurging()
    readonly: ReadOnly = ReadOnly()


class Storage(ConfigSection, frozen=True):
    """`storage`: exactly one driver."""

    filesystem: Filesystem | None = None
    inmemory: InMemory | None = None
    delete: Delete = Delete()
    maintenance: Maintenance = Maintenance()


class AuthSection(ConfigSection, frozen=True):
    """A kind of `auth`."""

    @property
    def files(self) -> list[str]:
        """Paths of the files that a server must read; some may be empty."""
        return []


class Htpasswd(AuthSection, frozen=True):
    """`auth.htpasswd`: passwords in a file."""

    realm: str
    """Name of the registry that a client shows when it asks for a password."""
    path: str
    """Path of the htpasswd file, with bcrypt hashes; reloaded when it changes."""

    @property
    @override
    def files(self) -> list[str]:
        return [self.path]


class Silly(AuthSection, frozen=True):
    """`auth.silly`: accepts any Authorization header, for tests only."""

    realm: str
    """Realm of the challenge."""
    service: str
    """Service of the challenge."""


class Token(AuthSection, frozen=True):
    """`auth.token`: tokens of an external server; at least one of the two files is required."""

    realm: str
    """URL of the token server."""
    service: str
    """Name of this registry in its tokens (`aud`)."""
    issuer: str
    """Name of the token server in its tokens (`iss`)."""
    root_cert_bundle: str = ""
    """Path of a file of certificates (PEM) that may sign tokens or issue such certificates; reloaded
    when it changes."""
    jwks: str = ""
    """Path of a file of public keys (JWKS) that may sign tokens; reloaded when it changes."""
    signing_algorithms: list[str] = []
    """Accepted signature algorithms; empty: those that fit the key."""
    auto_redirect: bool = False
    """Use `autoredirectpath` on the host of the request as the realm."""
    auto_redirect_path: str = ""
    """Path of the token server on that host; empty: `/auth/token`."""

    @property
    @override
    def files(self) -> list[str]:
        return [self.root_cert_bundle, self.jwks]


class Auth(ConfigSection, frozen=True):
    """`auth`: at most one kind."""

    htpasswd: Htpasswd | None = None
    silly: Silly | None = None
    token: Token | None = None

    @property
    def chosen(self) -> Htpasswd | Silly | Token | None:
        """Section of the configured kind."""
        return self.htpasswd or self.silly or self.token


class Tls(ConfigSection, frozen=True):
    """`http.tls`: enabled by a certificate; the files are reloaded when they change."""

    certificate: str = ""
    """Path of the certificate and its chain (PEM); enables TLS."""
    key: str = ""
    """Path of the certificate's key (PEM)."""
    client_cas: list[str] = []
    """Paths of CA certificates (PEM), one of which must have issued the client's certificate."""
    client_auth: Literal[
        "",
        "request-client-cert",
        "require-any-client-cert",
        "verify-client-cert-if-given",
        "require-and-verify-client-cert",
    ] = ""
    """Request of a client certificate; empty: required if there are `clientcas`. The first two are refused, as they
    verify nothing."""
    minimum_tls: Literal["", "tls1.0", "tls1.1", "tls1.2", "tls1.3"] = ""
    """Minimum TLS version; empty or below tls1.2: tls1.2."""


class Prometheus(ConfigSection, frozen=True):
    """`http.debug.prometheus`."""

    enabled: bool = False
    """Serve metrics at `http.debug.addr`."""
    path: str = "/metrics"
    """Path of the metrics."""


class Debug(ConfigSection, frozen=True):
    """`http.debug`: a separate address for health and metrics, without TLS and passwords."""

    addr: str = ""
    """Address as HOST:PORT for health and metrics, without a password; empty: none."""
    prometheus: Prometheus = Prometheus()


class Http(ConfigSection, frozen=True):
    """`http`: addresses and responses."""

    addr: str = ":5000"
    """Address as HOST:PORT; `:PORT` is all IPv4 and IPv6 addresses; with `net: unix` the path of a socket."""
    net: Literal["", "tcp", "unix"] = ""
    """Kind of the address; empty: tcp."""
    host: str = ""
    """URL of the registry as clients see it; empty: that of the request."""
    prefix: str = ""
    """Path prefix of the API's URLs, such as `/registry/`; the probes stay at the root."""
    relative_urls: bool = False
    """Send `Location` as a path, unless `host` is set."""
    drain_timeout: Duration = Duration(0)
    """Time that running requests may take after SIGTERM or SIGHUP; 0: 30 s."""
    headers: dict[str, list[str]] = {}
    """Headers of all responses, each with its values."""
    tls: Tls = Tls()
    debug: Debug = Debug()


class Catalog(ConfigSection, frozen=True):
    """`catalog`: the list of repositories."""

    max_entries: Entries = PAGE_ENTRIES
    """Repositories in a page of the catalog; 0: 1000."""


class Tags(ConfigSection, frozen=True):
    """`tags`: the list of a repository's tags."""

    max_tags: Entries = PAGE_ENTRIES
    """Tags in a page of the list; 0: 1000."""


class Config(ConfigSection, frozen=True):
    """The whole file."""

    version: str
    """Version of this format, which is 0.1."""
    storage: Storage
    log: Log = Log()
    auth: Auth = Auth()
    http: Http = Http()
    health: Health = Health()
    catalog: Catalog = Catalog()
    tags: Tags = Tags()
    validation: Validation = Validation()
    pyregistry: Extensions = Extensions()

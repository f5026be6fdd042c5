"""The keys that are carried out, typed; names and defaults are the CNCF registry's.

Its YAML names are the words below run together in lower case (`rootdirectory`). What it does not have stands in a
section of our own, `pyregistry`, whose names have hyphens.
"""

from typing import Literal

import msgspec

from pyregistry.common.defaults import PAGE_ENTRIES
from pyregistry.config.extensions import Own
from pyregistry.config.health_section import Health
from pyregistry.config.spelling import run_together
from pyregistry.config.validation_section import Validation
from pyregistry.config.values import Duration, Entries

Level = Literal["error", "warn", "warning", "info", "debug"]


class Section(msgspec.Struct, frozen=True, rename=run_together):
    """A part of the file."""


class AccessLog(Section, frozen=True):
    """`log.accesslog`: lines about requests."""

    disabled: bool = False
    """No lines about requests are written to standard output."""


class Log(Section, frozen=True):
    """`log`: lines on standard error and standard output."""

    level: Level = "info"
    """Least level of the lines on standard error; `loglevel` at the top is its old place."""
    formatter: Literal["text", "json", "logstash"] = "text"
    """Form of all lines, those about requests included, which `text` has in Combined Log Format."""
    fields: dict[str, object] = {}
    """Members of each line; of lines about requests where these are JSON."""
    access_log: AccessLog = AccessLog()


class Filesystem(Section, frozen=True):
    """`storage.filesystem`."""

    root_directory: str = "/var/lib/registry"
    """Directory of all data."""


class InMemory(Section, frozen=True):
    """`storage.inmemory`: data in memory, gone when the process ends."""


class Delete(Section, frozen=True):
    """`storage.delete`: off by default, as in the CNCF registry."""

    enabled: bool = False
    """Clients may delete tags, manifests and blobs; else DELETE is answered 405."""


class ReadOnly(Section, frozen=True):
    """`storage.maintenance.readonly`."""

    enabled: bool = False
    """Nothing can be pushed or deleted."""


class UploadPurging(Section, frozen=True):
    """`storage.maintenance.uploadpurging`: removal of uploads that were left behind."""

    enabled: bool = True
    """Uploads that were left behind are removed."""
    age: Duration = Duration(168 * 3600)
    """Time since the last byte of an upload after which it is removed."""
    interval: Duration = Duration(24 * 3600)
    """Time between two purges."""
    dry_run: bool = False
    """The log names the uploads, and none is removed."""


class Maintenance(Section, frozen=True):
    """`storage.maintenance`."""

    upload_purging: UploadPurging = UploadPurging()
    readonly: ReadOnly = ReadOnly()


class Storage(Section, frozen=True):
    """`storage`: exactly one driver."""

    filesystem: Filesystem | None = None
    inmemory: InMemory | None = None
    delete: Delete = Delete()
    maintenance: Maintenance = Maintenance()


class AuthSection(Section, frozen=True):
    """A kind of `auth`."""

    @property
    def files(self) -> list[str]:
        """Paths of the files that a server has to read; may have empty ones."""
        return []


class Htpasswd(AuthSection, frozen=True):
    """`auth.htpasswd`: passwords of a file."""

    realm: str
    """Name of the registry that a client shows when it asks for a password."""
    path: str
    """Path of the htpasswd file, with bcrypt hashes; read again when it changes."""

    @property
    def files(self) -> list[str]:
        """See AuthSection.files."""
        return [self.path]


class Silly(AuthSection, frozen=True):
    """`auth.silly`: lets in all requests with an Authorization header, for trying things out."""

    realm: str
    """Realm of the challenge."""
    service: str
    """Service of the challenge."""


class Token(AuthSection, frozen=True):
    """`auth.token`: tokens of an external server; at least one of the two files is needed."""

    realm: str
    """URL of the token server."""
    service: str
    """Name of this registry in its tokens (`aud`)."""
    issuer: str
    """Name of the token server in its tokens (`iss`)."""
    root_cert_bundle: str = ""
    """Path of a file of certificates (PEM) that may sign tokens or issue certificates that do; read
    again when it changes."""
    jwks: str = ""
    """Path of a file of public keys (JWKS) that may sign tokens; read again when it changes."""
    signing_algorithms: list[str] = []
    """Algorithms of signatures that are taken; without any those that fit the key."""
    auto_redirect: bool = False
    """The realm is `autoredirectpath` of the host that the client asked."""
    auto_redirect_path: str = ""
    """Path of the token server on that host; empty: `/auth/token`."""

    @property
    def files(self) -> list[str]:
        """See AuthSection.files."""
        return [self.root_cert_bundle, self.jwks]


class Auth(Section, frozen=True):
    """`auth`: at most one kind."""

    htpasswd: Htpasswd | None = None
    silly: Silly | None = None
    token: Token | None = None

    @property
    def chosen(self) -> Htpasswd | Silly | Token | None:
        """Section of the kind that is there."""
        return self.htpasswd or self.silly or self.token


class Tls(Section, frozen=True):
    """`http.tls`: on where a certificate is named; the files are read again when they change."""

    certificate: str = ""
    """Path of the certificate and its chain (PEM); naming it switches TLS on."""
    key: str = ""
    """Path of the certificate's key (PEM)."""
    client_cas: list[str] = []
    """Paths of certificates (PEM) of which one must have issued that of the client."""
    client_auth: Literal[
        "",
        "request-client-cert",
        "require-any-client-cert",
        "verify-client-cert-if-given",
        "require-and-verify-client-cert",
    ] = ""
    """Demand for a client's certificate; empty: it is required where there are `clientcas`. The first two are refused,
    as they verify nothing."""
    minimum_tls: Literal["", "tls1.0", "tls1.1", "tls1.2", "tls1.3"] = ""
    """Oldest version that is spoken; below tls1.2 and empty: tls1.2."""


class Prometheus(Section, frozen=True):
    """`http.debug.prometheus`."""

    enabled: bool = False
    """Metrics are at `http.debug.addr`."""
    path: str = "/metrics"
    """Path of the metrics."""


class Debug(Section, frozen=True):
    """`http.debug`: an address of its own for health and metrics, without TLS and without passwords."""

    addr: str = ""
    """Address as HOST:PORT for health and metrics, without a password; empty: none."""
    prometheus: Prometheus = Prometheus()


class Http(Section, frozen=True):
    """`http`: the address and what clients see of it."""

    addr: str = ":5000"
    """Address as HOST:PORT; `:PORT` is all addresses of both families; the path of a socket with `net: unix`."""
    net: Literal["", "tcp", "unix"] = ""
    """Kind of the address; empty: tcp."""
    host: str = ""
    """URL of the registry as clients see it; empty: that of the request."""
    prefix: str = ""
    """Path below which the registry answers, such as `/registry/`."""
    relative_urls: bool = False
    """`Location` is a path, unless `host` is set."""
    drain_timeout: Duration = Duration(0)
    """Time that running requests may take after SIGTERM or SIGHUP; 0: 30 s."""
    headers: dict[str, list[str]] = {}
    """Headers of all answers, each with its values."""
    tls: Tls = Tls()
    debug: Debug = Debug()


class Catalog(Section, frozen=True):
    """`catalog`: the list of repositories."""

    max_entries: Entries = PAGE_ENTRIES
    """Repositories in a page of the catalog; 0: 1000."""


class Tags(Section, frozen=True):
    """`tags`: the list of a repository's tags."""

    max_tags: Entries = PAGE_ENTRIES
    """Tags in a page of the list; 0: 1000."""


class Config(Section, frozen=True):
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
    pyregistry: Own = Own()

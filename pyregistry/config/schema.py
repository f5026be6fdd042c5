"""The keys that are carried out, typed; names and defaults are the CNCF registry's.

Its YAML names are the words below run together in lower case (`rootdirectory`). What it does not have stands in a
section of our own, `pyregistry`, whose names have hyphens.
"""

from typing import Literal

import msgspec

from pyregistry.config.values import Duration

Level = Literal["error", "warn", "warning", "info", "debug"]


def _run_together(name: str) -> str:
    return name.replace("_", "")


class Section(msgspec.Struct, frozen=True, rename=_run_together):
    """A part of the file."""


class AccessLog(Section, frozen=True):
    """`log.accesslog`."""

    disabled: bool = False


class Log(Section, frozen=True):
    """`log`."""

    level: Level = "info"
    formatter: Literal["text", "json", "logstash"] = "text"
    fields: dict[str, object] = {}
    access_log: AccessLog = AccessLog()


class Filesystem(Section, frozen=True):
    """`storage.filesystem`."""

    root_directory: str = "/var/lib/registry"


class InMemory(Section, frozen=True):
    """`storage.inmemory`: gone when the process ends."""


class Delete(Section, frozen=True):
    """`storage.delete`: off by default, as in the CNCF registry."""

    enabled: bool = False


class ReadOnly(Section, frozen=True):
    """`storage.maintenance.readonly`."""

    enabled: bool = False


class UploadPurging(Section, frozen=True):
    """`storage.maintenance.uploadpurging`: uploads that nobody went on with are removed."""

    enabled: bool = True
    age: Duration = Duration(168 * 3600)
    interval: Duration = Duration(24 * 3600)
    dry_run: bool = False


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


class Htpasswd(Section, frozen=True):
    """`auth.htpasswd`."""

    realm: str
    path: str


class Silly(Section, frozen=True):
    """`auth.silly`: lets in whoever sends an Authorization header, for trying things out."""

    realm: str
    service: str


class Token(Section, frozen=True):
    """`auth.token`: tokens of an external server; at least one of the two files is needed."""

    realm: str
    service: str
    issuer: str
    root_cert_bundle: str = ""
    jwks: str = ""
    signing_algorithms: list[str] = []
    auto_redirect: bool = False
    auto_redirect_path: str = ""


class Auth(Section, frozen=True):
    """`auth`: at most one kind."""

    htpasswd: Htpasswd | None = None
    silly: Silly | None = None
    token: Token | None = None


class Tls(Section, frozen=True):
    """`http.tls`: on where a certificate is named; the files are read again when they change."""

    certificate: str = ""
    key: str = ""
    client_cas: list[str] = []
    client_auth: Literal[
        "",
        "request-client-cert",
        "require-any-client-cert",
        "verify-client-cert-if-given",
        "require-and-verify-client-cert",
    ] = ""
    minimum_tls: Literal["", "tls1.0", "tls1.1", "tls1.2", "tls1.3"] = ""


class Http(Section, frozen=True):
    """`http`."""

    addr: str = ":5000"
    net: Literal["", "tcp", "unix"] = ""
    host: str = ""
    prefix: str = ""
    drain_timeout: Duration = Duration(0)
    headers: dict[str, list[str]] = {}
    tls: Tls = Tls()


class Catalog(Section, frozen=True):
    """`catalog`."""

    max_entries: int = 1_000


class Tags(Section, frozen=True):
    """`tags`."""

    max_tags: int = 1_000


class Platform(Section, frozen=True):
    """An item of `validation.manifests.indexes.platformlist`."""

    os: str = ""
    architecture: str = ""


class Indexes(Section, frozen=True):
    """`validation.manifests.indexes`: of which platforms an index's manifests must be here."""

    platforms: Literal["all", "none", "list"] = "all"
    platform_list: list[Platform] = []


class Urls(Section, frozen=True):
    """`validation.manifests.urls`: regular expressions for the `urls` of layers that are fetched elsewhere.

    Where nothing is said they are accepted; the CNCF registry refuses them all.
    """

    allow: list[str] = []
    deny: list[str] = []


class Manifests(Section, frozen=True):
    """`validation.manifests`."""

    urls: Urls = Urls()
    indexes: Indexes = Indexes()


class Validation(Section, frozen=True):
    """`validation`: disabled, a manifest may refer to whatever it likes."""

    disabled: bool = False
    manifests: Manifests = Manifests()


class Limits(msgspec.Struct, frozen=True, rename="kebab"):
    """`pyregistry.limits`: sizes in bytes, times in seconds."""

    manifest_size: int = 4 * 1024 * 1024
    blob_size: int = 100 * 1024**3
    connections: int = 2_000
    """Per worker."""
    connections_per_address: int = 1_000
    """Per worker; a proxy in front is one address."""
    header_deadline: float = 15.0
    keepalive: float = 75.0
    body_rate: int = 1024
    """Bytes per second, averaged over a minute, below which an upload's connection is closed."""


class Own(msgspec.Struct, frozen=True, rename="kebab"):
    """`pyregistry`: what the CNCF registry does not have."""

    workers: int = 0
    """Processes; 0: as many as there are processors, at most 4."""
    sparse: bool = False
    """An image may refer to blobs, and an index to manifests, that are not here."""
    warnings: list[str] = []
    """Sentences that clients show to their users."""
    access: list[object] | str | None = None
    """Rules, or the file that has them; see `pyregistry.auth.policy`. Without them who gets in may do everything."""
    groups: dict[str, list[str]] = {}
    """Users, by a name that rules may use; those of a file of rules are in that file."""
    limits: Limits = Limits()


class Config(Section, frozen=True):
    """The whole file."""

    version: str
    storage: Storage
    log: Log = Log()
    auth: Auth = Auth()
    http: Http = Http()
    catalog: Catalog = Catalog()
    tags: Tags = Tags()
    validation: Validation = Validation()
    pyregistry: Own = Own()

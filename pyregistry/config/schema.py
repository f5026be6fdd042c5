"""The keys that are carried out, typed; names and defaults are the CNCF registry's.

Its YAML names are the words below run together in lower case (`rootdirectory`). What it does not have stands in a
section of our own, `pyregistry`, whose names have hyphens.
"""

from typing import Literal

import msgspec

from pyregistry.config.own import Own
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


class Prometheus(Section, frozen=True):
    """`http.debug.prometheus`."""

    enabled: bool = False
    path: str = "/metrics"


class Debug(Section, frozen=True):
    """`http.debug`: an address of its own for health and metrics, without TLS and without passwords."""

    addr: str = ""
    prometheus: Prometheus = Prometheus()


class Http(Section, frozen=True):
    """`http`."""

    addr: str = ":5000"
    net: Literal["", "tcp", "unix"] = ""
    host: str = ""
    prefix: str = ""
    relative_urls: bool = False
    drain_timeout: Duration = Duration(0)
    headers: dict[str, list[str]] = {}
    tls: Tls = Tls()
    debug: Debug = Debug()


class StorageCheck(Section, frozen=True):
    """`health.storagedriver`."""

    enabled: bool = False
    interval: Duration = Duration(0)
    """0, here and below: every 10 s."""
    threshold: int = 0
    """Failures in a row that count; 0, here and below: the first one."""


class FileCheck(Section, frozen=True):
    """An item of `health.file`: healthy as long as there is no such file."""

    file: str
    interval: Duration = Duration(0)
    threshold: int = 0


class HttpCheck(Section, frozen=True):
    """An item of `health.http`: the answer to a HEAD."""

    uri: str
    headers: dict[str, list[str]] = {}
    status_code: int = 200
    timeout: Duration = Duration(0)
    """0, here and below: the interval."""
    interval: Duration = Duration(0)
    threshold: int = 0


class TcpCheck(Section, frozen=True):
    """An item of `health.tcp`: whether a connection can be made."""

    addr: str
    timeout: Duration = Duration(0)
    interval: Duration = Duration(0)
    threshold: int = 0


class Health(Section, frozen=True):
    """`health`: while a check fails, every request is answered 503."""

    storage_driver: StorageCheck = StorageCheck()
    file: list[FileCheck] = []
    http: list[HttpCheck] = []
    tcp: list[TcpCheck] = []


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


class Config(Section, frozen=True):
    """The whole file."""

    version: str
    storage: Storage
    log: Log = Log()
    auth: Auth = Auth()
    http: Http = Http()
    health: Health = Health()
    catalog: Catalog = Catalog()
    tags: Tags = Tags()
    validation: Validation = Validation()
    pyregistry: Own = Own()

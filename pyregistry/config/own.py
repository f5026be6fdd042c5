"""`pyregistry`: the section of the config that the CNCF registry does not have."""

import msgspec

from pyregistry.config.values import Duration


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
    send_deadline: float = 300.0
    """Seconds in which a client must take a byte of what it is sent. Slow ones tell of their room in steps, which may
    be megabytes, so that much less would cut off those who live."""
    send_rate: float = 1024.0
    """Bytes per second, averaged over a minute, that a client must take while more waits for it; 0: any rate."""
    body_rate: int = 1024
    """Bytes per second, averaged over a minute, below which an upload's connection is closed."""


class Gc(msgspec.Struct, frozen=True, rename="kebab"):
    """`pyregistry.gc`: garbage collection while the registry runs, and what `pyregistry gc` does where nobody says."""

    interval: Duration = Duration(0)
    """Between two runs of the server's own; 0: it runs none."""
    grace: Duration = Duration(3600)
    """How long a push may take from its first blob to its manifest before a run may cost it a second try."""
    delete_untagged: bool = False
    """Manifests that no tag names and nothing that is kept refers to go as well."""
    i_know: bool = False
    """Run on a file system that machines share, such as NFS, where a run may take what was just pushed."""


class Own(msgspec.Struct, frozen=True, rename="kebab"):
    """`pyregistry`: what the CNCF registry does not have."""

    workers: int = 0
    """Processes; 0: as many as there are processors, at most 4."""
    sparse: bool = False
    """An image may refer to blobs, and an index to manifests, that are not here."""
    metrics: bool = False
    """Metrics at /metrics of `http.addr` too, for whoever may use the registry."""
    warnings: list[str] = []
    """Sentences that clients show to their users."""
    access: list[object] | str | None = None
    """Rules, or the file that has them; see `pyregistry.auth.policy`. Without them who gets in may do everything."""
    trusted_proxies: list[str] | None = None
    """Addresses and networks whose `X-Forwarded-*` and `Forwarded` are believed, and `unix`. Without the key they are
    believed of everybody for `Location` and the realm of tokens, and of no one for addresses."""
    default_platform: str = "linux/amd64"
    """Platform of the image that a client gets which asks for a tag and accepts no lists; empty: it gets the list."""
    groups: dict[str, list[str]] = {}
    """Users, by a name that rules may use; those of a file of rules are in that file."""
    limits: Limits = Limits()
    gc: Gc = Gc()

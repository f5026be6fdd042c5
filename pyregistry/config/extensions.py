"""`pyregistry`: the section of the config that the CNCF registry does not have."""

from typing import Annotated

import msgspec

from pyregistry.common import defaults
from pyregistry.config.values import Bytes, BytesPerSecond, Duration, Seconds, unit


class Limits(msgspec.Struct, frozen=True, rename="kebab"):
    """`pyregistry.limits`: bounds on what clients may send and how slowly."""

    manifest_size: Bytes = defaults.MANIFEST_BYTES
    """Size of the largest manifest; a larger one is answered 413."""
    blob_size: Bytes = defaults.BLOB_BYTES
    """Size of the largest blob; a larger one is answered 413."""
    connections: Annotated[int, unit("connections per worker")] = defaults.CONNECTIONS
    """Connections at a time. One more closes the one that is idle longest, or is refused if none is idle."""
    connections_per_address: Annotated[int, unit("connections per worker")] = defaults.CONNECTIONS_PER_ADDRESS
    """Connections of one address, or one IPv6 network of 64 bits, at a time; a proxy in front is one address."""
    header_deadline: Seconds = defaults.HEADER_DEADLINE_SECONDS
    """Time in which the head of a request must arrive."""
    keepalive: Seconds = defaults.KEEPALIVE_SECONDS
    """Time that a connection without a request stays open."""
    send_deadline: Seconds = defaults.SEND_DEADLINE_SECONDS
    """Time in which a client must take a byte of what it is sent. Slow ones tell of their room in steps, which may be
    megabytes, so that much less would cut off those who live."""
    send_rate: Annotated[float, unit("bytes per second")] = defaults.SEND_BYTES_PER_SECOND
    """Rate, averaged over a minute, at which a client must take what waits for it; 0: any rate."""
    body_rate: BytesPerSecond = defaults.BODY_BYTES_PER_SECOND
    """Rate, averaged over a minute, below which an upload is answered 408 and its connection closed."""


class Gc(msgspec.Struct, frozen=True, rename="kebab"):
    """`pyregistry.gc`: garbage collection while the registry runs; also the defaults of `pyregistry gc`."""

    interval: Duration = Duration(0)
    """Time between two runs of the server's own; 0: it runs none."""
    grace: Duration = Duration(defaults.GRACE_SECONDS)
    """Time that a push may take from its first blob to its manifest before a run may cost it a second try."""
    delete_untagged: bool = False
    """Manifests that no tag names and nothing that is kept refers to are deleted as well."""
    i_know: bool = False
    """Run on a file system that machines share, such as NFS, where a run may take what was just pushed."""


class Own(msgspec.Struct, frozen=True, rename="kebab"):
    """`pyregistry`: what the CNCF registry does not have."""

    workers: Annotated[int, unit("processes")] = 0
    """Processes that serve; 0: as many as there are processors, at most 4. `storage: inmemory` has one."""
    sparse: bool = False
    """Images may refer to blobs, and indexes to manifests, that are not here."""
    metrics: bool = False
    """Metrics are at `/metrics` of `http.addr` too, for users of the registry."""
    warnings: list[str] = []
    """Sentences that clients show to their users."""
    access: Annotated[
        list[object] | str | None, msgspec.Meta(description="a list of rules, or the path of a file of rules")
    ] = None
    """Rules that say who may do what, or the path of a file of rules; without them all who get in may do everything."""
    trusted_proxies: list[str] | None = None
    """Addresses and networks whose `X-Forwarded-*` and `Forwarded` are believed, and `unix`. Without the key they are
    believed of all for `Location` and the realm of tokens, and of none for addresses."""
    default_platform: str = "linux/amd64"
    """Platform of the image that a client gets which asks for a tag and accepts no lists; empty: it gets the list."""
    fast_path: bool = True
    """Cached responses and large uploads go around the HTTP server's parser and tasks, where it is known to allow that.
    Set to false, all requests go the ordinary way, which takes more processor time."""
    groups: dict[str, list[str]] = {}
    """Users, by a name that rules may use; those of a file of rules are in that file."""
    limits: Limits = Limits()
    gc: Gc = Gc()

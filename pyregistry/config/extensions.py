"""`pyregistry`: the section of the config that the CNCF registry does not have."""

from typing import Annotated

import msgspec

from pyregistry.common import defaults
from pyregistry.config.values import Bytes, BytesPerSecond, Duration, Seconds, unit


class Limits(msgspec.Struct, frozen=True, rename="kebab"):
    """`pyregistry.limits`: bounds on what clients may send and how slowly."""

    manifest_size: Bytes = defaults.MANIFEST_BYTES
    """Size of the largest manifest; a larger one is rejected with 413."""
    blob_size: Bytes = defaults.BLOB_BYTES
    """Size of the largest blob; a larger one is rejected with 413."""
    connections: Annotated[int, unit("connections per worker")] = defaults.CONNECTIONS
    """Concurrent connections. One more closes the one that is idle longest, or is refused if all are busy."""
    connections_per_address: Annotated[int, unit("connections per worker")] = defaults.CONNECTIONS_PER_ADDRESS
    """Concurrent connections of one address, or one IPv6 network of 64 bits; a proxy in front is one address."""
    header_deadline: Seconds = defaults.HEADER_DEADLINE_SECONDS
    """Time in which the headers of a request must arrive."""
    keepalive: Seconds = defaults.KEEPALIVE_SECONDS
    """Time that a connection without a request stays open."""
    send_deadline: Seconds = defaults.SEND_DEADLINE_SECONDS
    """Time in which a client must acknowledge some data. Slow clients do so in steps of up to megabytes. A much shorter
    time would disconnect clients that still read."""
    send_rate: Annotated[float, unit("bytes per second")] = defaults.SEND_BYTES_PER_SECOND
    """Rate, averaged over a minute, at which a client must read; 0: any rate."""
    body_rate: BytesPerSecond = defaults.BODY_BYTES_PER_SECOND
    """Rate, averaged over a minute, below which an upload is ended with 408 and its connection closed."""


class Gc(msgspec.Struct, frozen=True, rename="kebab"):
    """`pyregistry.gc`: garbage collection while the registry runs; also the defaults of `pyregistry gc`."""

    interval: Duration = Duration(0)
    """Time between two runs in the server; 0: no runs."""
    grace: Duration = Duration(defaults.GRACE_SECONDS)
    """Time that a push may take from its first blob to its manifest. After that, a run may make the client push
    again."""
    delete_untagged: bool = False
    """Delete also untagged manifests that no kept manifest refers to."""
    i_know: bool = False
    """Run on a shared file system, such as NFS, where a run may delete what another machine just pushed."""


class Extensions(msgspec.Struct, frozen=True, rename="kebab"):
    """`pyregistry`: what the CNCF registry does not have."""

    workers: Annotated[int, unit("processes")] = 0
    """Processes that serve; 0: one per processor, at most 4. `storage: inmemory` has one."""
    sparse: bool = False
    """Accept images whose blobs, and indexes whose manifests, are missing."""
    metrics: bool = False
    """Serve metrics also at `/metrics` of `http.addr`, for users of the registry."""
    warnings: list[str] = []
    """Sentences that clients show to their users."""
    access: Annotated[
        list[object] | str | None, msgspec.Meta(description="a list of rules, or the path of a file of rules")
    ] = None
    """Rules that say who may do what, or the path of a file of rules; without rules every caller that `auth` accepts
    may do everything."""
    trusted_proxies: list[str] | None = None
    """Addresses and networks whose `X-Forwarded-*` and `Forwarded` are trusted, and `unix`. Without the key these
    headers of any client set `Location` and the realm of tokens, but never the client's address."""
    default_platform: str = "linux/amd64"
    """Platform of the image for a client that asks for a tag and accepts no index; empty: it gets the index."""
    fast_path: bool = True
    """Let cached responses and large uploads bypass the HTTP server's parser and tasks, if this works with its version.
    false: no bypass, which takes more processor time."""
    groups: dict[str, list[str]] = {}
    """Lists of users by the name that rules use; a file of rules has its own."""
    limits: Limits = Limits()
    gc: Gc = Gc()

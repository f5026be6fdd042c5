"""The limits of connections that the config sets."""

from dataclasses import dataclass

from pyregistry.common import defaults

NEW_CONNECTION_SECONDS = 1.0
"""Seconds in which a connection without a request may still send its first, at a shutdown."""

FIRST_READ_BYTES = 64 * 1024
"""Bytes that the event loop reads at once where a head comes, perhaps with the beginning of its body."""
READ_BYTES = 256 * 1024
"""Bytes of a body that wait for its handler; reading pauses above twice as many."""
SETTLE_SECONDS = 0.1
"""Seconds in which a connection that the kernel accepted before a shutdown is made, and told of it."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Times in seconds; the two counts are per worker process."""

    header_deadline: float = defaults.HEADER_DEADLINE_SECONDS
    keepalive: float = defaults.KEEPALIVE_SECONDS
    lingering: float = 1.0
    """Seconds for which an unread body is thrown away, so that the client can read the answer."""
    connections: int = defaults.CONNECTIONS
    connections_per_address: int = defaults.CONNECTIONS_PER_ADDRESS
    send_deadline: float = defaults.SEND_DEADLINE_SECONDS
    """Seconds in which a client may take nothing of what it is sent."""
    send_rate: float = defaults.SEND_BYTES_PER_SECOND
    """Bytes per second that a client must take while more waits for it, averaged over `rate_window`; 0: any rate."""
    rate_window: float = 60.0

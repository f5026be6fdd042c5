"""The limits of connections that the config sets."""

from dataclasses import dataclass

from pyregistry.common import defaults

NEW_CONNECTION_SECONDS = 1.0
"""Seconds a new connection may wait for its first request during shutdown."""

FIRST_READ_BYTES = 64 * 1024
"""Bytes read at once of a head, perhaps with the beginning of its body."""
READ_BYTES = 256 * 1024
"""Bytes of a body that wait for its handler; reading pauses above twice as many."""
SETTLE_SECONDS = 0.1
"""Seconds for connections that the kernel accepted before a shutdown to be set up, and then closed."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Times in seconds; the two counts are per worker process."""

    header_deadline: float = defaults.HEADER_DEADLINE_SECONDS
    keepalive: float = defaults.KEEPALIVE_SECONDS
    lingering: float = 1.0
    """Seconds to discard an unread body so the client can read the response (lingering close)."""
    connections: int = defaults.CONNECTIONS
    connections_per_address: int = defaults.CONNECTIONS_PER_ADDRESS
    send_deadline: float = defaults.SEND_DEADLINE_SECONDS
    """Seconds without progress before a client that is not reading is disconnected."""
    send_rate: float = defaults.SEND_BYTES_PER_SECOND
    """Bytes per second that a client must read while more waits for it, averaged over `rate_window`; 0: any rate."""
    rate_window: float = 60.0

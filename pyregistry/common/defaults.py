"""Default values of config keys, shared by the structs of the config and the objects made from them.

A module of its own, as neither side imports the other.
"""

MANIFEST_BYTES = 4 * 1024 * 1024
BLOB_BYTES = 100 * 1024**3
PAGE_ENTRIES = 1_000
"""Names in a page of a list."""
CONNECTIONS = 2_000
CONNECTIONS_PER_ADDRESS = 1_000
HEADER_DEADLINE_SECONDS = 15.0
KEEPALIVE_SECONDS = 75.0
"""Above the idle time of usual clients and proxies, so that they close first."""
SEND_DEADLINE_SECONDS = 300.0
SEND_BYTES_PER_SECOND = 1024.0
BODY_BYTES_PER_SECOND = 1024
GRACE_SECONDS = 3600.0
"""Seconds for which garbage collection keeps a blob after a push learned that it exists."""

"""Bounds of a section that all writers wait for."""

BATCH = 64
BATCH_SECONDS = 0.05
"""Longest wait of writers for one batch."""
PAUSE_SECONDS = 0.0001
"""Seconds between two batches, in which waiting writers can take the lock."""

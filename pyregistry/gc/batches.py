"""Bounds of a section that all writers wait for."""

BATCH = 64
BATCH_SECONDS = 0.05
"""For how long writers may have to wait for one batch."""
BREATH = 0.0001
"""Seconds between two batches: those who wait for the lock need a moment to take it."""

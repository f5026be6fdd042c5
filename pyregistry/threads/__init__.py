"""Blocking work off the event loop: thread pools, fair shares for long walks, waits for locks, memory of uploads."""

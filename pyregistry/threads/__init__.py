"""Blocking work off the event loop: thread pools, turns, waits for locks, memory of uploads."""

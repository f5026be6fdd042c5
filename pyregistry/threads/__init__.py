"""Blocking work beside the event loop: pools of threads, turns, patience for locks, memory of uploads."""

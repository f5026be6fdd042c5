"""Garbage collection that runs while people push: docs/gc.md has the protocol, its races and its proof."""

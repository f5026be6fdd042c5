"""Metrics of a registry, its dashboard, its alerts, and the page about them."""

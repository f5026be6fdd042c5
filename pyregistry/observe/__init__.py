"""Observations of a running service: metrics, health, processes, and the events of repositories."""

"""Handlers of the endpoints, one file for each noun of the spec, and what only they share."""

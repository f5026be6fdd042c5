"""Handlers of the endpoints, one file for each noun of the spec, and the code that only they share."""

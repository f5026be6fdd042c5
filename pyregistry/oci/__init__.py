"""The spec's nouns as values: no I/O, no server. Words are those of the OCI distribution and image specs."""

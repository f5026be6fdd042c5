"""The spec's nouns as values, without I/O, in the words of the OCI distribution and image specs."""

"""The memory of this process, for tests and for registries that are thrown away."""

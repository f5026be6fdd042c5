"""Checks of a storage, exact repairs of damage, and the verification of all blobs."""

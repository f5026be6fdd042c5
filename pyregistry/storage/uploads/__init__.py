"""Uploads that any storage can keep: batches, direct reads, hash checkpoints, uploads as pieces."""

"""Repositories on the three seams: blobs, manifests, tags, referrers, the catalog."""

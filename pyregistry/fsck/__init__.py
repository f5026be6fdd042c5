"""Looking for damage in the data directory, mending what can be mended exactly, and reading all blobs again."""

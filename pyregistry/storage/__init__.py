"""The registry's nouns over bytes at paths. Synchronous but for an upload's open file; knows nothing of HTTP."""

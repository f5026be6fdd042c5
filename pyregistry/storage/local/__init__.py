"""A directory of this machine: files, locks, leases and uploads as files."""

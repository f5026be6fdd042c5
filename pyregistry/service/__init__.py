"""The service: config to objects, checks before the start, sockets, TLS, processes, logs."""

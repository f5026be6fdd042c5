"""The service: objects made from the config, checks before the start, sockets, TLS, processes, logs."""

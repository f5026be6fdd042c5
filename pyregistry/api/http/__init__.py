"""A request and its response: headers, addresses, ids, rights, and the line of the access log."""

"""Requests to a registry in another process, each on a connection of its own, so that any worker may get it."""

import http.client
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tests.builders import digest_of
from tests.processes import Server
from tests.push import path_of

TIMEOUT = 60


@dataclass(frozen=True)
class Answer:
    """One answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def ask(
    server: Server,
    method: str,
    path: str,
    body: bytes | Iterable[bytes] | None = None,
    headers: Mapping[str, str] | None = None,
    source: str = "127.0.0.1",
) -> Answer:
    """An iterable is sent in chunked transfer coding; `source` is the client's address."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT, source_address=(source, 0))
    try:
        chunked = body is not None and not isinstance(body, bytes)
        fields = {**({"Transfer-Encoding": "chunked"} if chunked else {}), **(headers or {})}
        connection.request(method, path, body=body, headers=fields, encode_chunked=chunked)
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()


def start_upload(server: Server, name: str) -> str:
    """The path of a new upload."""
    answer = ask(server, "POST", f"/v2/{name}/blobs/uploads/")
    assert answer.status == 202, answer
    return path_of(answer.headers["Location"])


def push_in_chunks(server: Server, name: str, chunks: list[bytes], last: bytes = b"") -> Answer:
    """POST, a PATCH for each chunk, PUT: each may meet another worker."""
    location = start_upload(server, name)
    offset = 0
    for chunk in chunks:
        answer = ask(server, "PATCH", location, chunk, {"Content-Range": f"{offset}-{offset + len(chunk) - 1}"})
        offset += len(chunk)
        assert (answer.status, answer.headers["Range"]) == (202, f"0-{offset - 1}"), answer
        assert ask(server, "GET", location).headers["Range"] == f"0-{offset - 1}"
    return ask(server, "PUT", f"{location}?digest={digest_of(b''.join(chunks) + last)}", last)

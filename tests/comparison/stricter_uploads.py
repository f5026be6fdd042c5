"""Stricter requests: uploads and downloads."""

import socket

from tests.builders import digest_of
from tests.comparison.asking import (
    BLOB,
    BLOB_DIGEST,
    BYTES,
    LAYER_DIGEST,
    Answer,
    Asker,
    in_chunks,
    with_query,
)
from tests.comparison.rows import Request, Rows

ROWS = Rows()
row = ROWS.row


# Uploads


@row("`POST …/uploads/?digest=` with a body that has another digest")
def _(asker: Asker) -> Answer:
    return asker.ask("POST", f"/v2/{asker.repository}/blobs/uploads/?digest={LAYER_DIGEST}", [BYTES], BLOB)


@row("`POST …/uploads/?digest=md5:…` with a body")
def _(asker: Asker) -> Answer:
    return asker.ask("POST", f"/v2/{asker.repository}/blobs/uploads/?digest=md5:{'a' * 32}", [BYTES], BLOB)


@row("`POST …/uploads/?digest-algorithm=md5`")
def _(asker: Asker) -> Answer:
    return asker.ask("POST", f"/v2/{asker.repository}/blobs/uploads/?digest-algorithm=md5")


@row("`PUT <location>?digest=sha384:…`")
def _(asker: Asker) -> Answer:
    return asker.ask("PUT", with_query(asker.begin(), f"digest={digest_of(BLOB, 'sha384')}"), [BYTES], BLOB)


@row("a `PUT` of `Content-Range: 5-9` where no byte has come before")
def _(asker: Asker) -> Answer:
    target = with_query(asker.begin(), f"digest={BLOB_DIGEST}")
    return asker.ask("PUT", target, [BYTES, ("Content-Range", "5-9")], BLOB)


@row("the same as a `PATCH` in chunks")
def _(asker: Asker) -> Answer:
    fields = [BYTES, ("Content-Range", "5-9"), ("Transfer-Encoding", "chunked")]
    return asker.ask("PATCH", asker.begin(), fields, in_chunks(BLOB))


@row("a `PATCH` in chunks with a malformed `Content-Range`")
def _(asker: Asker) -> Answer:
    fields = [BYTES, ("Content-Range", "five bytes"), ("Transfer-Encoding", "chunked")]
    return asker.ask("PATCH", asker.begin(), fields, in_chunks(BLOB))


@row("a `PUT` of five bytes as `Content-Range: 0-3`")
def _(asker: Asker) -> Answer:
    target = with_query(asker.begin(), f"digest={BLOB_DIGEST}")
    return asker.ask("PUT", target, [BYTES, ("Content-Range", "0-3")], BLOB)


@row("an empty `PUT` of `Content-Range: 9-9` where five bytes have come")
def _(asker: Asker) -> Answer:
    target = with_query(asker.begin_with(BLOB), f"digest={BLOB_DIGEST}")
    return asker.ask("PUT", target, [("Content-Range", "9-9")], b"")


@row("`GET` of an upload behind a `PUT` of another digest")
def _(asker: Asker) -> Answer:
    location = asker.begin()
    asker.ask("PUT", with_query(location, f"digest={LAYER_DIGEST}"), [BYTES], BLOB)
    return asker.ask("GET", location)


# Two requests for one upload


def _during_a_patch(method: str, query: str = "", body: bytes | None = None) -> Request:
    """A request for an upload to which a PATCH is sending its second byte."""

    def request(asker: Asker) -> Answer:
        location = asker.begin()
        lines = (f"PATCH {location} HTTP/1.1", "Host: registry.test", f"Content-Length: {len(BLOB)}")
        head = "\r\n".join([*lines, "Expect: 100-continue", "", ""])
        with socket.create_connection(("127.0.0.1", asker.port), 60) as sending:
            sending.sendall(head.encode())
            assert sending.recv(1_000).startswith(b"HTTP/1.1 100 "), "the body is not read"
            sending.sendall(BLOB[:2])
            return asker.ask(method, with_query(location, query) if query else location, [BYTES], body)

    return request


row("a `PATCH` while another one sends")(_during_a_patch("PATCH", body=BLOB))
row("a `PUT` while a `PATCH` sends")(_during_a_patch("PUT", f"digest={BLOB_DIGEST}", BLOB))
row("a `DELETE` while a `PATCH` sends")(_during_a_patch("DELETE"))


# Downloads


@row("`Range: bytes=-0`")
def _(asker: Asker) -> Answer:
    asker.find_image()
    return asker.ask("GET", f"/v2/{asker.repository}/blobs/{LAYER_DIGEST}", [("Range", "bytes=-0")])

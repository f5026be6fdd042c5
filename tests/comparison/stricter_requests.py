"""Stricter requests: malformed ones, paths and names."""

from tests.comparison.asking import (
    BLOB,
    BLOB_DIGEST,
    BYTES,
    OCI_IMAGE,
    Answer,
    Asker,
    in_chunks,
    with_query,
)
from tests.comparison.rows import Rows

ROWS = Rows()
row = ROWS.row


def _head(*lines: str) -> bytes:
    return "\r\n".join([*lines, "Host: registry.test", "Connection: close", "", ""]).encode()


# What is no request


@row("a header line of more than 64 KiB")
def _(asker: Asker) -> Answer:
    return asker.ask("GET", "/v2/", [("X-Long", "a" * 70_000)])


@row("a request line of more than 64 KiB")
def _(asker: Asker) -> Answer:
    return asker.ask("GET", f"/v2/?a={'a' * 70_000}")


@row("a head of more than 100 KiB")
def _(asker: Asker) -> Answer:
    return asker.ask("GET", "/v2/", [(f"X-{number}", "a" * 40_000) for number in range(3)])


@row("more than 1,000 headers")
def _(asker: Asker) -> Answer:
    return asker.ask("GET", "/v2/", [(f"X-{number}", "a") for number in range(1_100)])


@row("`Content-Length` and `Transfer-Encoding`")
def _(asker: Asker) -> Answer:
    body = in_chunks(BLOB)
    fields = [BYTES, ("Transfer-Encoding", "chunked"), ("Content-Length", str(len(body)))]
    return asker.ask("PATCH", asker.begin(), fields, body)


@row("lines that end in a line feed alone")
def _(asker: Asker) -> Answer:
    return asker.send(b"GET /v2/ HTTP/1.1\nHost: registry.test\nConnection: close\n\n")


@row("a header that continues in the next line")
def _(asker: Asker) -> Answer:
    return asker.send(_head("GET /v2/ HTTP/1.1", "X-Long: one", " two"))


@row("a `Content-Length` of more than 19 digits")
def _(asker: Asker) -> Answer:
    return asker.ask("PATCH", asker.begin(), [BYTES, ("Content-Length", f"{len(BLOB):030}")], BLOB)


@row("the size of a chunk in more than 15 digits")
def _(asker: Asker) -> Answer:
    body = b"%016x\r\n%s\r\n0\r\n\r\n" % (len(BLOB), BLOB)
    return asker.ask("PATCH", asker.begin(), [BYTES, ("Transfer-Encoding", "chunked")], body)


@row("a blank behind the size of a chunk")
def _(asker: Asker) -> Answer:
    body = b"%x \r\n%s\r\n0\r\n\r\n" % (len(BLOB), BLOB)
    return asker.ask("PATCH", asker.begin(), [BYTES, ("Transfer-Encoding", "chunked")], body)


@row("two different `Content-Range` headers")
def _(asker: Asker) -> Answer:
    return asker.ask("PATCH", asker.begin(), [BYTES, ("Content-Range", "0-4"), ("Content-Range", "5-9")], BLOB)


@row("HTTP/1.2")
def _(asker: Asker) -> Answer:
    return asker.send(_head("GET /v2/ HTTP/1.2"))


@row("a query with bytes that are not ASCII")
def _(asker: Asker) -> Answer:
    return asker.send(_head("GET /v2/?last=ä HTTP/1.1"))


@row("a method that HTTP does not have, for `/v2/`")
def _(asker: Asker) -> Answer:
    return asker.ask("FOO", "/v2/")


@row("`PUT /v2/`")
def _(asker: Asker) -> Answer:
    return asker.ask("PUT", "/v2/", [BYTES], BLOB)


# Paths and names


@row("`GET /v2/x/../app/manifests/v1`")
def _(asker: Asker) -> Answer:
    asker.find_image()
    return asker.ask("GET", f"/v2/x/../{asker.repository}/manifests/v1", [("Accept", OCI_IMAGE)])


@row("`GET /v2/app/./manifests/v1`")
def _(asker: Asker) -> Answer:
    asker.find_image()
    return asker.ask("GET", f"/v2/{asker.repository}/./manifests/v1", [("Accept", OCI_IMAGE)])


@row("`GET /v2/app/manifests%2Fv1`")
def _(asker: Asker) -> Answer:
    asker.find_image()
    return asker.ask("GET", f"/v2/{asker.repository}/manifests%2Fv1", [("Accept", OCI_IMAGE)])


@row("a path of more than 512 slashes")
def _(asker: Asker) -> Answer:
    asker.find_image()
    return asker.ask("GET", f"/v2{'/' * 600}{asker.repository}/manifests/v1", [("Accept", OCI_IMAGE)])


@row("`GET /v2/_catalog?n=1;last=a`")
def _(asker: Asker) -> Answer:
    return asker.ask("GET", "/v2/_catalog?n=1;last=a")


@row("`GET /v2/_catalog?n=%zz`")
def _(asker: Asker) -> Answer:
    return asker.ask("GET", "/v2/_catalog?n=%zz")


@row("`POST /v2/Team/app/blobs/uploads/`")
def _(asker: Asker) -> Answer:
    return asker.ask("POST", f"/v2/T{asker.repository}/blobs/uploads/")


@row("`POST` to the location of an upload")
def _(asker: Asker) -> Answer:
    return asker.ask("POST", with_query(asker.begin(), f"digest={BLOB_DIGEST}"), [BYTES], BLOB)

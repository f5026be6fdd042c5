"""Unusual uploads and mounts."""

from tests.builders import digest_of
from tests.comparison.asking import (
    BLOB,
    BLOB_DIGEST,
    BYTES,
    Answer,
    Asker,
    Fields,
    in_chunks,
    with_query,
)
from tests.comparison.rows import Request, Rows, plain

ALIKE = Rows()
_CHUNKED = ("Transfer-Encoding", "chunked")
_UNKNOWN = "00000000-0000-4000-8000-000000000000"


# Begin and mount


def _begin(query: str, fields: Fields = (), body: bytes | None = None) -> Request:
    def request(asker: Asker) -> Answer:
        source = f"from/{asker.repository}"
        asker.push_blob(BLOB, source)
        target = f"/v2/{asker.repository}/blobs/uploads/{query.replace('SOURCE', source)}"
        return asker.ask("POST", target, fields, body)

    return request


_MOUNT = f"?mount={BLOB_DIGEST}"
for query in (
    *("", "?", "?x=y", "?from=SOURCE", _MOUNT, f"{_MOUNT}&from=SOURCE", f"{_MOUNT}&from=", f"{_MOUNT}&from=A//B"),
    *(f"{_MOUNT}&from=docker.io:5000/x", f"{_MOUNT}&from=none", f"{_MOUNT}&from=SOURCE&origin=docker.io"),
    *("?mount=&from=SOURCE", "?mount=sha256:abc&from=SOURCE", f"?mount=sha384:{'a' * 96}&from=SOURCE"),
    *(f"?mount={digest_of(b'none')}&from=SOURCE", f"{_MOUNT}&mount={BLOB_DIGEST}&from=SOURCE"),
    *(f"{_MOUNT}&from=SOURCE&from=SOURCE", f"?digest={BLOB_DIGEST}", "?digest=", "?digest=none"),
    *(f"?digest={BLOB_DIGEST}&digest={BLOB_DIGEST}", "?digest-algorithm=sha256", "?digest-algorithm=sha512"),
    "?digest-algorithm=",
):
    ALIKE.add(f"POST uploads/{query}", _begin(query))
ALIKE.add("POST uploads/?digest= with its body", _begin(f"?digest={BLOB_DIGEST}", [BYTES], BLOB))
ALIKE.add("POST uploads/ with a body", _begin("", [BYTES], BLOB))
ALIKE.add("POST uploads/ with an empty body in chunks", _begin("", [_CHUNKED], b"0\r\n\r\n"))
ALIKE.add("POST uploads/ with Expect", _begin("", [("Expect", "100-continue")]))


# Chunks and whole bodies


def _patch(fields: Fields, body: bytes = BLOB) -> Request:
    return lambda asker: asker.ask("PATCH", asker.begin(), fields, body)


def _put(fields: Fields, body: bytes = BLOB, query: str = f"digest={BLOB_DIGEST}") -> Request:
    return lambda asker: asker.ask("PUT", with_query(asker.begin(), query), fields, body)


def _close(fields: Fields, query: str = f"digest={BLOB_DIGEST}") -> Request:
    """The PUT without a body behind a PATCH that had it."""
    return lambda asker: asker.ask("PUT", with_query(asker.begin_with(BLOB), query), fields, b"")


_HEADERS: dict[str, Fields] = {
    "no type": (),
    "two equal types": (BYTES, BYTES),
    "two types": (BYTES, ("Content-Type", "text/plain")),
    "two equal lengths": (BYTES, ("Content-Length", "5"), ("Content-Length", "5")),
    "two lengths": (BYTES, ("Content-Length", "5"), ("Content-Length", "6")),
    "an offer of h2c": (BYTES, ("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c")),
    "an offer of websocket": (BYTES, ("Connection", "Upgrade"), ("Upgrade", "websocket")),
    "a length with zeros": (BYTES, ("Content-Length", "0005")),
    "a length with a sign": (BYTES, ("Content-Length", "+5")),
    "a length below 0": (BYTES, ("Content-Length", "-5")),
    "two equal agents": (BYTES, ("User-Agent", "a"), ("User-Agent", "a")),
    "two agents": (BYTES, ("User-Agent", "a"), ("User-Agent", "b")),
    "two Accept": (BYTES, ("Accept", "a/b"), ("Accept", "c/d")),
    "two Referer": (BYTES, ("Referer", "a"), ("Referer", "b")),
    "two equal Content-Range": (BYTES, ("Content-Range", "0-4"), ("Content-Range", "0-4")),
    "Expect": (BYTES, ("Expect", "100-continue")),
    "Expect in capitals": (BYTES, ("Expect", "100-CONTINUE")),
    "Content-MD5": (BYTES, ("Content-MD5", "x")),
    "Digest": (BYTES, ("Digest", "sha-256=x")),
    "Range": (BYTES, ("Range", "bytes=0-1")),
    "If-Match": (BYTES, ("If-Match", "x")),
    "TE": (BYTES, ("TE", "trailers")),
    "an empty Content-Range": (BYTES, ("Content-Range", "")),
    **{f"encoding {name!r}": (BYTES, ("Content-Encoding", name)) for name in ("", "identity", "gzip", "GZIP", "utf-8")},
    "encoding of aws": (BYTES, ("Content-Encoding", "aws-chunked")),
}
for words, fields in _HEADERS.items():
    ALIKE.add(f"PATCH: {words}", _patch(fields))
    ALIKE.add(f"PUT: {words}", _put(fields))
for words, body in {
    "plain": in_chunks(BLOB),
    "an extension": b"5;a=b\r\nhello\r\n0\r\n\r\n",
    "a trailer": b"5\r\nhello\r\n0\r\nX: y\r\n\r\n",
    "zeros": b"00000005\r\nhello\r\n000\r\n\r\n",
    "no size": b"x\r\nhello\r\n0\r\n\r\n",
}.items():
    if words != "no size":  # a 5xx there
        ALIKE.add(f"PATCH in chunks: {words}", _patch([BYTES, _CHUNKED], body))
ALIKE.add("PATCH in chunks, spelled Chunked", _patch([BYTES, ("Transfer-Encoding", "Chunked")], in_chunks(BLOB)))
for value in ("0-4", "00-04"):
    ALIKE.add(f"PATCH Content-Range {value}", _patch([BYTES, ("Content-Range", value)]))
for value in ("5-9", "1-5", "0-3", "0-5", "4-0"):
    ALIKE.add(f"PATCH Content-Range {value}, which is wrong", _patch([BYTES, ("Content-Range", value)]))
for value in ("0-4", "bytes 0-4/5", "bytes 0-4/*", "bytes=0-4", "0-4/5", " 0-4 ", "bytes 0-4/10"):
    ALIKE.add(f"PUT Content-Range {value!r}", _put([BYTES, ("Content-Range", value)]))
    ALIKE.add(f"closing PUT Content-Range {value!r}", _close([("Content-Range", value)]))

for words, query in {
    "plain": f"digest={BLOB_DIGEST}",
    "escaped": f"digest={BLOB_DIGEST.replace(':', '%3A')}",
    "twice": f"digest={BLOB_DIGEST}&digest={BLOB_DIGEST}",
    "another first": f"digest={digest_of(b'none')}&digest={BLOB_DIGEST}",
    "none": "",
    "empty": "digest=",
    "malformed": "digest=none",
    "of something else": f"digest={digest_of(b'none')}",
    "in capitals": f"digest={BLOB_DIGEST[:7]}{BLOB_DIGEST[7:].upper()}",
    "algorithm in capitals": f"digest=SHA256{BLOB_DIGEST[6:]}",
    "quoted": f"digest=%22{BLOB_DIGEST}%22",
    "with a newline": f"digest={BLOB_DIGEST}%0A",
    "without an algorithm": f"digest={BLOB_DIGEST[7:]}",
    "another key": f"Digest={BLOB_DIGEST}",
    "behind a word": f"x&digest={BLOB_DIGEST}",
    "behind an empty pair": f"&digest={BLOB_DIGEST}",
    "sha512": f"digest={digest_of(BLOB, 'sha512')}",
}.items():
    ALIKE.add(f"PUT digest: {words}", _put([BYTES], BLOB, query))
    ALIKE.add(f"closing PUT digest: {words}", _close((), query))
ALIKE.add("PUT of nothing", _put([BYTES], b"", f"digest={digest_of(b'')}"))
ALIKE.add("PUT behind &", lambda asker: asker.ask("PUT", f"{asker.begin()}&digest={BLOB_DIGEST}", [BYTES], BLOB))


@ALIKE.row("closing PUT in chunks")
def _(asker: Asker) -> Answer:
    return asker.ask("PUT", with_query(asker.begin_with(BLOB), f"digest={BLOB_DIGEST}"), [_CHUNKED], b"0\r\n\r\n")


@ALIKE.row("closing PUT in chunks with a Content-Range that is left over")
def _(asker: Asker) -> Answer:
    target = with_query(asker.begin_with(BLOB), f"digest={BLOB_DIGEST}")
    return asker.ask("PUT", target, [("Content-Range", "0-4"), _CHUNKED], b"0\r\n\r\n")


# The offset of an upload, and its end


def _begun(method: str, content: bytes | None) -> Request:
    return lambda asker: asker.ask(method, asker.begin() if content is None else asker.begin_with(content))


for method in ("GET", "HEAD", "DELETE"):
    ALIKE.add(f"{method} an upload", _begun(method, None))
    ALIKE.add(f"{method} an upload with bytes", _begun(method, BLOB))
for method in ("GET", "HEAD", "DELETE", "PATCH", "PUT"):
    query = f"?digest={BLOB_DIGEST}" if method == "PUT" else ""
    for words, upload in (("an unknown upload", _UNKNOWN), ("a malformed upload", "none")):
        ALIKE.add(f"{method} {words}", plain(method, f"/v2/REPO/blobs/uploads/{upload}{query}"))


@ALIKE.row("PUT twice")
def _(asker: Asker) -> Answer:
    target = with_query(asker.begin(), f"digest={BLOB_DIGEST}")
    asker.ask("PUT", target, [BYTES], BLOB)
    return asker.ask("PUT", target, [BYTES], BLOB)


@ALIKE.row("PUT behind a PUT with the wrong digest")
def _(asker: Asker) -> Answer:
    location = asker.begin()
    asker.ask("PUT", with_query(location, f"digest={digest_of(b'none')}"), [BYTES], BLOB)
    return asker.ask("PUT", with_query(location, f"digest={BLOB_DIGEST}"), [BYTES], BLOB)


@ALIKE.row("PATCH again to the location before")
def _(asker: Asker) -> Answer:
    location = asker.begin()
    asker.ask("PATCH", location, [BYTES], BLOB)
    return asker.ask("PATCH", location, [BYTES, ("Content-Range", "0-4")], BLOB)


@ALIKE.row("PATCH of another repository's upload")
def _(asker: Asker) -> Answer:
    return asker.ask("PATCH", asker.begin().replace(asker.repository, f"other/{asker.repository}"), [BYTES], BLOB)

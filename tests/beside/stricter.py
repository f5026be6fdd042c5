"""The requests of docs/stricter-than-cncf.md, by the words of its first column."""

import json

from tests.beside.asking import (
    BLOB,
    BLOB_DIGEST,
    BYTES,
    DOCKER_IMAGE,
    DOCKER_LIST,
    LAYER,
    LAYER_DIGEST,
    NOT_DISTRIBUTED,
    OCI_IMAGE,
    OCI_INDEX,
    Answer,
    Asker,
    Document,
    document,
    encoded,
    in_chunks,
    index_of,
    with_query,
)
from tests.beside.pairs import ALICE, BOB, login, token_for
from tests.beside.rows import Request, Rows
from tests.builders import digest_of

ROWS = Rows()
row = ROWS.row


def _head(*lines: str) -> bytes:
    return "\r\n".join([*lines, "Host: registry.test", "Connection: close", "", ""]).encode()


def _image_with(**fields: object) -> Request:
    return lambda asker: asker.put_image({**document(), **fields})


def _image_ending(text: str) -> Request:
    """An image whose last member is written like this."""
    return lambda asker: asker.put_image(
        encoded(document())[:-1] + b"," + text.encode("utf-8", "surrogateescape") + b"}"
    )


def _layer_with(**fields: object) -> Request:
    value = document()
    value["layers"][0].update(fields)
    return lambda asker: asker.put_image(value)


def _docker_image_with(**fields: object) -> Request:
    return lambda asker: asker.put_image({**document(), "mediaType": DOCKER_IMAGE, **fields}, DOCKER_IMAGE)


def _put_list(asker: Asker, fields: Document) -> Answer:
    return asker.put({**index_of(asker.push_image("child")), "mediaType": DOCKER_LIST, **fields}, DOCKER_LIST)


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


@row("`Content-Length` beside `Transfer-Encoding`")
def _(asker: Asker) -> Answer:
    body = in_chunks(BLOB)
    fields = [BYTES, ("Transfer-Encoding", "chunked"), ("Content-Length", str(len(body)))]
    return asker.ask("PATCH", asker.begin(), fields, body)


@row("lines that end in a line feed alone")
def _(asker: Asker) -> Answer:
    return asker.send(b"GET /v2/ HTTP/1.1\nHost: registry.test\nConnection: close\n\n")


@row("a header that goes on in the next line")
def _(asker: Asker) -> Answer:
    return asker.send(_head("GET /v2/ HTTP/1.1", "X-Long: one", " two"))


@row("a `Content-Length` of more than 19 digits")
def _(asker: Asker) -> Answer:
    return asker.ask("PATCH", asker.begin(), [BYTES, ("Content-Length", f"{len(BLOB):030}")], BLOB)


@row("the size of a chunk in more than 15 digits")
def _(asker: Asker) -> Answer:
    body = b"%016x\r\n%s\r\n0\r\n\r\n" % (len(BLOB), BLOB)
    return asker.ask("PATCH", asker.begin(), [BYTES, ("Transfer-Encoding", "chunked")], body)


@row("HTTP/1.2")
def _(asker: Asker) -> Answer:
    return asker.send(_head("GET /v2/ HTTP/1.2"))


@row("a body behind `Upgrade: h2c`")
def _(asker: Asker) -> Answer:
    lines = (f"PATCH {asker.begin()} HTTP/1.1", "Upgrade: h2c", "Connection: Upgrade", f"Content-Length: {len(BLOB)}")
    return asker.send(_head(*lines) + BLOB, "PATCH")


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


@row("`POST /v2/Team/app/blobs/uploads/`")
def _(asker: Asker) -> Answer:
    return asker.ask("POST", f"/v2/T{asker.repository}/blobs/uploads/")


@row("`POST` to the location of an upload")
def _(asker: Asker) -> Answer:
    return asker.ask("POST", with_query(asker.begin(), f"digest={BLOB_DIGEST}"), [BYTES], BLOB)


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


# Documents

row("a `size` below 0")(_layer_with(size=-1))
row("a `subject` that is no descriptor")(_image_with(subject="latest"))
row("a `subject` with a malformed digest")(_image_with(subject={"mediaType": OCI_IMAGE, "digest": "v1", "size": 7}))
row("an `artifactType` that is no text")(_image_with(artifactType=5))
row("`data` that is not the content")(_layer_with(data="eHh4eHg="))
row("`data` that is a list of numbers")(_layer_with(data=list(LAYER)))
row("Docker's image with `manifests`")(_docker_image_with(manifests=[]))
row("Docker's list with `layers`")(lambda asker: _put_list(asker, {"layers": []}))
row("`annotations` of Docker's image that are no map of texts")(_docker_image_with(annotations=["latest"]))
row('`{"schemaVersion": 2}` as an index')(lambda asker: asker.put_image({"schemaVersion": 2}, OCI_INDEX))
row("a key that stands there twice")(_image_ending('"layers":[]'))
row("`Layers` beside `layers`")(_image_ending('"Layers":[]'))
row("half a surrogate in a text")(_image_ending('"annotations":{"a":"\\ud800"}'))
row("bytes that are no UTF-8 in a text")(_image_ending('"annotations":{"a":"\udcff"}'))
row("a number that no float can hold")(_image_ending('"x":1e999'))
row("more than 32 levels of lists and maps")(_image_ending(f'"x":{"[" * 40}{"]" * 40}'))
row("more than 200,000 values")(_image_ending(f'"x":{json.dumps([0] * 250_000)}'))


def _by_digest(tags: list[str]) -> Request:
    content = encoded(document())
    query = "&".join(f"tag={tag}" for tag in tags)
    return lambda asker: asker.put_image(content, OCI_IMAGE, f"{digest_of(content)}?{query}")


row("`PUT …/manifests/<digest>?tag=` with what is no tag")(_by_digest([".hidden"]))
row("the same with more than 32 tags")(_by_digest([f"v{number}" for number in range(40)]))


# Where `validation.manifests.urls` allows `^https://good[.]test/` alone


def _foreign_layer_with(media_type: str, *urls: str) -> Request:
    return _layer_with(mediaType=media_type, urls=urls)


row("a layer of another type with a url that is not allowed", "urls")(
    _foreign_layer_with("application/vnd.example", "https://bad.test/a")
)
row("a url that is allowed, with a blank in it", "urls")(_foreign_layer_with(NOT_DISTRIBUTED, "https://good.test/ a"))
row("more than 1,000 different urls", "urls")(
    _foreign_layer_with(NOT_DISTRIBUTED, *(f"https://good.test/{number}" for number in range(1_100)))
)


# Logins


@row("two different `Authorization` headers", "password")
def _(asker: Asker) -> Answer:
    return asker.ask("GET", "/v2/", [*ALICE, *BOB])


@row("60 wrong passwords for one user", "password")
def _(asker: Asker) -> Answer:
    answers = [asker.ask("GET", "/v2/", login("carol", f"wrong {number}")) for number in range(60)]
    return next((answer for answer in answers if answer.status != 401), answers[-1])


@row("a `PATCH` of an upload that another user began", "password")
def _(asker: Asker) -> Answer:
    begun = asker.ask("POST", f"/v2/{asker.repository}/blobs/uploads/", ALICE)
    return asker.ask("PATCH", begun.location, [BYTES, *BOB], BLOB)


@row("`GET` of an upload with a token for `pull` alone", "token")
def _(asker: Asker) -> Answer:
    location = Asker(asker.port, token_for(asker.repository, "pull", "push")).begin(asker.repository)
    return asker.ask("GET", location, token_for(asker.repository, "pull"))

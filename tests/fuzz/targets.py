"""Functions that a fuzzer calls: parsers of text that strangers send or leave on the disk, or that an operator writes.

A target returns for every input. Only the errors that a parser's docstring names are caught; asserts say what else
must hold, such as that an answer does not depend on how the bytes are cut into packets.
"""

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from pyregistry.api.handlers.paging import page_size
from pyregistry.api.http.context import SETTINGS, Settings
from pyregistry.api.http.origin import base_url, origin
from pyregistry.api.http.ranges import check_length, parse_content_range, parse_range
from pyregistry.api.transport.framing import Chunked, Counted
from pyregistry.api.transport.head_parser import HeadParser
from pyregistry.api.transport.heads import Heads
from pyregistry.auth.access import Access, Action, Principal
from pyregistry.auth.credentials import parse_basic
from pyregistry.auth.htpasswd import parse_htpasswd
from pyregistry.auth.policy import Policy, PolicyInvalid
from pyregistry.auth.scopes import bearer_challenge, bearer_token, format_scopes, parse_scopes
from pyregistry.common.expressions import understand
from pyregistry.config.environment import PREFIX
from pyregistry.config.errors import ConfigError
from pyregistry.config.load import parse
from pyregistry.config.values import Duration
from pyregistry.gc.references import read_references
from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import BlobUploadUnknown, DigestInvalid, ManifestInvalid, NameInvalid, RegistryError
from pyregistry.oci.json_text import read_strictly
from pyregistry.oci.manifest import MAX_ANNOTATIONS, parse_manifest, read_manifest
from pyregistry.oci.names import RepositoryName, Tag, UploadId, parse_reference
from pyregistry.storage.memory.driver import MemoryDriver
from pyregistry.storage.repositories.referrers import read_entry
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.links import read_link
from pyregistry.storage.uploads.hash_checkpoints import read_checkpoint
from tests.fuzz.inputs import Input, pieces
from tests.fuzz.tokens import show_token

_LOOP = asyncio.new_event_loop()
_NAME = RepositoryName("app")


def head(data: bytes) -> None:
    """Heads of requests: the same in one packet as in many, and each is whole."""
    given = Input(data)
    size, stream = given.byte() % 40, given.rest()
    whole, cut = _heads(stream, 0), _heads(stream, size)
    # What is refused may be refused earlier, where its first part comes alone.
    if not whole[1] and not cut[1]:
        assert whole == cut


def _heads(stream: bytes, size: int) -> tuple[list[str], bool]:
    found: list[str] = []
    heads, parser = Heads(), _parser()
    for piece in pieces(stream, size):
        at = 0
        while at < len(piece):
            try:
                part, at = heads.take(piece, at)
                messages = parser.feed_data(part)[0] if part else []
            except (RegistryError, HttpProcessingError):
                return found, True
            for message, _ in messages:
                found.append(f"{message.method} {message.path} {sorted(message.headers.items())}")
                heads.end()
                parser = _parser()
            if not part:
                assert at == len(piece)
    return found, False


def _parser() -> HeadParser:
    protocol = web.RequestHandler(web.Server(_answer, loop=_LOOP), loop=_LOOP)
    return HeadParser(protocol, _LOOP, 2**16, max_line_size=65_536, max_field_size=65_536, max_headers=1_000)


async def _answer(_: web.BaseRequest) -> web.StreamResponse:
    return web.Response()


def framing(data: bytes) -> None:
    """Bodies: what is found does not depend on the packets, and what comes behind is not lost."""
    given = Input(data)
    size, length, stream = given.byte() % 40, given.byte() * 16, given.rest()
    for whole, cut in ((Chunked(), Chunked()), (Counted(length), Counted(length))):
        body = b"".join(map(bytes, whole.body_of(memoryview(stream)))) if stream else b""
        found, behind = b"", b""
        for piece in pieces(stream, size):
            if cut.ended:
                behind += piece
                continue
            found += b"".join(map(bytes, cut.body_of(memoryview(piece))))
            behind += cut.rest
        assert (found, behind, cut.ended) == (body, whole.rest, whole.ended)
        assert (cut.failure is None) == (whole.failure is None)


def ranges(data: bytes) -> None:
    """`Range` and `Content-Range`: never more bytes than there are."""
    given = Input(data)
    size, header = given.byte() * 100, given.text()
    found = parse_range(header, size)
    for part in found or ():
        assert 0 <= part.start < part.stop <= size
    assert sum(map(len, found or ())) <= size
    with suppress(RegistryError):
        check_length(parse_content_range(given.text()), len(header))


def paging(data: bytes) -> None:
    """The parameter `n`."""
    target = Input(data).text().partition("#")[0].replace(" ", "")
    with suppress(ValueError, RegistryError):  # the first: no target of a request
        size = page_size(make_mocked_request("GET", f"/?{target}"), 1_000, default=None)
        assert size is None or 0 <= size <= 1_000


def forwarded(data: bytes) -> None:
    """Headers of proxies about a client: never more than a scheme and a host."""
    given, headers = Input(data), CIMultiDict[str]()
    while line := given.text():
        name, _, value = line.partition(":")
        if name.strip().isascii() and value.isprintable():
            headers.add(name.strip() or "Forwarded", value.strip())
    app = web.Application()
    app[SETTINGS] = Settings()
    request = make_mocked_request("GET", "/v2/", headers=headers, app=app)
    assert re.fullmatch(r"(https?://[A-Za-z0-9._:\[\]-]+)?", base_url(request))
    seen = origin(request)
    assert seen.scheme in ("", "http", "https")
    assert not set(seen.host) & set('"<>\\/ ,;\r\n')


def manifest(data: bytes) -> None:
    """A pushed document: what is taken is read again as the same, and as every reader would."""
    given = Input(data)
    content_type, content = given.text(), given.rest()
    with suppress(RegistryError):
        parsed = parse_manifest(content, content_type or None)
        assert read_manifest(content) == parsed
        assert len(msgspec.json.encode(parsed.annotations)) <= MAX_ANNOTATIONS
    with suppress(ManifestInvalid):
        assert read_strictly(content) == json.loads(content)


def stored(data: bytes) -> None:
    """Files on the disk, of any registry: manifests, links, entries of referrers, records of uploads."""
    driver, digest = MemoryDriver(), Digest.of(data)
    upload = UploadId("00000000-0000-0000-0000-000000000000")
    entry = layout.referrer(_NAME, digest, digest)
    for path in (layout.blob_data(digest), layout.layer_link(_NAME, digest), entry, layout.upload_record(upload)):
        driver.write(path, data)
    read_references(driver, digest)
    read_link(driver, layout.layer_link(_NAME, digest))
    read_checkpoint(driver, upload)
    for limit in (100, 2_048):
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            read_entry(driver, entry, limit)


def token(data: bytes) -> None:
    """A token as it comes, or one that is signed rightly and says whatever it likes."""
    given = Input(data)
    _LOOP.run_until_complete(show_token(signed=bool(given.byte() % 2), content=given.rest()))


def scopes(data: bytes) -> None:
    """Scopes of a token request, and Authorization headers: nothing but repositories that can exist."""
    given = Input(data)
    text = given.text()
    accesses = parse_scopes([text])
    assert all(each.repository is None or RepositoryName(each.repository) for each in accesses)
    assert set(parse_scopes([format_scopes(accesses)])) == set(accesses)  # the actions on a repository have an order
    challenge = bearer_challenge(text, "service", accesses, None)
    assert "\n" not in challenge.replace("\r", "\n")
    bearer_token([text])
    parse_basic([text])


def names(data: bytes) -> None:
    """Names, tags, digests and ids: what is taken is what was given, and never a path."""
    text = Input(data).rest_of_text()
    for kind in (RepositoryName, Tag, Digest, UploadId, parse_reference):
        with suppress(NameInvalid, ManifestInvalid, DigestInvalid, BlobUploadUnknown):
            value = kind(text)
            assert value == text
            assert value.isascii()
            assert not {"", ".", ".."}.intersection(value.split("/"))


def config(data: bytes) -> None:
    """A config with variables of the environment in its first lines."""
    given, environ = Input(data), dict[str, str]()
    for _ in range(given.byte() % 4):
        name, _, value = given.text().partition("=")
        environ[PREFIX + name.upper()] = value
    _load(given.rest_of_text(), environ)


def environment(data: bytes) -> None:
    """Variables together with a config that works."""
    given, environ = Input(data), dict[str, str]()
    while line := given.text():
        name, _, value = line.partition("=")
        environ[PREFIX + name] = value.replace("\\n", "\n")
    _load("version: 0.1\nstorage: inmemory\n", environ)


def _load(text: str, environ: Mapping[str, str]) -> None:
    with suppress(ConfigError):
        parse(text, environ)
    with suppress(ValueError):
        Duration.parse(text)


def htpasswd(data: bytes) -> None:
    """The file of passwords: only users with a bcrypt hash get in."""
    for user, stored_hash in parse_htpasswd(data).items():
        assert user
        assert stored_hash.startswith(b"$2")


def policy(data: bytes) -> None:
    """The file of rules, and its decision about a repository."""
    given = Input(data)
    try:
        name, content = RepositoryName(given.text()), given.rest()
        rules = Policy.parse_file(content)
    except (NameInvalid, PolicyInvalid):
        return
    for caller in (Principal(), Principal("alice")):
        if rules.allows(caller, Access(Action.PULL, name)):
            assert all(rules.pulls_below(caller, "/".join(name.split("/")[:count])) for count in range(1, 2))


def expression(data: bytes) -> None:
    """An expression of `validation.manifests.urls`, and a url that it is searched in."""
    given = Input(data)
    with suppress(ValueError):  # Go's reasons, and what is not UTF-8
        understand(given.text()).search(given.rest_of_text())


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        *(head, framing, ranges, paging, forwarded, manifest, stored, token, scopes, names),
        *(config, environment, htpasswd, policy, expression),
    )
}

"""Proxy headers that name the client: bounded, and trusted only from the proxies of the config.

`X-Forwarded-*` come before `Forwarded` (RFC 7239), as in the CNCF registry: nginx, Caddy and Traefik write the former,
and pass on the latter as the client sent it.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

UNIX = "unix"
"""Name for the clients of a unix socket, which have no address."""
MAX_HOPS = 32
"""Proxies in a row that are considered, from the nearest on."""
MAX_CHARACTERS = 2048
"""Characters of these headers that are parsed; a client may send megabytes."""
_SIGNS = ("Via", "Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP")
_USUAL_PORTS = frozenset({"80", "443"})

REMOTE = web.RequestKey("remote", str)
"""The client's address, set when the request is made; `remote_of` reads it."""

Headers: TypeAlias = CIMultiDict[str] | CIMultiDictProxy[str]


class TrustedProxies:
    """`pyregistry.trusted-proxies` of the config."""

    def __init__(self, words: Iterable[str]) -> None:
        """Parse addresses, networks and `unix`; raise ValueError for another word."""
        known = set(words)
        self._unix = UNIX in known
        self._networks: list[IPv4Network | IPv6Network] = [ip_network(unmapped(word)) for word in known - {UNIX}]
        self.trusts = lru_cache(4096)(self._trusts)

    def _trusts(self, address: str) -> bool:
        """Return True if this is a trusted proxy; an empty address is a unix socket."""
        if not address:
            return self._unix
        parsed = ip_address(address)
        return any(parsed in network for network in self._networks)

    def client(self, peer: str, headers: Headers) -> str:
        """Return the client's address for a request from `peer`: the nearest one that is not a trusted proxy.

        Each proxy appends its peer's address at the right. An untrusted hop may have invented all to its left.
        Where a hop is not an address, the proxy that named it is the result.
        """
        address = peer
        if self.trusts(peer):
            for hop in _hops(headers):
                found = _address(hop)
                if found is None:
                    break
                address = found
                if not self.trusts(found):
                    break
        return address


@lru_cache(1024)
def unmapped(address: str) -> str:
    """Return an IPv4 address as such: a socket of both families calls it `::ffff:192.0.2.1`."""
    if not address.startswith("::ffff:"):
        return address
    try:
        return str(IPv6Address(address).ipv4_mapped or address)
    except ValueError:
        return address


def peer_of(peername: object) -> str:
    """Return the address in a socket's peer name; empty for a unix socket."""
    return unmapped(str(peername[0])) if isinstance(peername, tuple) else ""


def first_words(headers: Headers) -> Iterator[tuple[str, str]]:
    """Yield scheme and host as the client used them, from each kind of header; either may be empty or invalid.

    Of several proxies, the one that the client connected to counts.
    """
    host = _with_port(_first(headers, "X-Forwarded-Host"), _first(headers, "X-Forwarded-Port"))
    yield _first(headers, "X-Forwarded-Proto"), host
    element = next(_elements(headers.get("Forwarded", "")[:MAX_CHARACTERS]), "")
    yield _parameter(element, "proto"), _parameter(element, "host")


def shows_a_proxy(headers: Headers) -> bool:
    """Return True if these headers came through a proxy, which may use TLS where we do not."""
    return any(name in headers for name in _SIGNS)


def client_address(proxies: TrustedProxies | None, peer: str, headers: Headers) -> str:
    """Return the address of the client: the peer's, or the one that a trusted proxy names."""
    return peer if proxies is None else proxies.client(peer, headers)


def remote_of(request: web.BaseRequest) -> str:
    """Return the address of the client, also through a trusted proxy; empty for a unix socket."""
    known: str | None = request.get(REMOTE)
    return unmapped(request.remote or "") if known is None else known


def _first(headers: Headers, name: str) -> str:
    return headers.get(name, "")[:MAX_CHARACTERS].partition(",")[0].strip()


def _with_port(host: str, port: str) -> str:
    """Return a host with the port of `X-Forwarded-Port`, if it has none of its own.

    The usual ports are omitted: with an outer proxy that terminates TLS, the inner one writes its own 80.
    """
    has_port = ":" in host.rpartition("]")[2]
    if not host or has_port or port in _USUAL_PORTS or not (port.isascii() and port.isdecimal() and len(port) <= 5):
        return host
    return f"{host}:{port}" if 0 < int(port) < 65536 else host


def _hops(headers: Headers) -> Iterator[str]:
    """Yield the hops that proxies name, the nearest first."""
    count = 0
    for line in reversed(headers.getall("X-Forwarded-For", ())):
        for hop in reversed(_end_of(line).split(",")):
            yield hop
            if (count := count + 1) >= MAX_HOPS:
                return
    if count:
        return
    for line in reversed(headers.getall("Forwarded", ())):
        # From the right, since a quote that a client opens at the left must not reach what a proxy added.
        for element in _elements(_end_of(line)[::-1]):
            yield _parameter(element[::-1], "for")
            if (count := count + 1) >= MAX_HOPS:
                return


def _end_of(line: str) -> str:
    """Return the end of a long list, without a partial member."""
    return line if len(line) <= MAX_CHARACTERS else line[-MAX_CHARACTERS:].partition(",")[2]


def _elements(text: str) -> Iterator[str]:
    """Yield the members of a list whose quoted strings may hold commas; it also works on reversed text."""
    begin, is_quoted = 0, False
    for index, character in enumerate(text):
        if character == '"':
            is_quoted = not is_quoted
        elif character == "," and not is_quoted:
            yield text[begin:index]
            begin = index + 1
    yield text[begin:]


def _parameter(element: str, name: str) -> str:
    """Return a parameter of one element of `Forwarded`; empty if absent or given twice."""
    pairs = [pair.strip().partition("=") for pair in element.split(";")]
    values = [value.strip().strip('"') for word, _, value in pairs if word.strip().lower() == name]
    return values[0] if len(values) == 1 else ""


@lru_cache(1024)
def _address(hop: str) -> str | None:
    """Return the address of a hop, without its port: `192.0.2.1:80`, `[2001:db8::1]:80`; None if it is invalid."""
    text = hop.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return None if "%" in text else unmapped(str(ip_address(text)))  # a zone is free text
    except ValueError:
        return None

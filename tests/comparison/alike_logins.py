"""Unusual ways to log in."""

import base64
import time
from typing import Any

from tests.comparison.asking import Answer, Asker
from tests.comparison.pairs import ALICE, BOB, Login, login, token_for
from tests.comparison.rows import Rows, plain

ALIKE = Rows()
_PAIR = base64.b64encode(b"alice:secret").decode()


def _with_header(words: str, *values: str) -> None:
    def request(asker: Asker) -> Answer:
        return asker.ask("GET", "/v2/", [("Authorization", value) for value in values])

    ALIKE.add(f"password: {words}", request, "password")


for words, value in {
    "as it is": f"Basic {_PAIR}",
    "scheme in small letters": f"basic {_PAIR}",
    "scheme in capitals": f"BASIC {_PAIR}",
    "a space behind": f"Basic {_PAIR} ",
    "spaces before": f"  Basic {_PAIR}",
    "a tab between": f"Basic\t{_PAIR}",
    "nothing": "",
    "only the scheme": "Basic",
    "no base64": "Basic !!!",
    "another scheme": f"Token {_PAIR}",
    "as a bearer": f"Bearer {_PAIR}",
    "two in one line": f"Basic {_PAIR}, Basic {_PAIR}",
    "with a parameter": f"Basic {_PAIR},charset=UTF-8",
    "no colon": "Basic " + base64.b64encode(b"alice").decode(),
    "bits that do not count": "Basic " + _PAIR.rstrip("="),
}.items():
    _with_header(words, value)
for words, header in {
    "a colon in it": BOB,
    "of another alphabet": login("zoë", "süß"),
    "spaces around it": login("eve", " e "),
    "of 80 bytes": login("mallory", "m" * 80),
    "of which 72 bytes are right": login("mallory", "m" * 72 + "x"),
    "a wrong one": login("alice", "wrong"),
    "none": login("alice", ""),
    "a longer one": login("alice", "secretx"),
    "of an unknown user": login("nobody", "secret"),
    "of no user": login("", "secret"),
    "of Alice": login("Alice", "secret"),
    "of a user in Latin-1": login("zoë".encode("latin-1"), "süß"),
    "of a token": login("<token>", "secret"),
    "with NUL": login("alice", "secret\0"),
    "of 3,000 bytes": login("alice", "x" * 3_000),
}.items():
    _with_header(words, header[0][1])
_with_header("twice the same", ALICE[0][1], ALICE[0][1])
_with_header("a wrong one, then the right one", login("alice", "wrong")[0][1], ALICE[0][1])

_OUTSIDERS: dict[str, Login] = {"nobody": (), "a wrong password": login("alice", "wrong")}
for method, target in [
    *(
        ("GET", f"/v2/{path}")
        for path in ("_catalog", "x/tags/list", "x/manifests/v1", "none", "x/none", "X/tags/list")
    ),
    *((method, "/v2/x/manifests/v1") for method in ("HEAD", "PUT", "POST", "PATCH", "DELETE")),
    *((method, "/v2/") for method in ("HEAD", "PUT", "POST", "PATCH", "DELETE")),
    *(("GET", path) for path in ("/", "/none", "/v1/_ping", "/v2/x/blobs/uploads/")),
]:
    for words, shown in _OUTSIDERS.items():
        ALIKE.add(f"{method} {target} by {words}", plain(method, target, shown), "password")


def _with_token(words: str, *actions: str, method: str = "POST", **changes: Any) -> None:
    """Times are in seconds from now on."""

    def request(asker: Asker) -> Answer:
        now = int(time.time())
        changed = {name: now + value if isinstance(value, int) else value for name, value in changes.items()}
        target = "blobs/uploads/" if method == "POST" else "tags/list"
        return asker.ask(method, f"/v2/{asker.repository}/{target}", token_for(asker.repository, *actions, **changed))

    ALIKE.add(f"token: {words}", request, "token")


_with_token("pull and push", "pull", "push")
_with_token("all actions", "*")
_with_token("pull alone, for an upload", "pull")
_with_token("pull alone, for tags", "pull", method="GET")
_with_token("actions in capitals", "PULL", "PUSH")
_with_token("no actions")
_with_token("no subject", "*", sub=...)
_with_token("an empty subject", "*", sub="")
_with_token("no id", "*", jti=...)
_with_token("not before missing", "*", nbf=...)
_with_token("a list of services", "*", aud=["other", "registry.test"])
_with_token("another service", "*", aud="other")
_with_token("expired a moment ago", "*", exp=-20)
_with_token("expired an hour ago", "*", exp=-3_600)
_with_token("not yet", "*", nbf=3_600)
_with_token("a claim more", "*", team={"a": [1]})
for words, spelled in {"small letters": "bearer", "capitals": "BEARER"}.items():

    def _spelled(asker: Asker, scheme: str = spelled) -> Answer:
        shown = token_for(asker.repository, "pull")
        return asker.ask("GET", "/v2/", [(name, value.replace("Bearer", scheme)) for name, value in shown])

    ALIKE.add(f"token: scheme in {words}", _spelled, "token")


@ALIKE.row("token: twice the same", "token")
def _(asker: Asker) -> Answer:
    return asker.ask("GET", "/v2/", token_for(asker.repository, "pull") * 2)

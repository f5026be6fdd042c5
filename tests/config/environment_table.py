"""The rule for REGISTRY_* variables as a table: what is set, what is asked, what comes back.

The numbers are those of the rule's sentences in test_environment.py. Of most rows the CNCF registry 3.1.1 gives the
same answer; where it does not, the row has both, and why.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.config.asking import DELETION, PUSH, STARTS, Question, challenge, directory, header, incomplete, location
from tests.config.asking import status as status_of

REFUSED = "refused"
"""It does not start."""
SAME = "same"


@dataclass(frozen=True)
class Row:
    """`theirs` is the CNCF registry's answer where it is another one, and `why` says what makes the difference."""

    environment: Mapping[str, str]
    question: Question
    answer: object
    theirs: object = SAME
    why: str = ""
    file: Mapping[str, Any] = field(default_factory=dict)


def row(
    question: Question,
    answer: object,
    *,
    theirs: object = SAME,
    why: str = "",
    file: Mapping[str, Any] | None = None,
    **environment: str,
) -> Row:
    return Row(environment, question, answer, theirs, why, file or {})


def sent(value: str) -> dict[str, Any]:
    """A header by a variable, whose name is not a name in Python."""
    return {"REGISTRY_HTTP_HEADERS_X-Row": value}


HTPASSWD = {"auth": {"htpasswd": {"realm": "of the file", "path": "{directory}/htpasswd"}}}
SILLY: dict[str, Any] = {"REGISTRY_AUTH_SILLY_REALM": "a", "REGISTRY_AUTH_SILLY_SERVICE": "b"}
DELETION_OFF = {"storage": {"delete": {"enabled": False}}}
PANICS = "it panics"

ROWS: dict[str, Row] = {
    # 1: sorted, and laid over the file
    "1: a value of the file is replaced": row(DELETION, 405, REGISTRY_STORAGE_DELETE_ENABLED="false"),
    "1: the section comes before what is in it": row(
        DELETION, 404, REGISTRY_STORAGE_DELETE_ENABLED="true", REGISTRY_STORAGE="inmemory"
    ),
    "1: a lower-case prefix is none": row(DELETION, 404, registry_storage_delete_enabled="false"),
    "1: another prefix is none": row(DELETION, 404, MY_REGISTRY_STORAGE_DELETE_ENABLED="false"),
    # 2: parts of the name are keys
    "2: a section that the file does not have": row(
        location, "https://r.example.org/v2/x/blobs", REGISTRY_HTTP_HOST="https://r.example.org"
    ),
    "2: an address": row(STARTS, 200, REGISTRY_HTTP_ADDR="127.0.0.1:{port}", file={"http": {"addr": "192.0.2.1:5000"}}),
    "2: a prefix": row(status_of("/x/v2/"), 200, REGISTRY_HTTP_PREFIX="/x/"),
    "2: a prefix, without it": row(status_of("/v2/"), 404, REGISTRY_HTTP_PREFIX="/x/"),
    "2: locations without a host": row(location, "/v2/x/blobs", REGISTRY_HTTP_RELATIVEURLS="true"),
    "2: locations with a host": row(
        location,
        "http://127.0.0.1:PORT/v2/x/blobs",
        REGISTRY_HTTP_RELATIVEURLS="false",
    ),
    "2: a directory": row(directory("other"), True, REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY="{directory}/other"),
    "2: an incomplete image": row(incomplete, False),
    "2: an incomplete image, without validation": row(
        incomplete,
        True,
        theirs=False,
        why="it looks for the blobs of an image all the same",
        REGISTRY_VALIDATION_DISABLED="true",
    ),
    "2: a secret": row(PUSH, 202, REGISTRY_HTTP_SECRET="s"),
    # 3: what is no key is ignored
    "3: no such section": row(STARTS, 200, REGISTRY_IMAGE_TAG="latest"),
    "3: no such key": row(STARTS, 200, REGISTRY_HTTP_ADR=":80"),
    "3: no such section, and no YAML": row(STARTS, 200, REGISTRY_PASSWORD="@[hunter2"),
    "3: something below a value": row(STARTS, 200, REGISTRY_HTTP_ADDR_PORT="80"),
    "3: no name at all": row(STARTS, 200, REGISTRY_="x"),
    "3: where the file is": row(STARTS, 200, REGISTRY_CONFIGURATION_PATH="/nowhere.yml"),
    "3: the version of the image": row(STARTS, 200, REGISTRY_VERSION="2.8"),
    "3: a section in small letters": row(
        location, "/v2/x/blobs", REGISTRY_http_HOST="https://r.example.org", REGISTRY_HTTP_RELATIVEURLS="true"
    ),
    "3: a key in small letters": row(
        location, "/v2/x/blobs", REGISTRY_HTTP_Host="https://r.example.org", REGISTRY_HTTP_RELATIVEURLS="true"
    ),
    # 4: maps
    "4: a new key": row(header("X-Row"), ["a"], **sent("[a]")),
    "4: a key of the file": row(
        header("X-Row"),
        ["a"],
        theirs=["a", "file"],
        why="it keeps both spellings of a key, and sends both values",
        file={"http": {"headers": {"X-Row": ["file"]}}},
        **sent("[a]"),
    ),
    "4: a key of the file in small letters": row(
        header("X-Row"), ["a"], file={"http": {"headers": {"x-row": ["file"]}}}, **sent("[a]")
    ),
    "4: a storage key in small letters": row(DELETION, 404, file=DELETION_OFF, REGISTRY_STORAGE_delete_enabled="true"),
    "4: a new storage key in any case": row(
        DELETION, 404, REGISTRY_STORAGE="inmemory", REGISTRY_STORAGE_DELETE_Enabled="true"
    ),
    # 5: lists
    "5: a list as a whole": row(STARTS, 200, REGISTRY_NOTIFICATIONS_ENDPOINTS="[{name: x, url: 'http://127.0.0.1:9'}]"),
    "5: an item after the last": row(
        STARTS,
        200,
        REGISTRY_NOTIFICATIONS_ENDPOINTS_0_NAME="x",
        REGISTRY_NOTIFICATIONS_ENDPOINTS_0_URL="http://127.0.0.1:9",
    ),
    "5: an index behind the end": row(STARTS, REFUSED, REGISTRY_NOTIFICATIONS_ENDPOINTS_1_NAME="x"),
    "5: no index": row(
        STARTS,
        200,
        theirs=REFUSED,
        why="a name that reaches no key is ignored like any other",
        REGISTRY_NOTIFICATIONS_ENDPOINTS_FIRST_NAME="x",
    ),
    "5: an item as a whole": row(
        STARTS,
        200,
        theirs=REFUSED,
        why=PANICS,
        REGISTRY_NOTIFICATIONS_ENDPOINTS_0="{name: x, url: 'http://127.0.0.1:9'}",
    ),
    # 6: values are YAML
    "6: a list of two": row(header("X-Row"), ["a", "b"], **sent("[a, b]")),
    "6: a list in lines": row(header("X-Row"), ["a", "b"], **sent("- a\n- b")),
    "6: JSON": row(header("X-Row"), ["a"], REGISTRY_HTTP_HEADERS='{"X-Row": ["a"]}'),
    "6: a number in a list of words": row(header("X-Row"), ["1728000"], **sent("[1728000]")),
    "6: a truth value in a list of words": row(header("X-Row"), ["true"], **sent("[true]")),
    "6: a word where a list belongs": row(STARTS, REFUSED, **sent("a")),
    "6: a whole section": row(
        header("X-Row"), ["a"], REGISTRY_HTTP="{addr: '127.0.0.1:{port}', headers: {X-Row: [a]}}"
    ),
    "6: a map in a map": row(DELETION, 404, file=DELETION_OFF, REGISTRY_STORAGE_DELETE="{enabled: true}"),
    "6: yes": row(DELETION, 404, file=DELETION_OFF, REGISTRY_STORAGE_DELETE_ENABLED="yes"),
    "6: nothing": row(DELETION, 405, REGISTRY_STORAGE_DELETE_ENABLED=""),
    "6: a word for a number": row(STARTS, REFUSED, REGISTRY_CATALOG_MAXENTRIES="many"),
    "6: a word for a duration": row(STARTS, REFUSED, REGISTRY_HTTP_DRAINTIMEOUT="soon"),
    "6: a number that is out of range": row(STARTS, REFUSED, REGISTRY_TAGS_MAXTAGS="-1"),
    "6: a level in capitals": row(STARTS, 200, REGISTRY_LOG_LEVEL="DEBUG"),
    "6: a level that does not exist": row(STARTS, REFUSED, REGISTRY_LOG_LEVEL="trace"),
    "6: a level in its old place": row(STARTS, 200, REGISTRY_LOGLEVEL="warn"),
    "6: a formatter that does not exist": row(STARTS, REFUSED, REGISTRY_LOG_FORMATTER="xml"),
    "6: what is no YAML": row(STARTS, REFUSED, REGISTRY_HTTP_SECRET="@"),
    "6: an address that is none": row(STARTS, REFUSED, REGISTRY_HTTP_ADDR="127.0.0.1"),
    "6: a certificate without its key": row(STARTS, REFUSED, REGISTRY_HTTP_TLS_CERTIFICATE="{directory}/htpasswd"),
    # 7: structs within structs
    "7: a password for redis": row(STARTS, 200, REGISTRY_REDIS_PASSWORD="hunter2"),
    "7: the same by the inner name": row(STARTS, 200, REGISTRY_REDIS_OPTIONS_PASSWORD="hunter2"),
    "7: addresses of redis": row(STARTS, 200, REGISTRY_REDIS_ADDRS="[127.0.0.1:9]"),
    # 8: sections that are replaced
    "8: another driver": row(directory("data"), False, REGISTRY_STORAGE="inmemory"),
    "8: another driver takes the section with it": row(DELETION, 405, REGISTRY_STORAGE="inmemory"),
    "8: an unknown driver": row(STARTS, REFUSED, REGISTRY_STORAGE="floppy"),
    "8: htpasswd": row(
        challenge,
        (401, "Basic", "A Realm", None),
        REGISTRY_AUTH="htpasswd",
        REGISTRY_AUTH_HTPASSWD_REALM="A Realm",
        REGISTRY_AUTH_HTPASSWD_PATH="{directory}/htpasswd",
    ),
    "8: htpasswd without the section's own variable": row(
        challenge,
        (401, "Basic", "A Realm", None),
        REGISTRY_AUTH_HTPASSWD_REALM="A Realm",
        REGISTRY_AUTH_HTPASSWD_PATH="{directory}/htpasswd",
    ),
    "8: another realm than the file's": row(
        challenge, (401, "Basic", "A Realm", None), file=HTPASSWD, REGISTRY_AUTH_HTPASSWD_REALM="A Realm"
    ),
    "8: silly": row(challenge, (401, "Bearer", "a", "b"), REGISTRY_AUTH="silly", **SILLY),
    "8: silly as a map": row(challenge, (401, "Bearer", "a", "b"), REGISTRY_AUTH="{silly: {realm: a, service: b}}"),
    "8: silly instead of the file's htpasswd": row(
        challenge, (401, "Bearer", "a", "b"), file=HTPASSWD, REGISTRY_AUTH="silly", **SILLY
    ),
    "8: no auth instead of the file's": row(STARTS, 200, file=HTPASSWD, REGISTRY_AUTH=""),
    "8: htpasswd without parameters": row(STARTS, REFUSED, REGISTRY_AUTH="htpasswd"),
    "8: auth of an unknown kind": row(STARTS, REFUSED, REGISTRY_AUTH="ldap"),
    # 9: traps
    "9: a second driver": row(STARTS, REFUSED, REGISTRY_STORAGE_S3_BUCKET="b"),
    "9: read-only": row(PUSH, 405, theirs=REFUSED, why=PANICS, REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED="true"),
    "9: read-only as JSON": row(PUSH, 405, REGISTRY_STORAGE_MAINTENANCE_READONLY='{"enabled":true}'),
    "9: read-only, which the file says is off": row(
        PUSH,
        405,
        theirs=202,
        why="it drops the value with a warning",
        file={"storage": {"maintenance": {"readonly": {"enabled": False}}}},
        REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED="true",
    ),
    "9: an age for uploads and nothing else": row(
        STARTS, 200, theirs=REFUSED, why=PANICS, REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING_AGE="24h"
    ),
    "9: no purging": row(STARTS, 200, REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING="{enabled: false}"),
    "9: a cache": row(STARTS, 200, REGISTRY_STORAGE_CACHE_BLOBDESCRIPTOR="inmemory"),
    # 10: what Kubernetes sets
    "10: a service called registry": row(
        STARTS,
        200,
        REGISTRY_PORT="tcp://10.0.0.1:5000",
        REGISTRY_SERVICE_HOST="10.0.0.1",
        REGISTRY_PORT_5000_TCP_ADDR="10.0.0.1",
    ),
    "10: a service called registry-http": row(STARTS, 200, REGISTRY_HTTP_PORT="tcp://10.0.0.1:80"),
    "10: a service called registry-auth": row(
        STARTS, 200, theirs=REFUSED, why="it takes an address for a section", REGISTRY_AUTH_PORT="tcp://10.0.0.1:5001"
    ),
    "10: a service called registry-auth, its host": row(
        STARTS, 200, theirs=REFUSED, why="it takes `service` for a kind of auth", REGISTRY_AUTH_SERVICE_HOST="10.0.0.1"
    ),
    "10: a service called registry-storage": row(
        STARTS, 200, theirs=REFUSED, why="it takes an address for a driver", REGISTRY_STORAGE_PORT="tcp://10.0.0.1:80"
    ),
}

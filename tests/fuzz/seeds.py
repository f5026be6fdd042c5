"""Write the inputs that the fuzzer begins with: `python -m tests.fuzz.seeds`. Its own findings lie next to them."""

from pathlib import Path

from tests.builders import artifact, image, index

CORPUS = Path(__file__).parent / "corpus"
_HEAD = b"PUT /v2/app/blobs/uploads/1?digest=sha256:0 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"
_CHUNKS = b"5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\nX-Trailer: 1\r\n\r\nGET / HTTP/1.1\r\n"
_CONFIG = b"""version: 0.1
log: {level: debug, fields: {a: b}, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: /data}, delete: {enabled: true}, maintenance: {uploadpurging: {age: 1h30m}}}
http: {addr: ":5000", headers: {X-A: [nosniff]}, tls: {certificate: /a, key: /b}, debug: {prometheus: {enabled: true}}}
auth: {htpasswd: {realm: basic, path: /htpasswd}}
validation: {manifests: {urls: {allow: ["^https://"], deny: [x]}, indexes: {platforms: list, platformlist: [{os: a}]}}}
pyregistry: {limits: {manifest-size: 1}, gc: {interval: 24h}, access: [{repositories: "**", who: a, actions: pull}]}
"""
_RULES = b"""groups: {team: [alice, bob]}
access:
- {repositories: ["team/**", "*/a?p", "**/x*y"], who: ["group:team", anonymous], actions: [pull, push, delete]}
- {repositories: "**", who: everyone, actions: pull}
"""
_HASH = b"$2y$05$" + b"a" * 53

SEEDS: dict[str, list[bytes]] = {
    "head": [
        b"\0" + _HEAD,
        b"\x07" + _HEAD + b"GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x01POST /v2/a/blobs/uploads/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
        b"\x05CONNECT /v2/ HTTP/1.1\r\nContent-Length: 9\r\n\r\n",
        b"\x03GET http://a/v2/ HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"\x09GET /v2/ HTTP/2.0\r\n\r\n",
        b"\x02\r\n\r\nGET /v2/ HTTP/1.1\r\nX:" + b" y" * 50 + b"\r\nX:\r\n\r\n",
    ],
    "framing": [
        b"\0\0" + _CHUNKS,
        b"\x01\x05" + _CHUNKS,
        b"\x05\x02" + b"1\r\na\r\n" * 20 + b"0\r\n\r\n",
        b"\x03\0fff;\r\n",
    ],
    "ranges": [
        b"\x05bytes=0-1,5-,-3\n0-99",
        b"\xffbytes=" + b"0-0," * 50 + b"1-1\nbytes 0-99/100",
        b"\x01lines=1-2\n5-1",
    ],
    "paging": [b"n=5&last=a", b"n=00000000000000000001", b"n=1&n=2", b"n=%31"],
    "forwarded": [
        b'Forwarded: for="[::1]:80";proto=https;host="a:1", for=b',
        b"X-Forwarded-Proto: https, http\nX-Forwarded-Host: a.b:443\nX-Forwarded-For: 1.2.3.4\nHost: x\nVia: 1.1 a",
        b"Forwarded: " + b"for=1.2.3.4;proto=http, " * 30,
    ],
    "manifest": [
        b"application/vnd.oci.image.manifest.v1+json\n" + image().content,
        b"\n" + index(image(), annotations={"a": "\u00e9"}).content,
        b"\n" + artifact(image(), urls=["https://a"]).content,
        b"\n" + image(annotations={"a": None}).content.replace(b"layers", b"Layer\\u017f").replace(b"size", b"SIZE"),
        b'\n{"schemaVersion": 2, "MANIFESTS": null, "Config": null, "subject": {}, "x": 1}',
        b'\n{"schemaVersion": 2, "x": [1e5, -0.1, true, null, "\\ud83d\\ude00", {"a": {}}]}',
    ],
    "stored": [
        image().content,
        image().content.replace(b"layers", b"Layers") + b" ",
        image().content.replace(b'"layers"', b'"Layers": null, "layers"').replace(b"a256:", b"a256\\u003A"),
        b"sha256:" + b"0" * 64,
        b'{"digest":"sha256:0","size":1,"mediaType":"a/b","artifactType":"c/d","annotations":{"a":"b"}}',
        b'{"algorithm":"sha256","offset":1,"encoded":"","inode":1,"mtime_ns":2,"epoch":"x","owner":"a"}',
    ],
    "token": [
        b"\x01" + b'{"sub":"a","aud":"pyregistry","iss":"pyregistry","iat":1,"exp":99999999999,'
        b'"access":[{"type":"repository","name":"a/b","actions":["pull","*"]}]}',
        b"\0eyJhbGciOiJIUzI1NiIsImtpZCI6ImEifQ.e30.AAAA",
        b"\0a.b.c",
    ],
    "scopes": [
        b"repository:a/b:pull,push registry:catalog:*",
        b"repository(plugin):host:80/a:*",
        b"Basic YTpi",
        b"Bearer x",
    ],
    "names": [b"team/app", b"a-b/c.d__e", b"latest", b"sha256:" + b"0" * 64, b"00000000-0000-0000-0000-000000000000"],
    "config": [
        b"\0" + _CONFIG,
        b"\x02LOG_LEVEL=info\nSTORAGE_DELETE_ENABLED=true\n" + _CONFIG,
        b"\0a: &a [*a]\n",
        b"\x001h5m",
    ],
    "environment": [
        b"LOG_LEVEL=debug\nSTORAGE_FILESYSTEM_ROOTDIRECTORY=/x\nHTTP_HEADERS_X-A=[a]\nAUTH_HTPASSWD_REALM=a",
        b"HEALTH_HTTP_0_URI=http://a\nHEALTH_HTTP_1_INTERVAL=10s\nAUTH=none\nSERVICE_PORT=tcp://1:2",
        b"PYREGISTRY_GC_INTERVAL=24h\nPYREGISTRY_ACCESS=[{repositories: a, who: b, actions: pull}]",
    ],
    "htpasswd": [b"alice:" + _HASH + b"\n# x\nbob:{SHA}x\n", b" a:" + _HASH + b":comment\r\na:$2y$99$x\nx\n"],
    "policy": [b"team/app\n" + _RULES, b"a/b\n- {repositories: a/*, who: alice, actions: []}", b"a\naccess: []\n"],
    "expression": [
        b"^https?://([^/]+\\.)*example\\.com/\nhttps://a.a.a.x",
        b"(?i)a{2,3}\\pL[[:alpha:]]\\Qx\\E$\nAAAx",
        b"(a*)*$\nb",
    ],
}


def write() -> None:
    """Write those that are missing."""
    for target, seeds in SEEDS.items():
        (CORPUS / target).mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds):
            (CORPUS / target / f"seed-{number}").write_bytes(seed)


if __name__ == "__main__":
    write()

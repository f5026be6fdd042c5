"""Variables with a hyphen, which shells drop, reach the server of the image."""

from pathlib import Path

from tests.engine.engine import Engine
from tests.image.conftest import BridgedDaemon
from tests.image.container import REGISTRY, running
from tests.processes import require

# As the documentation of joxit's user interface has them, whose values are not all strings.
CORS = {
    "Access-Control-Allow-Origin": ("[http://ui.example.org]", "http://ui.example.org"),
    "Access-Control-Allow-Methods": ("[HEAD,GET,OPTIONS,DELETE]", "HEAD GET OPTIONS DELETE"),
    "Access-Control-Allow-Headers": ("[Authorization,Accept,Cache-Control]", "Authorization Accept Cache-Control"),
    "Access-Control-Allow-Credentials": ("[true]", "true"),
    "Access-Control-Expose-Headers": ("[Docker-Content-Digest]", "Docker-Content-Digest"),
    "Access-Control-Max-Age": ("[1728000]", "1728000"),
}
ODD = r"""exec env "BYTES=$(printf '\377\376')" "a.b=dots" "EMPTY=" "=nameless" "LINES=a
b=c" "REGISTRY_HTTP_HEADERS_X-Mine=[mine]" /entrypoint.sh /etc/docker/registry/config.yml"""


def test_every_header_that_a_browser_needs_is_sent(
    docker: Engine, bridged: BridgedDaemon, image: str, volume: Path
) -> None:
    named = [(f"REGISTRY_HTTP_HEADERS_{name}={value}") for name, (value, _) in CORS.items()]
    options = [word for variable in named for word in ("-e", variable)]
    curl = [require("curl", "curl"), "--silent", "--include", "--header", "Origin: http://ui.example.org"]
    with running(docker, bridged, *options, "-v", f"{volume}:/var/lib/registry", image):
        for method in ("GET", "OPTIONS"):
            lines = bridged.inside.run(*curl, "--request", method, f"http://{REGISTRY}/v2/").splitlines()
            assert lines[0].split()[1] in {"200", "204"}
            for name, (_, expected) in CORS.items():
                sent = [
                    line.partition(": ")[2].strip() for line in lines if line.lower().startswith(f"{name.lower()}:")
                ]
                assert " ".join(sent) == expected


def test_the_servers_environment_is_that_of_the_container_byte_for_byte(
    docker: Engine, bridged: BridgedDaemon, image: str, volume: Path
) -> None:
    options = ["--entrypoint", "/bin/sh", "-v", f"{volume}:/var/lib/registry"]
    with running(docker, bridged, *options, image, "-c", ODD):
        pid = docker.run("inspect", "--format", "{{.State.Pid}}", "registry").strip()
        environ = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        assert not [line for line in environ if b"PYREGISTRY" in line]
        for variable in (b"BYTES=\xff\xfe", b"a.b=dots", b"EMPTY=", b"=nameless", b"LINES=a\nb=c"):
            assert variable in environ
        answer = bridged.inside.run(require("curl", "curl"), "--silent", "--include", f"http://{REGISTRY}/v2/")
        assert "x-mine: mine" in answer.lower()

"""Pods of twuni's chart for the CNCF image, and Dockerfiles that begin with it: both name /bin/registry."""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.auth.credentials import write_htpasswd
from tests.engine.engine import Engine
from tests.image.conftest import BridgedDaemon
from tests.image.container import REGISTRY, logs, running
from tests.processes import require

GROUP = 1000
SECURITY_CONTEXT = [
    *("--user", f"{GROUP}:{GROUP}", "--group-add", str(GROUP), "--read-only"),
    *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
]
ENVIRONMENT = {
    "REGISTRY_HTTP_SECRET": "sixteen letters.",
    "REGISTRY_AUTH": "htpasswd",
    "REGISTRY_AUTH_HTPASSWD_REALM": "Registry Realm",
    "REGISTRY_AUTH_HTPASSWD_PATH": "/auth/htpasswd",
    "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": "/var/lib/registry",
    "REGISTRY_STORAGE_DELETE_ENABLED": "true",
}
CONFIG = {
    "version": 0.1,
    "log": {"fields": {"service": "registry"}},
    "storage": {"cache": {"blobdescriptor": "inmemory"}},
    "http": {
        "addr": ":5000",
        "headers": {"X-Content-Type-Options": ["nosniff"]},
        "debug": {"addr": ":5001", "prometheus": {"enabled": False, "path": "/metrics"}},
    },
    "health": {"storagedriver": {"enabled": True, "interval": "10s", "threshold": 3}},
}


def projected(directory: Path, name: str) -> Path:
    """Return the place for a file of a ConfigMap or a Secret, behind the links that Kubernetes makes."""
    (directory / "..2026_01_01").mkdir(parents=True)
    (directory / "..data").symlink_to("..2026_01_01")
    (directory / name).symlink_to(f"..data/{name}")
    return directory / "..data" / name


@pytest.fixture
def pod(volume: Path) -> Iterator[list[str]]:
    """The options of `docker run` for what the chart mounts, but for the config's place."""
    with tempfile.TemporaryDirectory(prefix="pyregistry-pod-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        write_htpasswd(projected(directory / "auth", "htpasswd"), {"alice": "wonderland"})
        projected(directory / "config", "config.yml").write_text(yaml.safe_dump(CONFIG))
        os.chown(volume, 0, GROUP)
        volume.chmod(0o2777)
        variables = [word for key, value in ENVIRONMENT.items() for word in ("-e", f"{key}={value}")]
        mounts = ["-v", f"{volume}:/var/lib/registry/", "-v", f"{directory}/auth:/auth:ro"]
        yield [*SECURITY_CONTEXT, *variables, *mounts, "-v", f"{directory}/config:PLACE:ro"]


def placed(options: list[str], place: str) -> list[str]:
    return [option.replace("PLACE", place) for option in options]


@pytest.mark.parametrize("place", ["/etc/distribution", "/etc/docker/registry"])
def test_deployment_and_cron_job_of_the_chart_run(
    docker: Engine, bridged: BridgedDaemon, image: str, tmp_path: Path, pod: list[str], place: str
) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "file").write_bytes(os.urandom(1000))
    docker.build(f"{REGISTRY}/app", context)
    options, config = ["--entrypoint", "/bin/registry", *placed(pod, place)], f"{place}/config.yml"
    curl = [require("curl", "curl"), "--silent", "--fail"]
    login = [*curl, "--user", "alice:wonderland"]
    with running(docker, bridged, *options, image, "serve", config):
        assert bridged.inside.run(*curl, f"http://{REGISTRY}/") == ""  # the probes' request
        docker.run("login", "-u", "alice", "-p", "wonderland", REGISTRY)
        docker.run("push", f"{REGISTRY}/app")
        docker.forget(f"{REGISTRY}/app")
        collected = docker.run("run", "--rm", *options, image, "garbage-collect", "--delete-untagged=true", config)
        assert "0 blobs" in collected
        docker.run("pull", f"{REGISTRY}/app")
        docker.forget(f"{REGISTRY}/app")
        docker.run("logout", REGISTRY)
        assert json.loads(bridged.inside.run(*login, f"http://{REGISTRY}/v2/_catalog")) == {"repositories": ["app"]}
        said = logs(docker)
        assert "Traceback" not in said
        assert "cannot" not in said


DOCKERFILES = {
    "a config": "COPY config.yml /etc/docker/registry/config.yml",
    "a config of 3.x": "COPY config.yml /etc/distribution/config.yml",
    "an entry point": """COPY config.yml /etc/docker/registry/config.yml
ENTRYPOINT ["/bin/registry"]
CMD ["serve", "/etc/docker/registry/config.yml"]""",
    "a shell": """COPY config.yml /my.yml
RUN /bin/registry --version && apt-get --version >/dev/null
ENTRYPOINT []
CMD exec /bin/registry serve /my.yml""",
}


@pytest.mark.parametrize("lines", DOCKERFILES.values(), ids=DOCKERFILES)
def test_an_image_made_from_it_serves(
    docker: Engine, bridged: BridgedDaemon, image: str, tmp_path: Path, lines: str
) -> None:
    config = "{version: 0.1, storage: inmemory, http: {addr: ':5000', headers: {X-Mine: [a]}}}"
    (tmp_path / "config.yml").write_text(config)
    (tmp_path / "Dockerfile").write_text(f"FROM {image}\n{lines}\n")
    docker.run("build", "--tag", "derived", tmp_path)
    try:
        with running(docker, bridged, "derived"):
            head = bridged.inside.run(require("curl", "curl"), "--silent", "--head", f"http://{REGISTRY}/v2/")
            assert "X-Mine: a" in head
    finally:
        docker.forget("derived")

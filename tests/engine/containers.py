"""podman, buildah and skopeo with images and settings of their own, not those under /etc and /var/lib."""

from dataclasses import dataclass
from pathlib import Path

from tests.engine.client import Client
from tests.processes import require, require_cgroups, require_root

LIMIT = "1024:1024"  # podman raises the limits to the host's, which takes CAP_SYS_RESOURCE


@dataclass(frozen=True)
class Settings:
    """Files that stand in for /etc/containers, and a place for the images."""

    directory: Path

    def __post_init__(self) -> None:
        self.policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        self.registries.write_text("unqualified-search-registries = []\n")
        self.credentials.write_text("{}")
        self.engine.write_text('[engine]\nlock_type = "file"\nevents_logger = "none"\n')

    @property
    def policy(self) -> Path:
        return self.directory / "policy.json"

    @property
    def registries(self) -> Path:
        return self.directory / "registries.conf"

    @property
    def credentials(self) -> Path:
        """A file without credentials: the host's own may not even be readable."""
        return self.directory / "credentials.json"

    @property
    def engine(self) -> Path:
        return self.directory / "containers.conf"

    @property
    def env(self) -> dict[str, str]:
        return {
            "CONTAINERS_CONF": str(self.engine),
            "CONTAINERS_REGISTRIES_CONF": str(self.registries),
            "REGISTRY_AUTH_FILE": str(self.credentials),
        }

    @property
    def storage(self) -> list[str]:
        roots = ["--root", f"{self.directory}/root", "--runroot", f"{self.directory}/run"]
        return [*roots, "--storage-driver", "vfs"]  # vfs: no mount is left behind

    @property
    def remote(self) -> list[str]:
        """The options of every podman and buildah command that talks to a registry."""
        return ["--tls-verify=false", "--quiet", "--signature-policy", str(self.policy)]


class Skopeo(Client):
    """skopeo needs no storage and no root."""

    def __init__(self, directory: Path) -> None:
        settings = Settings(directory)
        options = ["--policy", str(settings.policy), "--registries-conf", str(settings.registries)]
        super().__init__(require("skopeo", "skopeo"), *options, env=settings.env)

    def copy(self, source: str, target: str, *options: str) -> None:
        """Copy between any two of `docker://HOST/NAME:TAG`, `oci:DIRECTORY:TAG` and `dir:DIRECTORY`."""
        plain = ["--src-tls-verify=false", "--dest-tls-verify=false", "--quiet"]
        self.run("copy", *plain, *options, source, target)


class Buildah(Client):
    """buildah with its own storage."""

    def __init__(self, directory: Path) -> None:
        require_root()
        self.settings = Settings(directory)
        program = require("buildah", "buildah")
        super().__init__(program, *self.settings.storage, env=self.settings.env)

    def build(self, name: str, file: Path, architecture: str = "amd64") -> str:
        """An image from scratch with one file; its id."""
        policy = ["--signature-policy", str(self.settings.policy)]
        container = self.run("from", *policy, "scratch").strip()
        self.run("copy", "--quiet", container, file, f"/{file.name}")
        self.run("config", "--arch", architecture, "--os", "linux", container)
        image = self.run("commit", "--quiet", *policy, container, name).strip()
        self.run("rm", container)
        return image

    def push(self, name: str) -> None:
        self.run("push", *self.settings.remote, name)

    def pull(self, name: str) -> str:
        """Pull an image; its id."""
        return self.run("pull", *self.settings.remote, name).strip()


class Podman(Client):
    """podman with its own storage, which a Buildah on the same directory shares."""

    def __init__(self, directory: Path) -> None:
        require_root()
        self.settings = Settings(directory)
        runtime = require("runc", "runc")  # crun refuses a host with both versions of cgroups
        own = ["--tmpdir", str(directory / "tmp"), "--cgroup-manager", "cgroupfs", "--runtime", runtime]
        program = require("podman", "podman")
        super().__init__(program, *self.settings.storage, *own, env=self.settings.env)

    def push(self, name: str) -> None:
        self.run("push", *self.settings.remote, name)

    def pull(self, name: str) -> str:
        """Pull an image; its id."""
        return self.run("pull", *self.settings.remote, name).strip()

    def execute(self, name: str, *args: str) -> str:
        """Return the output of a container of this image."""
        require_cgroups()
        limits = ["--ulimit", f"nofile={LIMIT}", "--ulimit", f"nproc={LIMIT}", "--pids-limit", "-1"]
        return self.run("run", "--rm", "--network", "none", *limits, name, *args)

"""A Docker engine of our own: its images, its sockets and its configuration lie in one directory."""

import shutil
import subprocess
from pathlib import Path

from tests.engine.client import Client
from tests.processes import Program, require


class Daemon(Program):
    """dockerd with the containerd that it starts itself; it leaves the host's network alone."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket = f"unix://{directory}/docker.sock"
        self.client = Client(require("docker", "docker.io"), "-H", self.socket)
        program = require("dockerd", "docker.io")
        options = {
            "--data-root": str(directory / "data"),
            "--exec-root": str(directory / "exec"),
            "--pidfile": str(directory / "docker.pid"),
            "-H": self.socket,
            "--storage-driver": "overlay2",
            "--bridge": "none",  # no bridge and no rules: nothing of the host is changed
            "--iptables": "false",
            "--ip-forward": "false",
            "--ip-masq": "false",
        }
        words = [f"{key}={value}" if key.startswith("--") else f"{key}{value}" for key, value in options.items()]
        super().__init__([program, *words], directory / "dockerd.log")

    def answers(self) -> bool:
        return "overlay2" in self.client.run("info", "--format", "{{.Driver}}", check=False)

    def remove(self) -> None:
        """Unmount what a container may have left, and delete all images."""
        below = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for mount in sorted((path for path in below if path.startswith(f"{self.directory}/")), reverse=True):
            subprocess.run(["umount", "--lazy", mount], check=True)
        shutil.rmtree(self.directory)


class Engine(Client):
    """The `docker` command, talking to a daemon of our own."""

    def __init__(self, daemon: Daemon) -> None:
        config = daemon.directory / "config"
        config.mkdir()
        env = {"DOCKER_CONFIG": str(config), "DOCKER_BUILDKIT": "0"}  # BuildKit needs a plugin of its own
        super().__init__(*daemon.client.command, env=env)
        self.busybox = Path(require("busybox", "busybox-static"))

    def build(self, name: str, context: Path) -> str:
        """Build the files in `context` into an image, each in a layer of its own above busybox; its id."""
        files = sorted(path.name for path in context.iterdir())
        shutil.copy(self.busybox, context / "busybox")
        lines = ["FROM scratch", "COPY busybox /bin/busybox", *(f"COPY {file} /{file}" for file in files)]
        (context / "Dockerfile").write_text("\n".join([*lines, 'ENTRYPOINT ["/bin/busybox"]', ""]))
        self.run("build", "--tag", name, context)
        return self.image_id(name)

    def image_id(self, name: str) -> str:
        """The digest of the image's config."""
        return self.run("image", "inspect", "--format", "{{.Id}}", name).strip()

    def forget(self, *names: str) -> None:
        """Remove images, so that the next pull needs the registry."""
        self.run("image", "rm", "--force", *names)

    def execute(self, name: str, *args: str) -> str:
        """Return busybox's output in a container of this image."""
        return self.run("run", "--rm", "--pull", "never", "--network", "none", name, *args)

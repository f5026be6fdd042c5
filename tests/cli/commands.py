"""Our two programs and the CNCF registry's, as commands."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests import forked
from tests.clients.programs import built
from tests.processes import require

Done = subprocess.CompletedProcess[str]
LEAST = "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {data}}}}}\nhttp: {{addr: '127.0.0.1:0'}}\n"
CNCF = ("2.8", "3.1")

_ENTRY = "import sys; sys.argv[0] = '{name}'; from {module} import main; main()"


def run(command: Sequence[str], *arguments: str | Path, **environ: str) -> Done:
    """Run it to its end; nothing of the config's variables is inherited."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REGISTRY_")}
    words = [*command, *map(str, arguments)]
    env = {**kept, "OTEL_TRACES_EXPORTER": "none", **environ}
    return forked.run_text(words, env=env)


def ours(name: str) -> list[str]:
    """`pyregistry` or `registry`, as it would be after an installation."""
    module = {"pyregistry": "pyregistry.cli", "registry": "pyregistry.cli.registry"}[name]
    return [sys.executable, "-c", _ENTRY.format(name=name, module=module)]


def cncf(version: str) -> list[str]:
    """The CNCF registry of this version."""
    if version == "2.8":
        return [require("docker-registry", "docker-registry")]
    return [built("cncf-registry")]


def config_file(directory: Path) -> Path:
    """A config that every one of them takes, with its data in `directory`/data."""
    path = directory / "config.yml"
    path.write_text(LEAST.format(data=directory / "data"))
    return path

"""The registries that are compared: finds them, and starts them on a directory."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.clients.install import built
from tests.processes import SOURCE_TREE, Server, free_port, merged

WORKERS = 2
CNCF3 = "github.com/distribution/distribution/v3/cmd/registry@v3.1.1"
OLAREG = "github.com/olareg/olareg/cmd/olareg@latest"
ZOT = "zotregistry.dev/zot/v2/cmd/zot@latest"


@dataclass(frozen=True)
class Contender:
    """A registry; `command` returns the command that starts it with a config file, `config` the file's content."""

    name: str
    program: str
    command: Callable[[str, Path], list[str]]
    config: Callable[[Path, int, Path | None], Mapping[str, Any]]

    def server(self, data: Path, workspace: Path, htpasswd: Path | None, extra: Mapping[str, Any]) -> Server:
        """Return the registry on `data`, not yet started; `extra` is merged into a CNCF config."""
        port = free_port()
        document = self.config(data, port, htpasswd)
        if "storage" in document and "version" in document:
            document = merged(document, extra)
        path = workspace / f"{self.name.replace(' ', '-')}.yml"
        path.write_text(yaml.safe_dump(dict(document)))
        server = Server(self.command(self.program, path), data, port, path)
        server.env["OTEL_TRACES_EXPORTER"] = "none"  # 3.x tries to send traces to localhost otherwise
        return server


def contenders(directory: Path) -> tuple[list[Contender], dict[str, str]]:
    """Return the installed registries, and for each other one the reason."""
    found = [Contender("pyregistry", sys.executable, _pyregistry, _pyregistry_config)]
    missing: dict[str, str] = {}
    debian = shutil.which("docker-registry")
    if debian:
        found.append(Contender("CNCF 2.8.2", debian, _serve, _cncf_config))
    else:
        missing["CNCF 2.8.2"] = "apt-get install docker-registry"
    go: list[tuple[str, str, tuple[str, ...], Callable[..., list[str]], Callable[..., Mapping[str, Any]]]] = [
        ("CNCF 3.1.1", CNCF3, (), _serve, _cncf_config),
        ("olareg", OLAREG, (), _olareg, _olareg_config),
        ("zot", ZOT, ("-tags", "minimal"), _serve, _zot_config),
    ]
    for name, module, flags, command, config in go:
        try:
            found.append(Contender(name, str(install(module, directory, flags)), command, config))
        except subprocess.CalledProcessError as error:
            missing[name] = f"{module}: {error.stderr.strip().splitlines()[-1].rpartition(': ')[2]}"
        except (OSError, subprocess.SubprocessError) as error:
            missing[name] = f"{module}: {error}"
    return found, missing


def install(module: str, directory: Path, flags: tuple[str, ...] = ()) -> Path:
    """Build a Go program once, unless `make clients` did; raise OSError or SubprocessError."""
    name = module.partition("@")[0].rpartition("/")[2]
    there = shutil.which({"registry": "cncf-registry"}.get(name, name))
    if there and built(Path(there)) == module:
        return Path(there)
    program = directory / name
    if not program.exists():
        directory.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "GOBIN": str(directory.resolve())}
        subprocess.run(
            ["go", "install", *flags, module],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=1_800,
        )
    return program


def _serve(program: str, config: Path) -> list[str]:
    return [program, "serve", str(config)]


def _pyregistry(program: str, config: Path) -> list[str]:
    return [program, "-m", "pyregistry", "serve", str(config)]


def _cncf_config(data: Path, port: int, htpasswd: Path | None) -> Mapping[str, Any]:
    """Return a minimal config: logs, fsync and validation are each registry's defaults."""
    document: dict[str, Any] = {
        "version": 0.1,
        "storage": {
            "filesystem": {"rootdirectory": str(data)},
            "cache": {"blobdescriptor": "inmemory"},  # as in the official image
            "delete": {"enabled": True},
        },
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    if htpasswd is not None:
        document["auth"] = {"htpasswd": {"realm": "bench", "path": str(htpasswd)}}
    return document


def _pyregistry_config(data: Path, port: int, htpasswd: Path | None) -> Mapping[str, Any]:
    return {**_cncf_config(data, port, htpasswd), "pyregistry": {"workers": WORKERS}}


def _olareg(program: str, config: Path) -> list[str]:
    settings = yaml.safe_load(config.read_text())
    return [program, "serve", "--dir", settings["dir"], "--port", str(settings["port"]), "--store-type", "dir"]


def _olareg_config(data: Path, port: int, htpasswd: Path | None) -> Mapping[str, Any]:
    return {"dir": str(data), "port": port}


def _zot_config(data: Path, port: int, htpasswd: Path | None) -> Mapping[str, Any]:
    http: dict[str, Any] = {"address": "127.0.0.1", "port": str(port), "compat": ["docker2s2"]}
    if htpasswd is not None:
        http["auth"] = {"htpasswd": {"path": str(htpasswd)}}
    return {"storage": {"rootDirectory": str(data), "dedupe": False, "gc": False}, "http": http}


def configs(found: list[Contender]) -> dict[str, str]:
    """Return the config of each, with a password file if it has one."""
    return {
        each.name: yaml.safe_dump(dict(each.config(Path("/data"), 5000, Path("/htpasswd"))), sort_keys=False)
        for each in found
    }


def source_version() -> str:
    """Return the measured commit, with a + if registry or bench were changed since."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=SOURCE_TREE, capture_output=True, text=True, check=False).stdout

    paths = ("pyregistry", "bench", "tests", "pyproject.toml", ":!bench/results")
    changed = "+" if git("status", "--porcelain", "--untracked-files=no", "--", *paths).strip() else ""
    return git("rev-parse", "--short=12", "HEAD").strip() + changed

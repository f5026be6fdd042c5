"""Samples that other programs read: compose, GitLab and GitHub have schemas; a shell and make are asked themselves."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.client import Client
from tests.packages.building import git
from tests.processes import SOURCE_TREE, require

COMPOSE = sorted((SOURCE_TREE / "config/compose").glob("*.yml"))
PIPELINES = {"gitlab-ci": "vendor.gitlab-ci", "github-workflow": "vendor.github-workflows"}
PAGES = [SOURCE_TREE / "README.md", *sorted((SOURCE_TREE / "docs").glob("*.md"))]


def check_schema(schema: str, path: Path) -> None:
    """Raise AssertionError if the file is not what the schema says."""
    Client(sys.executable, "-m", "check_jsonschema").run("--builtin-schema", schema, path)


def blocks(page: Path, language: str) -> list[str]:
    """The code of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.name)
def test_compose_takes_the_samples(path: Path) -> None:
    check_schema("vendor.compose-spec", path)


def test_a_key_that_compose_does_not_know_is_found(tmp_path: Path) -> None:
    (tmp_path / "compose.yml").write_text(COMPOSE[0].read_text().replace("restart:", "restrat:"))
    with pytest.raises(AssertionError, match="restrat"):
        check_schema("vendor.compose-spec", tmp_path / "compose.yml")


@pytest.mark.parametrize("name", PIPELINES)
def test_pipelines_of_the_page_are_what_their_systems_take(name: str, tmp_path: Path) -> None:
    text = (SOURCE_TREE / "docs/ci.md").read_text()
    found = re.search(rf"<!-- {name} -->\n```yaml\n(.*?)```", text, re.DOTALL)
    assert found is not None
    (tmp_path / "pipeline.yml").write_text(found[1])
    check_schema(PIPELINES[name], tmp_path / "pipeline.yml")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_shell_reads_every_command(page: Path) -> None:
    for block in blocks(page, "sh"):
        subprocess.run(["bash", "-n"], input=block.encode(), check=True)


@pytest.mark.parametrize(
    ("present", "served"),
    [(("config.yml",), "config/config.yml"), (("config.yml", "config.local.yml"), "config/config.local.yml")],
)
def test_make_serves_ones_own_config_if_it_is_there(tmp_path: Path, present: tuple[str, ...], served: str) -> None:
    require("make", "make")
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(SOURCE_TREE / name, tmp_path)
    (tmp_path / "config").mkdir()
    for name in present:
        (tmp_path / "config" / name).touch()
    # CONFIG of the shell that runs the tests must not decide.
    commands = Client("env", "-u", "CONFIG", "make", "-C", tmp_path).run("--dry-run", "serve")
    assert commands.strip().splitlines()[-1 if "Leaving" not in commands else -2].endswith(f"pyregistry serve {served}")


@pytest.mark.parametrize(
    "name", ["config/config.local.yml", "config/compose/auth/htpasswd", "config/compose/certs/a.key"]
)
def test_git_keeps_out_what_is_the_operators(name: str) -> None:
    assert git(SOURCE_TREE, "check-ignore", "--no-index", name).strip() == name


def test_certificate_of_the_page_is_taken_by_a_client_that_trusts_it(tmp_path: Path) -> None:
    openssl = require("openssl", "openssl")
    [block] = [block for block in blocks(SOURCE_TREE / "docs/tls-and-proxies.md", "sh") if "openssl req" in block]
    sample = (SOURCE_TREE / "config/compose/compose.htpasswd.yml").read_text()
    words = " ".join(block.replace("\\\n", " ").split())
    assert re.findall(r"openssl req .*", sample)[0] == words[words.index("openssl") :]  # both pages have one line
    subprocess.run(["bash", "-euc", block], cwd=tmp_path, check=True, capture_output=True)
    verify = [openssl, "verify", "-CAfile", "certs/registry.pem", "-purpose", "sslserver"]
    subprocess.run(
        [*verify, "-verify_hostname", "registry.example.org", "certs/registry.pem"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )

"""A command starts without waiting for what only the others need."""

import subprocess
import sys
from pathlib import Path

import pytest

from pyregistry.cli.commands import Commands
from tests.cli.commands import run
from tests.cli.place import Place
from tests.processes import SOURCE_TREE

MODULES = """
import sys
from pyregistry.cli import app
app(sys.argv[1:], standalone_mode=False)
print(*sys.modules, file=sys.stderr)
"""
PREPARED = """
import sys
from pathlib import Path
from pyregistry.cli.config_file import load_again
from pyregistry.cli.serve import quick_imports
with quick_imports():
    import pyregistry.service.server
    from pyregistry.service.preflight import prepare
prepare(load_again(Path(sys.argv[1])))
print(*sys.modules)
import rich.console
"""


@pytest.mark.parametrize(
    ("words", "not_imported"),
    [
        (["--version"], {"pyregistry.config", "pyregistry.storage", "pyregistry.gc"}),
        (
            ["gc", "--help"],
            {"pyregistry.fsck", "pyregistry.inventory", "pyregistry.service.server", "pyregistry.cli.htpasswd"},
        ),
        (["serve", "--help"], {"pyregistry.gc", "pyregistry.fsck", "pyregistry.inventory", "pyregistry.storage"}),
    ],
)
def test_a_command_imports_none_of_the_others(words: list[str], not_imported: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MODULES, *words], capture_output=True, text=True, check=True, cwd=SOURCE_TREE, timeout=30
    )
    imported = set(done.stderr.split())
    assert "pyregistry.cli.commands" in imported
    assert not imported & not_imported


def test_a_collection_that_is_not_at_a_terminal_waits_for_no_library_that_draws_or_logs(tmp_path: Path) -> None:
    place = Place(tmp_path)
    for words in (["gc"], ["gc", "--dry-run"], ["gc", "--json"]):
        done = subprocess.run(
            [sys.executable, "-c", MODULES, *words, place.config],
            capture_output=True,
            text=True,
            check=True,
            cwd=SOURCE_TREE,
            timeout=30,
        )
        assert not set(done.stderr.split()) & {"structlog", "rich.console", "rich.progress", "aiohttp"}


def test_the_cncf_registrys_command_to_serve_does_not_wait_for_the_one_to_collect() -> None:
    code = "import sys, atexit\natexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
    code += "from pyregistry.cli.registry import main\nmain()"
    done = subprocess.run(
        [sys.executable, "-c", code, "serve", "--help"], capture_output=True, text=True, check=True, cwd=SOURCE_TREE
    )
    imported = set(done.stderr.split())
    assert "pyregistry.cli.registry" in imported
    assert not imported & {"pyregistry.gc", "pyregistry.storage"}


def test_help_has_every_command_that_is_not_hidden() -> None:
    done = run([sys.executable, "-m", "pyregistry"], "--help")
    assert done.returncode == 0, done.stderr
    commands = done.stdout.partition(" Commands ")[2]
    shown = [line.split()[1] for line in commands.splitlines() if line.startswith("│ ") and not line.startswith("│  ")]
    assert shown == ["serve", "check-config", "gc", "htpasswd", "ls", "du", "rm", "fsck", "without-gc", "access"]
    assert set(shown) < set(Commands().commands)


def test_every_command_can_be_imported() -> None:
    for name, command in Commands().commands.items():
        assert command.name == name


def test_a_misspelt_command_is_guessed_at() -> None:
    done = run([sys.executable, "-m", "pyregistry"], "fsk")
    assert done.returncode == 2
    assert "'fsck'" in done.stderr


def test_a_server_waits_for_no_library_that_it_does_without(tmp_path: Path) -> None:
    """And rich, which is hidden from one of them, is there for a later import."""
    path = tmp_path / "config.yml"
    path.write_text("version: 0.1\nstorage: inmemory\n")
    command = [sys.executable, "-c", PREPARED, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=SOURCE_TREE, timeout=60)
    imported = set(done.stdout.split())
    assert {"pyregistry.service.server", "structlog", "aiohttp"} <= imported
    assert not imported & {
        "jwt",
        "cryptography",
        "prometheus_client",
        "rich",
        "rich.console",
        "pyregistry.gc.collector",
    }

"""Each command takes its config as `-c`, and as a word where no other word can be taken for it; errors name it once."""

from pathlib import Path

import pytest

from pyregistry.cli.entrypoint import _config_in
from tests.cli.running import run, write_config

BOTH = ("check-config", "gc", "garbage-collect", "du", "fsck", "healthcheck", "access check anonymous pull app")
"""`serve` has the same parameters."""
STATUS = {"healthcheck": 1}
"""There is no server, and other statuses mean nothing to a container engine."""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return write_config(tmp_path, http={"addr": "127.0.0.1:1"})


@pytest.mark.parametrize("command", [*BOTH, "ls"])
def test_every_command_takes_an_option(config: Path, command: str) -> None:
    for option in ("-c", "--config"):
        said = run(*command.split(), option, config, status=STATUS.get(command, 0))
        assert "No such" not in said


@pytest.mark.parametrize("command", BOTH)
def test_a_word_will_do_where_it_cannot_be_something_else(config: Path, command: str) -> None:
    run(*command.split(), config, status=STATUS.get(command, 0))
    said = run(*command.split(), config, "-c", config, status=STATUS.get(command, 2))
    assert said == f"two config files: {config} and {config}; name one, as a word or with --config\n"


@pytest.mark.parametrize("command", ["ls", "rm"])
def test_where_words_are_repositories_the_help_says_how_a_config_is_named(command: str) -> None:
    assert "config with -c" in " ".join(run(command, "--help").replace("│", " ").split())


@pytest.mark.parametrize("command", [*BOTH, "serve", "ls"])
def test_an_error_names_the_file_once_and_has_no_number(tmp_path: Path, command: str) -> None:
    for path, reason in ((tmp_path / "none.yml", "No such file or directory"), (tmp_path, "Is a directory")):
        said = run(*command.split(), "-c", path, status=STATUS.get(command, 2))
        assert said == f"{path}: {reason}\n"


def test_a_server_that_does_not_answer_is_said_without_a_number(config: Path) -> None:
    assert run("healthcheck", config, status=1) == f"{config}: 127.0.0.1:1 does not answer: Connection refused\n"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], None),
        (["a.yml"], Path("a.yml")),
        (["-c", "a.yml"], Path("a.yml")),
        (["--config", "a.yml"], Path("a.yml")),
        (["--config=a.yml"], Path("a.yml")),
    ],
)
def test_the_image_finds_the_config_of_its_server_in_each_way_to_name_it(words: list[str], named: Path | None) -> None:
    assert _config_in(words) == named

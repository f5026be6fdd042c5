"""The commands of `pyregistry` by name. Each is imported on demand, so that no command waits for the others."""

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

_Command = Any
"""typer's class, whose module differs between its versions."""

_FUNCTIONS: Mapping[str, tuple[str, str]] = {
    "serve": ("serve", "serve"),
    "check-config": ("check_config", "check_config"),
    "gc": ("gc", "gc"),
    "garbage-collect": ("gc", "gc"),
    "healthcheck": ("healthcheck", "healthcheck"),
    "htpasswd": ("htpasswd", "htpasswd"),
    "ls": ("ls", "ls"),
    "du": ("du", "du"),
    "rm": ("rm", "rm"),
    "fsck": ("fsck", "fsck"),
    "without-gc": ("without_gc", "without_gc"),
    "access": ("access", "app"),
}
"""The module and function of each, in the order of the help."""
_HIDDEN = frozenset(
    {
        "garbage-collect",  # the CNCF registry's name
        "healthcheck",  # for the image's health check
    }
)

_CONTEXT: Mapping[str, dict[str, Any]] = {"without-gc": {"allow_interspersed_args": False}}
"""Settings of click: options after the first word of COMMAND belong to COMMAND."""


class Commands(TyperGroup):
    """The group of all commands."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Imported()


class _Imported(MutableMapping[str, _Command]):
    """Commands by name; typer does not add any."""

    def __init__(self) -> None:
        self._commands: dict[str, _Command] = {}

    def __getitem__(self, name: str) -> _Command:
        if name not in self._commands:
            module, function = _FUNCTIONS[name]
            self._commands[name] = _command(name, getattr(import_module(f"pyregistry.cli.{module}"), function))
        return self._commands[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_FUNCTIONS)

    def __len__(self) -> int:
        return len(_FUNCTIONS)

    def __setitem__(self, name: str, command: _Command) -> None:
        self._commands[name] = command

    def __delitem__(self, name: str) -> None:
        del self._commands[name]


def _command(name: str, function: Callable[..., None] | typer.Typer) -> _Command:
    if isinstance(function, typer.Typer):
        return typer.main.get_command(function)
    alone = typer.Typer(add_completion=False)
    alone.command(name, hidden=name in _HIDDEN, context_settings=_CONTEXT.get(name))(function)
    return typer.main.get_command(alone)

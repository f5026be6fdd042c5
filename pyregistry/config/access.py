"""Checks for access rules that would not keep callers out."""

from collections.abc import Iterator, Mapping

from pyregistry.config.error_messages import format_value
from pyregistry.config.errors import Notes
from pyregistry.config.schema import Config

WITHOUT_LOGIN = frozenset({"anonymous", "everyone"})
"""Callers in `who` of a rule that need no `auth`; a TLS client certificate does not make a user."""


def check_access(config: Config, document: Mapping[str, object], notes: Notes) -> None:
    """Note the faults of the rules of `config`; `document` has the kind of `auth`, even if it is invalid."""
    own, section = config.pyregistry, document.get("pyregistry")
    if own.groups and not (isinstance(section, dict) and "access" in section):
        notes.errors.append("pyregistry.groups: no effect without pyregistry.access; add rules, or remove the groups")
    if own.groups and isinstance(own.access, str):
        notes.warnings.append("pyregistry.groups: not used, the groups for a file of rules are in that file")
    if own.access is None or not is_open(document.get("auth")):
        return
    names = list(_names(own.access))
    notes.errors.extend(needs_login(key_path, name) for key_path, name in names)
    if not names and not document.get("auth") and not config.http.tls.client_cas:
        notes.warnings.append(
            "pyregistry.access: without auth every client is anonymous, and no password is asked for; add auth, or "
            "auth: none if that is meant"
        )


def is_open(auth: object) -> bool:
    """Return True if a normalised `auth` asks for no password."""
    return not auth or (isinstance(auth, Mapping) and set(auth) == {"none"})


def needs_login(key_path: str, name: str) -> str:
    """Return the error for a caller in a rule who can never log in."""
    return (
        f"{key_path}: {format_value(name)}, expected anonymous or everyone: without auth no client can log in; add auth"
    )


def _names(rules: list[object] | str) -> Iterator[tuple[str, str]]:
    """Yield the callers of rules that need a login, each with its key."""
    for index, rule in enumerate(rules if isinstance(rules, list) else []):
        who = rule.get("who") if isinstance(rule, dict) else None
        for name in who if isinstance(who, list) else [who]:
            if isinstance(name, str) and name not in WITHOUT_LOGIN:
                yield f"pyregistry.access[{index}].who", name

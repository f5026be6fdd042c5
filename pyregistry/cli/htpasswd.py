"""`pyregistry htpasswd`: manages users of an htpasswd file, with the options of Apache's tool."""

import getpass
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from pyregistry.auth import hashes
from pyregistry.auth.htpasswd_lines import parse_line
from pyregistry.cli.output import say
from pyregistry.cli.password_file import HtpasswdContent, change

FILE_ERROR, SYNTAX_ERROR, WRONG_PASSWORD, TOO_LONG, BAD_USER, BAD_FILE = 1, 2, 3, 5, 6, 7
"""Exit statuses of Apache's tool."""
DEFAULT_COST = 10
"""A sixteenth of a second, which the registry needs once per credential, not per request."""
MAX_USER_BYTES = 255
MAX_PASSWORD_BYTES = 1024


def htpasswd(  # noqa: PLR0913, PLR0917 - each parameter is an option of the command line
    arguments: Annotated[
        list[str], typer.Argument(metavar="[FILE] [USER] [PASSWORD]", help="No FILE with -n, PASSWORD only with -b.")
    ],
    from_stdin: Annotated[bool, typer.Option("-i", "--stdin", help="Read the password from standard input.")] = False,
    create: Annotated[bool, typer.Option("-c", "--create", help="Create FILE; replaces an old one.")] = False,
    print_only: Annotated[bool, typer.Option("-n", "--print", help="Print the line instead of writing it.")] = False,
    delete: Annotated[bool, typer.Option("-D", "--delete", help="Remove USER.")] = False,
    verify: Annotated[bool, typer.Option("-v", "--verify", help="Verify the password of USER.")] = False,
    list_users: Annotated[bool, typer.Option("-l", "--list", help="List the users of FILE.")] = False,
    cost: Annotated[
        int, typer.Option("-C", "--cost", min=4, max=14, help="bcrypt computes 2 to the power of this many rounds.")
    ] = DEFAULT_COST,
    as_argument: Annotated[
        bool, typer.Option("-b", "--batch", help="PASSWORD is an argument, which others can read.")
    ] = False,
    bcrypt: Annotated[bool, typer.Option("-B", help="Use bcrypt, which is always used.")] = True,
) -> None:
    """Add a user to an htpasswd file, or change the password, which is read from the terminal.

    A running registry uses the change within two seconds.

    Exit status: 1 the file cannot be read or written; 2 wrong arguments; 3 wrong password; 5 password too long;
    6 invalid or unknown user; 7 not an htpasswd file.
    """
    if sum((create, print_only, delete, verify, list_users)) > 1:
        _fail(SYNTAX_ERROR, "-c, -n, -D, -v and -l exclude each other")
    wanted = {"FILE": not print_only, "USER": not list_users, "PASSWORD": as_argument and not (delete or list_users)}
    given = _named(arguments, [name for name, is_wanted in wanted.items() if is_wanted])
    path = Path(given.get("FILE", ""))
    if list_users:
        _list(path)
        return
    user = _checked_user(given["USER"])
    if delete:
        _delete(path, user)
        return
    if "PASSWORD" in given:
        _say("warning: a password among the arguments can be read by others and stays in the history; use -i")
    password = _password(given.get("PASSWORD"), from_stdin=from_stdin, once=verify)
    if verify:
        _verify(path, user, password)
    elif print_only:
        typer.echo(user + b":" + _hash(password, cost))
    else:
        _put(path, user, _hash(password, cost), create=create)


def _named(arguments: list[str], names: list[str]) -> dict[str, str]:
    if len(arguments) != len(names):
        _fail(SYNTAX_ERROR, f"expected {' '.join(names)}; the password is asked for, or read with -i")
    return dict(zip(names, arguments, strict=True))


def _list(path: Path) -> None:
    for user in _read(path).users():
        say(_text(user))


def _delete(path: Path, user: bytes) -> None:
    def edit(before: bytes | None) -> bytes:
        content = _content(path, before)
        _stored(path, content, user)
        content.remove(user)
        return bytes(content)

    _change(path, edit)
    _say(f"Deleting password for user {_text(user)}")


def _verify(path: Path, user: bytes, password: bytes) -> None:
    stored = _stored(path, _read(path), user)
    try:
        accepted = hashes.parse_hash(stored)
    except hashes.HashRefused as error:
        _fail(WRONG_PASSWORD, f"the registry does not accept the entry of {_text(user)}: {error}")
    if not hashes.matches(password, accepted):
        _fail(WRONG_PASSWORD, "password verification failed")
    _say(f"Password for user {_text(user)} correct.")


def _put(path: Path, user: bytes, stored: bytes, *, create: bool) -> None:
    verb = "Adding"

    def edit(before: bytes | None) -> bytes:
        nonlocal verb
        content = HtpasswdContent(b"") if create else _content(path, before)
        if create and before and (lost := [name for name in HtpasswdContent(before).users() if name != user]):
            _say(f"warning: -c made a new file, without {len(lost)} users of the old one")
        if content.stored(user) is not None:
            verb = "Updating"
        content.put(user, stored)
        return bytes(content)

    _change(path, edit)
    _say(f"{verb} password for user {_text(user)}")


def _content(path: Path, content: bytes | None) -> HtpasswdContent:
    if content is None:
        _fail(FILE_ERROR, f"cannot modify file {path}; use '-c' to create it")
    # Another kind of file must not be overwritten.
    for number, line in enumerate(content.splitlines(), 1):
        try:
            parse_line(line)
        except ValueError as error:
            _fail(BAD_FILE, f"{path} is not an htpasswd file: {error} in line {number}")
    return HtpasswdContent(content)


def _read(path: Path) -> HtpasswdContent:
    try:
        return _content(path, path.read_bytes())
    except OSError as error:
        _fail(FILE_ERROR, f"{path}: {error.strerror}")


def _stored(path: Path, content: HtpasswdContent, user: bytes) -> bytes:
    stored = content.stored(user)
    if stored is None:
        _fail(BAD_USER, f"user {_text(user)} not found in {path}")
    return stored


def _change(path: Path, edit: Callable[[bytes | None], bytes]) -> None:
    try:
        change(path, edit)
    except OSError as error:
        _fail(FILE_ERROR, f"{path} cannot be replaced: {error.strerror}")


def _checked_user(given: str) -> bytes:
    user = given.encode(errors="surrogateescape")
    if not user or len(user) > MAX_USER_BYTES:
        _fail(BAD_USER, f"a user's name has 1 to {MAX_USER_BYTES} bytes")
    if ":" in given or given != given.strip() or given.startswith("#") or not given.isprintable():
        _fail(BAD_USER, "a user's name has no colon, no control characters, no space at an end, no # at the beginning")
    return user


def _password(argument: str | None, *, from_stdin: bool, once: bool) -> bytes:
    if argument is not None:
        password = argument.encode(errors="surrogateescape")
    elif from_stdin:
        password = sys.stdin.buffer.readline(MAX_PASSWORD_BYTES + 3).removesuffix(b"\n").removesuffix(b"\r")
    elif not sys.stdin.isatty():
        _fail(SYNTAX_ERROR, "no terminal to ask for the password; use -i to read it from standard input")
    else:
        password = _ask(once=once)
    if not password or b"\0" in password:
        _fail(SYNTAX_ERROR, "the password is empty or has a NUL in it")
    if len(password) > MAX_PASSWORD_BYTES:
        _fail(TOO_LONG, f"the password has more than {MAX_PASSWORD_BYTES} bytes")
    if len(password) > hashes.COUNTED_BYTES and not once:
        _say(f"warning: only the first {hashes.COUNTED_BYTES} bytes of the password count: bcrypt ignores the rest")
    return password


def _ask(*, once: bool) -> bytes:
    password = getpass.getpass("Enter password: " if once else "New password: ")
    if not once and getpass.getpass("Re-type new password: ") != password:
        _fail(WRONG_PASSWORD, "password verification error")
    return password.encode(errors="surrogateescape")


def _hash(password: bytes, cost: int) -> bytes:
    return hashes.make_hash(password, cost)


def _text(user: bytes) -> str:
    return user.decode(errors="surrogateescape")


def _say(line: str) -> None:
    say(line, err=True)


def _fail(status: int, reason: str) -> NoReturn:
    _say(f"pyregistry htpasswd: {reason}")
    sys.exit(status)

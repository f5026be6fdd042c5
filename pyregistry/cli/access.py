"""`pyregistry access`: tests the rules of `pyregistry.access`."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pyregistry.cli.config_file import ConfigFile, ConfigOption, fail, load_or_fail
from pyregistry.cli.output import print_json, say
from pyregistry.common.lazy import lazy
from pyregistry.config.errors import ConfigError
from pyregistry.oci.errors import NameInvalid
from pyregistry.oci.names import RepositoryName

if TYPE_CHECKING:
    from pyregistry.auth import access, policy
    from pyregistry.service import wiring
else:
    access = lazy("pyregistry.auth.access")
    policy = lazy("pyregistry.auth.policy")
    wiring = lazy("pyregistry.service.wiring")

NO = 1

app = typer.Typer(
    name="access", add_completion=False, help="Test the rules of pyregistry.access.", no_args_is_help=True
)


@app.callback()
def _access() -> None:
    """Test the rules of pyregistry.access."""


@app.command()
def check(  # noqa: PLR0913, PLR0917 - one for each word and option of the command
    user: Annotated[str, typer.Argument(metavar="USER", help="A user's name, or anonymous without a login.")],
    action: Annotated[str, typer.Argument(metavar="ACTION", help="pull, push or delete.")],
    repository: Annotated[str, typer.Argument(metavar="REPOSITORY", help="As team/app, without a tag.")],
    config: ConfigFile = None,
    config_option: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print whether a user has access to a repository, and the rule that decides; exits with 0 for yes, 1 for no.

    It checks the rules only: neither the user nor the repository need exist.
    """
    path, loaded = load_or_fail(config, config_option)
    if action not in {access.Action.PULL, access.Action.PUSH, access.Action.DELETE}:
        fail(f"{action!r} is not an action, expected pull, push or delete")
    try:
        wanted = access.Access(access.Action(action), RepositoryName(repository))
        current = wiring.create_policy(loaded)
    except NameInvalid as error:
        fail(f"{repository!r} is not a repository name: {error}")
    except ConfigError as error:
        fail(f"{path}: {error}")
    allowed, rule = True, None
    reason = "there are no rules (pyregistry.access), so every caller that auth accepts may do everything"
    if current is not None:
        principal = access.Principal(None if user == policy.ANONYMOUS else user)
        allowed, rule = current.policy.decide(principal, wanted)
        reason = f"rule {rule}" if rule is not None else "no rule matches this user and repository"
    if as_json:
        named = None if rule is None else str(rule)
        print_json({"user": user, "action": action, "repository": repository, "allowed": allowed, "rule": named})
    else:
        say(f"{'yes' if allowed else 'no'}: {reason}")
    if not allowed:
        sys.exit(NO)

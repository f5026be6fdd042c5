"""`pyregistry serve`: runs the registry."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pyregistry.cli.config_file import ConfigFile, ConfigOption, fail_in_log, load_again, load_or_fail, refuse
from pyregistry.cli.working_directory import leave_lost_directory
from pyregistry.common.lazy import lazy
from pyregistry.common.system_errors import in_words
from pyregistry.config.errors import ConfigError
from pyregistry.config.schema import Config

if TYPE_CHECKING:
    from pyregistry.service import data_directory, server
else:
    data_directory = lazy("pyregistry.service.data_directory")
    server = lazy("pyregistry.service.server")


def serve(config: ConfigFile = None, config_option: ConfigOption = None) -> None:
    """Serve the registry until SIGTERM or Ctrl-C; SIGHUP reloads the config."""
    path, loaded = load_or_fail(config, config_option)
    try:
        leave_lost_directory(path, loaded)
        with quick_imports():
            run = server.serve

        run(loaded, lambda: load_again(path))
    except ConfigError as error:
        refuse(error.in_file(path), loaded.log)
    except OSError as error:
        reason = f"cannot use the data directory: {in_words(error)}{_whose(loaded)}"
        fail_in_log(reason, loaded.log)


@contextmanager
def quick_imports() -> Iterator[None]:
    """Speed up the imports of a server, which take nearly all of the time to its first response.

    Imported objects live until the end, so the garbage collector need not scan them, here and in each worker. structlog
    imports rich if it is installed, for tracebacks with local variables. We do not print those: they may be passwords.
    """
    gc.disable()
    hidden = "rich" not in sys.modules
    if hidden:
        sys.modules["rich"] = None  # type: ignore[assignment] # makes Python treat it as missing
    try:
        yield
    finally:
        if hidden:
            del sys.modules["rich"]
        gc.freeze()
        gc.enable()


def _whose(config: Config) -> str:
    """Return our user and the owner of a volume, to repair one without write access."""
    if config.storage.filesystem is None:
        return ""
    root = Path(config.storage.filesystem.root_directory)
    found = data_directory.rights(root)
    if not found:
        return ""
    return f" (this is user {found['user']}; {root} belongs to {found['owner']}, mode {found['mode']})"

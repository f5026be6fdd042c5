"""`pyregistry serve`: run the registry."""

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
    """Serve the registry until it is stopped with SIGTERM or Ctrl-C; SIGHUP takes the config again."""
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
    """For the imports of a server, which take nearly all of the time to its first answer.

    What they make stays for good: looking for garbage in it, here and in each worker, is time for nothing. structlog
    imports rich wherever it is installed, for tracebacks with local variables, which we do not print: there may be
    passwords among them.
    """
    gc.disable()
    hidden = "rich" not in sys.modules
    if hidden:
        sys.modules["rich"] = None  # type: ignore[assignment] # which is how Python is told that there is none
    try:
        yield
    finally:
        if hidden:
            del sys.modules["rich"]
        gc.freeze()
        gc.enable()


def _whose(config: Config) -> str:
    """What an operator needs to know to mend a volume that cannot be written."""
    if config.storage.filesystem is None:
        return ""
    root = Path(config.storage.filesystem.root_directory)
    found = data_directory.rights(root)
    if not found:
        return ""
    return f" (this is user {found['user']}; {root} belongs to {found['owner']}, mode {found['mode']})"

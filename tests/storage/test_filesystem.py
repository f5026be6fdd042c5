"""The driver on a directory keeps the contract."""

import pytest

from pyregistry.storage.driver import Driver
from pyregistry.storage.filesystem import FilesystemDriver
from tests.storage.contract import Directories, MoveAndDelete, ReadAndWrite
from tests.storage.contract_appender import Appending, Holding
from tests.storage.contract_collecting import Collecting
from tests.storage.contract_locks import Locks


@pytest.fixture
def driver(filesystem: FilesystemDriver) -> Driver:
    return filesystem


class TestFilesystemDriver(ReadAndWrite, Directories, MoveAndDelete, Appending, Holding, Locks, Collecting):
    pass

"""The driver on a directory keeps the contracts."""

import pytest

from pyregistry.storage.local.driver import Driver
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.seams.objects import Objects
from tests.storage.contract_appender import Appending, Holding
from tests.storage.contract_local import LocalContract
from tests.storage.contract_locks import Locks
from tests.storage.contract_objects import ObjectsContract


@pytest.fixture
def objects(filesystem: FilesystemDriver) -> Objects:
    return filesystem


@pytest.fixture
def driver(filesystem: FilesystemDriver) -> Driver:
    return filesystem


class TestFilesystemObjects(ObjectsContract):
    pass


class TestFilesystemDriver(LocalContract, Appending, Holding, Locks):
    pass

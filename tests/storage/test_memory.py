"""The driver in memory keeps the contracts."""

import pytest

from pyregistry.storage.local.driver import Driver
from pyregistry.storage.memory.driver import MemoryDriver
from pyregistry.storage.seams.objects import Objects
from tests.storage.contract_appender import Appending, Holding
from tests.storage.contract_local import LocalContract
from tests.storage.contract_locks import Locks
from tests.storage.contract_objects import ObjectsContract


@pytest.fixture
def objects() -> Objects:
    return MemoryDriver()


@pytest.fixture
def driver() -> Driver:
    return MemoryDriver()


class TestMemoryObjects(ObjectsContract):
    pass


class TestMemoryDriver(LocalContract, Appending, Holding, Locks):
    pass


def test_two_drivers_have_nothing_in_common_and_two_epochs() -> None:
    assert MemoryDriver().epoch != MemoryDriver().epoch

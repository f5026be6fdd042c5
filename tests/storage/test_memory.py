"""The driver in memory keeps the contract."""

import pytest

from pyregistry.storage.driver import Driver
from pyregistry.storage.memory import MemoryDriver
from tests.storage.contract import Directories, MoveAndDelete, ReadAndWrite
from tests.storage.contract_appender import Appending, Holding
from tests.storage.contract_collecting import Collecting
from tests.storage.contract_locks import Locks


@pytest.fixture
def driver() -> Driver:
    return MemoryDriver()


class TestMemoryDriver(ReadAndWrite, Directories, MoveAndDelete, Appending, Holding, Locks, Collecting):
    pass


def test_two_drivers_have_nothing_in_common_and_two_epochs() -> None:
    assert MemoryDriver().epoch != MemoryDriver().epoch

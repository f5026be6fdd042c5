"""The driver that measures another one keeps the contract, and says what it saw."""

import pytest

from pyregistry.storage.local.driver import Driver
from pyregistry.storage.measured import MeasuredDriver
from pyregistry.storage.memory.driver import MemoryDriver
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import Objects, PathNotFound
from tests.storage.contract_appender import Appending, Holding
from tests.storage.contract_local import LocalContract
from tests.storage.contract_locks import Locks
from tests.storage.contract_objects import ObjectsContract


@pytest.fixture
def objects() -> Objects:
    return MeasuredDriver(MemoryDriver(), lambda _: lambda _: None)


@pytest.fixture
def driver() -> Driver:
    return MeasuredDriver(MemoryDriver(), lambda _: lambda _: None)


class TestMeasuredObjects(ObjectsContract):
    pass


class TestMeasuredDriver(LocalContract, Appending, Holding, Locks):
    pass


def test_each_action_is_said_once_with_its_seconds_also_if_it_fails() -> None:
    said: list[tuple[str, float]] = []
    driver = MeasuredDriver(MemoryDriver(), lambda action: lambda seconds: said.append((action, seconds)))
    here, there = StoragePath("a/here"), StoragePath("a/there")
    driver.create(StoragePath("b/new"), b"x")
    driver.write(here, b"x")
    driver.read(here)
    driver.stat(here)
    assert list(driver.children(StoragePath("a"))) == ["here"]
    driver.move(here, there)
    driver.delete(there)
    with pytest.raises(PathNotFound):
        driver.read(there)
    names = ["PutContent", "PutContent", "GetContent", "Stat", "List", "Move", "Delete", "GetContent"]
    assert [action for action, _ in said] == names
    assert all(0 <= seconds < 1 for _, seconds in said)

"""Objects whose bytes come from another machine keep the contract."""

import pytest

from pyregistry.storage.seams.objects import Objects
from tests.storage.contract_objects import ObjectsContract
from tests.storage.remote import RemoteDriver, forget


@pytest.fixture
def objects() -> Objects:
    forget()
    return RemoteDriver()


class TestRemoteObjects(ObjectsContract):
    pass

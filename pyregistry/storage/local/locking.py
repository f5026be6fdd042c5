"""The lock of a repository."""

from contextlib import AbstractContextManager
from hashlib import blake2b

from pyregistry.oci.names import RepositoryName
from pyregistry.storage.local.driver import Driver


def repository_lock(driver: Driver, name: RepositoryName) -> AbstractContextManager[None]:
    """One change of tags and manifests at a time: a delete by digest must not take a tag that just moved on.

    Repositories share 256 locks. Inside a commit section or an exclusive section, where there is one, never around it.
    """
    stripe = blake2b(name.encode(), digest_size=1).hexdigest()
    return driver.lock(f"repo-{stripe}", exclusive=True)

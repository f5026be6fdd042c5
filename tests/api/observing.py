"""A registry with observers, or with middlewares that it does not know."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from aiohttp.test_utils import TestClient
from aiohttp.typedefs import Middleware

from pyregistry.auth.access import Authenticator
from pyregistry.auth.policy_file import CurrentPolicy
from pyregistry.config.load import parse
from pyregistry.observe.observers import Event, Observer
from pyregistry.service.app import create_app
from pyregistry.service.wiring import connection_limits
from tests.conftest import PREPARED, RegistryServer
from tests.push import Client


class Seen:
    """Observer that keeps each event."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def observe(self, event: Event) -> None:
        self.events.append(event)

    def since(self) -> list[Event]:
        """Return what it was told since this was called the last time."""
        found, self.events = self.events, []
        return found


@asynccontextmanager
async def registry_with(
    directory: Path,
    *observers: Observer,
    middlewares: Sequence[Middleware] = (),
    authenticator: Authenticator | None = None,
    policy: CurrentPolicy | None = None,
    **sections: Any,
) -> AsyncIterator[Client]:
    """A registry on `directory/data`."""
    storage = {"filesystem": {"rootdirectory": str(directory / "data")}, "delete": {"enabled": True}}
    config, _ = parse(yaml.safe_dump({"version": 0.1, "storage": storage, **sections}), {})
    app = await asyncio.to_thread(create_app, config, authenticator, policy, observers=observers)
    app[PREPARED] = []
    app.middlewares.extend(middlewares)

    async def note(request: Any, _: object) -> None:
        request.app[PREPARED].append(request.path)

    app.on_response_prepare.append(note)
    async with TestClient(RegistryServer(app, connection_limits(config)), auto_decompress=False) as client:
        yield client

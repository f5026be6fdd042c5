"""Chooses the runner of an application: the fast path, or aiohttp's ordinary way."""

from typing import Any

from aiohttp import web

from pyregistry.api.transport.runner import OrdinaryRunner, Runner


def make_runner(app: web.Application, *, fast_path: bool, **kwargs: Any) -> Runner:
    """Return a runner for `app`; `fast_path` only if the self-test has passed. The subclasses document `kwargs`."""
    if not fast_path:
        return OrdinaryRunner(app, **kwargs)
    from pyregistry.api.transport.fast import FastRunner  # noqa: PLC0415 - aiohttp may lack what it imports

    return FastRunner(app, **kwargs)

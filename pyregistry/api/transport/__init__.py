"""Connections and processes: everything that reaches into aiohttp, gunicorn and asyncio, and nothing else.

docs/decisions/0049 lists each private name that is used here, its reason, and the consequence if it goes.
"""

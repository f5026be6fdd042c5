"""The /v2/ API over aiohttp, one file per noun; `routes.py` is the table of all endpoints."""

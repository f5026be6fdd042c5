"""The /v2/ API over aiohttp: the table of endpoints, the middlewares, and the fast path."""

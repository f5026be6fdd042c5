"""A private OCI and Docker registry on one directory. Start reading at `service/app.py`."""

__version__ = "0.2.0"

"""A driver of `storage` is supported once it has a struct; nothing else of the config has a list of them."""

import subprocess
import sys

PROGRAM = """
import msgspec
from pyregistry.config import schema

class S3(schema.ConfigSection, frozen=True):
    bucket: str

class Storage(schema.Storage, frozen=True):
    s3: S3 | None = None

class Config(schema.Config, frozen=True, kw_only=True):
    storage: Storage

schema.Storage, schema.Config = Storage, Config

from pyregistry.config.known_keys import DRIVERS, SURFACE
from pyregistry.config.load import _wrong_driver
print(sorted(DRIVERS), list(SURFACE["storage"]["s3"]))
print(_wrong_driver({"s3": {"bucket": "images"}}))
print(_wrong_driver({"gcs": {"bucket": "images"}}))
"""


def test_a_driver_with_a_struct_is_supported_and_the_message_about_others_names_it() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        "['filesystem', 'inmemory', 's3'] ['bucket']",
        "",
        "storage.gcs: this driver is not supported, expected filesystem or inmemory or s3",
    ]

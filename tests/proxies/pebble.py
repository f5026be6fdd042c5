"""Pebble, the ACME server that Let's Encrypt gives to those who test clients of it."""

import http.client
import json
from pathlib import Path

from pyregistry.common.overriding import override
from tests.authority import Authority
from tests.clients.programs import built
from tests.processes import Program, free_port


class Pebble(Program):
    """An authority that gives a certificate for every name, without a challenge."""

    def __init__(self, directory: Path, authority: Authority) -> None:
        self.port, self.authority = free_port(), authority
        certificate, key = authority.issue("pebble")
        settings = {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": "",
            "certificate": str(certificate),
            "privateKey": str(key),
            "httpPort": free_port(),
            "tlsPort": free_port(),
            "profiles": {"default": {"description": "for tests", "validityPeriod": 7_776_000}},
        }
        config = directory / "pebble.json"
        config.write_text(json.dumps({"pebble": settings}))
        # No rejected nonces and no pauses, which try a client's patience; names are not looked up.
        environment = {"PEBBLE_VA_ALWAYS_VALID": "1", "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
        super().__init__([built("pebble"), "-config", str(config)], directory / "pebble.log", environment)

    @property
    def url(self) -> str:
        """The directory of the ACME server."""
        return f"https://127.0.0.1:{self.port}/dir"

    @override
    def answers(self) -> bool:
        context = self.authority.context()
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=5)
        try:
            connection.request("GET", "/dir", headers={"User-Agent": "tests"})  # without one it is 400
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

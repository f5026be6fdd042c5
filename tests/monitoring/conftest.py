"""A service that shows all that it can show."""

import http.client
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.auth.credentials import auth_section, basic, write_htpasswd
from tests.authority import Authority
from tests.builders import OCI_MANIFEST, digest_of, image
from tests.cli.running import run_process
from tests.processes import data_directory, wait_until
from tests.workers.http import ask
from tests.workers.test_reload import configure
from tests.workers.watching import watched_server

_SERIES = re.compile(r"\b(?:pyregistry|registry|process)_[a-z0-9_]+\b")


@dataclass(frozen=True)
class Page:
    """One scrape."""

    text: str

    @property
    def families(self) -> dict[str, str]:
        """Names, as in the lines `# TYPE`, with their types."""
        rows = [line.split() for line in self.text.splitlines() if line.startswith("# TYPE ")]
        return {row[2]: row[3] for row in rows}

    @property
    def series(self) -> dict[str, set[str]]:
        """Names of what can be asked for, with the labels that they have."""
        found: dict[str, set[str]] = {}
        for family in text_string_to_metric_families(self.text):
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
        return found


def series_in(expression: str) -> set[str]:
    """Return the names of series in an expression of PromQL."""
    return set(_SERIES.findall(expression))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A scrape of a service with passwords and TLS, after a push, a pull, a garbage collection and a failed one."""
    directory = tmp_path_factory.mktemp("watched")
    write_htpasswd(directory / "htpasswd", {"alice": "wonderland"})
    alice = basic("alice", "wonderland")
    pushed = image(b"a layer")
    with watched_server(directory, auth=auth_section(directory / "htpasswd"), pyregistry={"workers": 2}) as watched:
        for blob in pushed.blobs:
            path = f"/v2/app/blobs/uploads/?digest={digest_of(blob)}"
            assert ask(watched.server, "POST", path, blob, alice).status == 201
        typed = {**alice, "Content-Type": OCI_MANIFEST}
        assert ask(watched.server, "PUT", "/v2/app/manifests/v1", pushed.content, typed).status == 201
        assert ask(watched.server, "GET", "/v2/app/manifests/v1", headers=alice).status == 200
        run_process("gc", watched.server.config)
        (data_directory(directory) / ".pyregistry/gc-failed").write_text("why")
        authority = Authority(directory)
        certificate, key = authority.issue("server")
        configure(watched.server, http={"tls": {"certificate": str(certificate), "key": str(key)}})
        last = "pyregistry_tls_certificate_expiry_timestamp_seconds"
        wait_until(lambda: watched.total(last) > 0, "TLS is on")
        # New workers have no request under way, nor had one.
        secure = http.client.HTTPSConnection(watched.server.host, context=authority.context())
        secure.request("GET", "/v2/")
        assert secure.getresponse().status == 401
        secure.close()
        wait_until(lambda: bool(watched.samples("pyregistry_repositories")), "repositories are counted")
        yield Page(watched.ask("/metrics").body.decode())

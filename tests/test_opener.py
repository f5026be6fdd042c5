"""Files of root's that a process without root's rights reads, by way of a process that has them."""

import os
import ssl
import stat
from pathlib import Path

import pytest

from pyregistry.auth.htpasswd import PasswordFile
from pyregistry.common import opener
from pyregistry.common.opener import open_file, read_file, readable_path, stat_file
from pyregistry.config.load import load
from pyregistry.config.schema import Tls
from pyregistry.service.tls import Certificate
from tests.auth.credentials import write_htpasswd
from tests.authority import Authority
from tests.files_of_root import Place, as_service, place, secret
from tests.processes import wait_until

__all__ = ["place"]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400])
def test_a_file_of_roots_is_read_and_its_status_known(place: Place, mode: int) -> None:
    path = secret(place.private / "key", mode=mode)
    place.start(path)
    with as_service():
        with pytest.raises(PermissionError):
            path.read_bytes()
        assert read_file(path) == b"secret"
        assert stat.S_IMODE(stat_file(path).st_mode) == mode
        with readable_path(str(path)) as readable:
            assert Path(readable).read_bytes() == b"secret"


def test_a_file_that_can_be_read_anyway_is_not_asked_for(place: Place) -> None:
    path = secret(place.volume / "config", mode=0o644)
    os.environ[opener.OPENER_VARIABLE] = "-1"
    with as_service():
        assert read_file(path) == b"secret"
        with readable_path(str(path)) as readable:
            assert readable == str(path)


def test_without_the_process_the_system_says_no(place: Place) -> None:
    path = secret(place.private / "key")
    with as_service(), pytest.raises(PermissionError, match="Permission denied"):
        open_file(path)


def test_no_other_file_is_opened(place: Place) -> None:
    place.start(secret(place.private / "key"))
    other = secret(place.private / "other")
    with as_service(), pytest.raises(OSError, match="not in the config at the start: restart the container"):
        open_file(other)


def test_a_file_that_went_away_is_missing(place: Place) -> None:
    place.start(place.private / "key")
    with as_service(), pytest.raises(FileNotFoundError):
        stat_file(place.private / "key")


@pytest.mark.parametrize("kind", ["directory", "FIFO"])
def test_only_regular_files_are_opened(place: Place, kind: str) -> None:
    path = place.private / "key"
    path.mkdir() if kind == "directory" else os.mkfifo(path, 0o600)
    place.start(path)
    with as_service(), pytest.raises(OSError, match="Invalid argument"):
        open_file(path)


def test_a_link_in_the_volume_leads_to_no_file_outside(place: Place) -> None:
    outside = secret(place.private / "shadow")
    inside, link = place.volume / "users", place.volume / "htpasswd"
    secret(inside)
    link.symlink_to(inside)
    place.start(link)
    with as_service():
        assert read_file(link) == b"secret"
        link.unlink()
        link.symlink_to(outside)
        with pytest.raises(OSError, match="symbolic links"):
            open_file(link)


def test_a_link_of_roots_is_followed_when_it_changes(place: Place) -> None:
    """certbot keeps its keys that way, and Kubernetes its secrets."""
    first, second = secret(place.private / "key1", "first"), secret(place.private / "key2", "second")
    link = place.private / "key"
    link.symlink_to(first)
    place.start(link)
    with as_service():
        assert read_file(link) == b"first"
    link.unlink()
    link.symlink_to(second)
    with as_service():
        assert read_file(link) == b"second"


def test_the_process_ends_with_the_server(place: Place) -> None:
    place.start(place.private / "key")
    assert place.hang_up() == 0


def test_a_process_that_was_killed_is_named(place: Place) -> None:
    path = secret(place.private / "key")
    place.start(path)
    place.kill()
    with as_service(), pytest.raises(PermissionError, match="has ended: restart the container"):
        open_file(path)


def test_no_descriptor_is_left_open(place: Place) -> None:
    path = secret(place.private / "key")
    place.start(path)
    with as_service():
        read_file(path)
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(20):
            read_file(path)
            stat_file(path)
            with readable_path(str(path)):
                pass
            with pytest.raises(OSError, match="restart the container"):
                open_file(place.private / "other")
        assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_renewed_certificate_with_a_key_of_roots_is_served(place: Place) -> None:
    authority = Authority(place.private)
    served = (place.private / "server.crt", place.private / "server.key")

    def renew(name: str) -> None:
        for source, target in zip(authority.issue(name), served, strict=True):
            new = secret(target.with_suffix(".new"), source.read_text())
            new.rename(target)

    def name(certificate: Certificate) -> str:
        ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = certificate.context.wrap_bio(ours, theirs, server_side=True)
        client = authority.context()
        client.check_hostname = False
        seen = client.wrap_bio(theirs, ours)
        for _ in range(4):
            for side in (seen, server):
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    continue
        found = seen.getpeercert()
        assert found is not None
        return str(found["subject"])

    renew("first")
    names = {"certificate": str(served[0]), "key": str(served[1]), "client_cas": [str(authority.certificate)]}
    tls = Tls(**names, client_auth="verify-client-cert-if-given")  # type: ignore[arg-type] # of values of two types
    place.start(*served, authority.certificate)
    with as_service():
        certificate = Certificate(tls)
    assert "first" in name(certificate)
    renew("second")
    with as_service():
        certificate.reload_if_changed()
    assert "second" in name(certificate)


def test_a_changed_htpasswd_of_roots_is_taken_over(place: Place) -> None:
    path = place.private / "htpasswd"
    write_htpasswd(path, {"alice": "wonderland"})
    path.chmod(0o640)
    place.start(path)
    PasswordFile(path)  # imports what the service of this test may not read
    with as_service():
        users = PasswordFile(path)
        assert list(users.users().hashes) == ["alice"]
        users.start()
    write_htpasswd(path, {"bob": "builder"})
    with as_service():
        try:
            wait_until(lambda: list(users.users().hashes) == ["bob"], "it is taken over")
        finally:
            users.close()


def test_a_config_of_roots_is_read(place: Place) -> None:
    path = secret(place.private / "config.yml", "{version: 0.1, storage: inmemory, http: {addr: ':1'}}")
    place.start(path)
    with as_service():
        assert load(path, {})[0].http.addr == ":1"

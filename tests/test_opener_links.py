"""Links and requests by which a service would get at files of root's that the config does not name."""

import os
import socket

import pytest

from pyregistry.common import opener
from pyregistry.common.opener import open_file, read_file
from tests.files_of_root import SERVICE, Place, as_service, place, secret

__all__ = ["place"]


def test_a_link_of_the_services_outside_its_volume_leads_to_no_file_of_roots(place: Place) -> None:
    """It may own the directory of the config too, where both belong to the user who started the container."""
    shadow, own = secret(place.private / "shadow"), place.volume.parent / "config"
    own.mkdir()
    os.chown(own, SERVICE, SERVICE)
    for name in ("key", "directory"):
        (own / name).symlink_to(shadow if name == "key" else place.private)
        os.lchown(own / name, SERVICE, SERVICE)
    paths = (own / "key", own / "directory" / "shadow")
    place.start(*paths)
    with as_service():
        for path in paths:
            with pytest.raises(OSError, match="symbolic links"):
                open_file(path)


def test_a_link_of_roots_into_the_volume_leads_to_no_file_outside(place: Place) -> None:
    shadow, inside, link = secret(place.private / "shadow"), place.volume / "users", place.private / "htpasswd"
    link.symlink_to(inside)
    inside.symlink_to(shadow)
    os.lchown(inside, SERVICE, SERVICE)
    place.start(link)
    with as_service(), pytest.raises(OSError, match="symbolic links"):
        open_file(link)


def test_a_volume_that_is_named_by_a_link_is_the_volume(place: Place) -> None:
    name = place.volume.parent / "name"
    secret(place.volume / "key")
    name.symlink_to(place.volume)
    place.start(name / "key")
    with as_service():
        assert read_file(name / "key") == b"secret"


@pytest.mark.parametrize("circle", [False, True])
def test_links_of_roots_have_an_end(place: Place, circle: bool) -> None:
    path = secret(place.private / "0")
    if circle:
        path.unlink()
        path.symlink_to("20")
    for number in range(20):
        (place.private / f"{number + 1}").symlink_to(f"../private/./{number}")
    place.start(place.private / "20")
    with as_service():
        if circle:
            with pytest.raises(OSError, match="symbolic links"):
                open_file(place.private / "20")
        else:
            assert read_file(place.private / "20") == b"secret"


def test_requests_that_no_server_sends_do_not_end_the_process(place: Place) -> None:
    path = secret(place.private / "key")
    place.start(path)
    with socket.socket(fileno=os.dup(int(os.environ[opener.OPENER_VARIABLE]))) as requests:
        requests.send(b"without a descriptor")
        with path.open("rb") as file:
            socket.send_fds(requests, [b"no socket"], [file.fileno()])
        socket.send_fds(requests, [b"x" * 9000], [requests.fileno()])
    with as_service():
        assert read_file(path) == b"secret"

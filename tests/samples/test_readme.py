"""README: its figures are those of docs/performance.md, and its commands those that tests type at an engine."""

import os
import re

import pytest

from tests.image.people import PASSWORD, RUN, USER
from tests.processes import SOURCE_TREE
from tests.samples.test_samples import blocks

README = SOURCE_TREE / "README.md"
PERFORMANCE = (SOURCE_TREE / "docs/performance.md").read_text()
BEGIN, END = "<!-- figures -->\n", "<!-- /figures -->"
_HEAD = "| work | pyregistry | CNCF 3.1.1 | ratio |\n|---|---|---|---|\n"
# The name of a row of README, and the one that docs/performance.md has.
FIGURES = {
    "manifest GET, 16 connections": "manifest GET by tag, 16 connections",
    "manifest GET with a password (bcrypt cost 10)": "the same with htpasswd, bcrypt cost 10, 16 connections",
    "HEAD of a blob, 16 connections": "HEAD blob, 16 connections",
    "push of 1 GiB": "push one blob of 1 GiB (POST, PATCH chunked, PUT)",
    "push of 4 blobs of 256 MiB at once": "push 4 blobs of 256 MiB at once",
    "pull of 1 GiB": "pull one blob of 1 GiB",
    "crane push, 100 layers of 10 KiB": "crane push, 100 layers of 10 KiB",
    "docker push, 8 layers of 128 MiB": "docker push, 8 layers of 128 MiB",
    "docker pull, 8 layers of 128 MiB": "docker pull, 8 layers of 128 MiB",
    "peak of memory, 8 pushes of 1 GiB": "peak of memory, 8 pushes of 1 GiB at once, all processes",
    "start to first answer": "start to first answer, 100,000 repositories",
}


def _row(label: str, title: str) -> str:
    [found] = re.findall(rf"^\| {re.escape(title)} \| (.+?) \| (.+?) \| (.+?) \|", PERFORMANCE, re.MULTILINE)
    return f"| {label} | {' | '.join(found)} |\n"


def test_figures_are_those_that_were_measured() -> None:
    """PYREGISTRY_WRITE_DOCS=1 writes them."""
    before, rest = README.read_text().split(BEGIN)
    table, after = rest.split(END)
    written = _HEAD + "".join(_row(label, title) for label, title in FIGURES.items())
    if os.environ.get("PYREGISTRY_WRITE_DOCS") == "1":
        README.write_text(f"{before}{BEGIN}{written}{END}{after}")
        return
    assert table == written


def test_images_that_the_quick_start_pushes_are_those_that_it_pulls() -> None:
    [start] = [block for block in blocks(README, "sh") if "docker push 127.0.0.1" in block]
    lines = [line.split() for line in start.splitlines()]
    assert [line[1] for line in lines] == ["pull", "tag", "push", "rmi", "pull"]
    source, name = lines[1][2:]
    assert [line[2:] for line in lines] == [[source], [source, name], [name], [source, name], [name]]


@pytest.mark.parametrize(
    "line",
    [
        "docker run -d -p 5000:5000 --restart=always --name registry -v /srv/registry:/var/lib/registry pyregistry",
        "rm -fr /srv/registry/docker/registry/v2/repositories/nginx",
        "docker exec registry registry garbage-collect /etc/docker/registry/config.yml",
        f"htpasswd -Bbn {USER} {PASSWORD} >> htpasswd",
        " ".join(RUN.split()).format(volume="/srv/registry", auth="/srv/auth", image="pyregistry"),
        "docker login 127.0.0.1:5000",
    ],
)
def test_a_command_that_people_know_is_in_its_words(line: str) -> None:
    commands = "".join(blocks(README, "sh")).replace("\\\n", " ").splitlines()
    assert line in [" ".join(command.split()) for command in commands]

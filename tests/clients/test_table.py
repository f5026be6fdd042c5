"""The table of clients in docs/conformance.md."""

import subprocess
import sys

from tests.client_table import CLIENTS, PAGE
from tests.clients.install import NODE
from tests.processes import SOURCE_TREE
from tests.versions import COMMANDS, PYTHON


def test_page_names_the_tests_of_every_client_and_no_others() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.client_table"], cwd=SOURCE_TREE, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{PAGE.name}: make conformance-table\n{done.stdout}{done.stderr}"


def test_every_client_tells_its_version() -> None:
    assert {*COMMANDS, *PYTHON, *NODE} == set(CLIENTS)

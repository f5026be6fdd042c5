"""The virtual environments of `make test-versions`."""

import sys
from pathlib import Path

from tests.dependencies.matrix import make_environment


def test_an_environment_is_made_again_only_for_other_dependencies(tmp_path: Path) -> None:
    """A package that is the environment's own already, so that it is made without the network."""
    source, made = tmp_path / "pyproject.toml", tmp_path / "venv"
    source.write_text("[project]\n")
    make_environment(Path(sys.executable), made, ["pip"], source)
    kept = made / "kept"
    kept.touch()
    make_environment(Path(sys.executable), made, ["pip"], source)
    assert kept.exists()
    source.write_text("[project]\nname = 'other'\n")
    make_environment(Path(sys.executable), made, ["pip"], source)
    assert not kept.exists()

"""Derives the spelling of keys from the names of fields."""


def run_together(name: str) -> str:
    """Return a field's name as the CNCF registry spells keys: `root_directory` is `rootdirectory`."""
    return name.replace("_", "")

"""Unknown keys: the key that was meant, and mistakes that would open the registry.

The CNCF registry ignores unknown keys, so configs in use have them. Most are harmless. One that was meant to keep
callers out is not, so it is an error.
"""

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches

OWN = "pyregistry"
"""Our section: the CNCF registry ignores it, so configs written for that registry do not have it."""
AUTH = "auth"
_GUARDS = frozenset({AUTH, OWN, "http.tls", "http.tls.clientcas", "http.tls.clientauth"})
"""Keys whose loss lets callers in, as do all below `auth`."""
_MISPLACED = {
    AUTH: AUTH,
    OWN: OWN,
    "htpasswd": "auth.htpasswd",
    "token": "auth.token",
    "silly": "auth.silly",
    "access": "pyregistry.access",
    "groups": "pyregistry.groups",
}
"""Keys of other sections that are at the top by mistake."""
_MISPLACED_ANYWHERE = frozenset({AUTH, OWN, "htpasswd"})
"""Those of them that cannot belong to any other section."""
_OF_ANCHORS = ("x-", ".", "_")
"""Prefixes of keys at the top that by custom hold anchors: `x-auth: &auth`."""
_CLOSE = 0.75
"""Similarity of two words above which one is a typing error of the other."""


def guess(key: str, known: Iterable[str]) -> str | None:
    """Return the known key that was meant, None if nothing is similar."""
    plain = {_plain(each): each for each in known}
    word = _plain(key)
    if word in plain:
        return plain[word]
    typed = [each for each in plain if is_close(word, each)]
    close = get_close_matches(word, typed, n=1) or typed or get_close_matches(word, plain, n=1)
    return plain[close[0]] if close else None


def is_close(key: str, name: str) -> bool:
    """Return True if one of the two words is a typing error of the other."""
    word, wanted = _plain(key), _plain(name)
    if len(word) == len(wanted):
        differences = sum(first != second for first, second in zip(word, wanted, strict=True))
        return differences <= 1 or (sorted(word) == sorted(wanted) and differences <= 2)  # two letters swapped
    matcher = SequenceMatcher(None, word, wanted, autojunk=False)
    return matcher.real_quick_ratio() > _CLOSE and matcher.quick_ratio() > _CLOSE and matcher.ratio() > _CLOSE


def meant(path: str, key: str, known: Iterable[str]) -> str | None:
    """Return the full key that an unknown one of the section `path` means; the empty path is the file."""
    misplaced = _misplaced(path, key)
    if misplaced is not None:
        return misplaced
    found = guess(key, known)
    return None if found is None else join(path, found)


def opens_the_registry(path: str, key: str, wanted: str | None) -> bool:
    """Return True if ignoring this key of the section `path` may let callers in; see `meant`."""
    if path == OWN or path.startswith(f"{OWN}."):
        return True
    if wanted is None or (not path and key.lower().startswith(_OF_ANCHORS)):
        return False
    if wanted in _MISPLACED.values() and _misplaced(path, key) == wanted:
        return True
    return (wanted in _GUARDS or wanted.startswith(f"{AUTH}.")) and is_close(key, wanted.rpartition(".")[2])


def join(path: str, key: str) -> str:
    """Return the dotted name of a section's key."""
    return f"{path}.{key}" if path else key


def _misplaced(path: str, key: str) -> str | None:
    word = _plain(key)
    if path:
        return _MISPLACED[word] if word in _MISPLACED_ANYWHERE else None
    if word == "accesslog":  # belongs to `log`, but is similar to `access`
        return None
    if word.startswith(AUTH):  # authentication, authorization
        return AUTH
    return next((place for name, place in _MISPLACED.items() if is_close(word, name)), None)


def _plain(key: str) -> str:
    """Return the key in lower case, without hyphens and underscores."""
    return key.lower().replace("-", "").replace("_", "")

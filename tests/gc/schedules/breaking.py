"""The changes that break the code under test."""

import importlib
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

from pyregistry.storage.seams.rules import GRACE_SECONDS
from tests.mutating import mutate


@dataclass(frozen=True)
class Mutant:
    """`text` in the source of `module` becomes `broken`; schedules of `scenario` must break one of `promises`.

    Both are code as `mutate` takes it: comments do not count.
    """

    name: str
    module: str
    text: str
    broken: str
    promises: str
    scenario: str
    more: tuple[tuple[str, str, str], ...] = ()
    """Further changes that belong to it: module, text, broken."""
    unseen: bool = False
    """On a file system that shows no touch."""
    seed: int = 1
    """Another one finds it sooner, where the first takes hundreds of schedules."""

    @property
    def grace(self) -> float:
        """Safety needs none, and without one no refused push hides what is sought."""
        return 0.0 if self.promises == "S" else GRACE_SECONDS

    def __str__(self) -> str:
        return self.name

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The code that is under test is broken meanwhile: the functions stay, and do something else."""
        originals: list[tuple[FunctionType, CodeType]] = []
        changes: dict[str, list[tuple[str, str]]] = {}
        for module, text, broken in ((self.module, self.text, self.broken), *self.more):
            changes.setdefault(module, []).append((text, broken))
        try:
            for module, replacements in changes.items():
                originals += _break(
                    importlib.import_module(module if module.startswith("tests.") else f"pyregistry.{module}"),
                    replacements,
                )
            yield
        finally:
            for function, code in originals:
                function.__code__ = code


def _break(module: ModuleType, replacements: list[tuple[str, str]]) -> list[tuple[FunctionType, CodeType]]:
    assert module.__file__ is not None
    tree = mutate(Path(module.__file__).read_text(), replacements)
    changed = ModuleType(module.__name__)
    exec(compile(tree, module.__file__, "exec"), changed.__dict__)
    functions, others = _functions(module), _functions(changed)
    originals = [(functions[name], functions[name].__code__) for name in functions]
    for name, function in functions.items():
        function.__code__ = others[name].__code__
    return originals


def _functions(module: ModuleType) -> dict[str, FunctionType]:
    """All that the module itself defines, also in its classes, without their decorators."""
    found = {}
    classes = [each for each in vars(module).values() if inspect.isclass(each) and each.__module__ == module.__name__]
    for owner in (module, *classes):
        for value in vars(owner).values():
            function = inspect.unwrap(getattr(value, "__func__", value))
            if inspect.isfunction(function) and function.__module__ == module.__name__ and not function.__closure__:
                found[function.__qualname__] = function
    return found

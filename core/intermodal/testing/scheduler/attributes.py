"""Shared attributes: those of an engine's classes that change after construction.

Compiled, such an attribute of reference type is read with acquire and written with release by any thread; so
here each access is a step. Which they are is read from the sources: an attribute that is assigned anywhere
but in the ``__init__`` of its class.

May import only atomics and this package.
"""

from __future__ import annotations

import ast
import functools
import inspect
import sys
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Final

from intermodal import atomics
from intermodal.atomics import ACQUIRE, RELEASE
from intermodal.testing.scheduler.execution import READ, WRITE
from intermodal.testing.scheduler.memory_model import OlderValues

if TYPE_CHECKING:
    from collections.abc import Iterator

    from intermodal.testing.scheduler.execution import Execution

_MISSING: Final = object()
#: Modules of which an engine uses a function or class.
_ENGINE_NAMES: Final = {"intermodal.atomics", "intermodal.memory", "intermodal.maps"}


def engine_modules() -> list[ModuleType]:
    """Return the loaded modules that may hold engines: users of atomics, blocks or the contract of maps."""
    return [
        module
        for name, module in list(sys.modules.items())
        if isinstance(module, ModuleType)
        and not name.startswith("intermodal.")
        and _uses_engine_names(module)
    ]


def _uses_engine_names(module: ModuleType) -> bool:
    return any(
        value is atomics or (isinstance(value, FunctionType | type) and value.__module__ in _ENGINE_NAMES)
        for value in list(vars(module).values())
    )


@functools.cache
def changing_attributes(module: ModuleType) -> dict[type, set[str]]:
    """Return the classes of *module* and which of their attributes are assigned outside ``__init__``."""
    classes = {
        value.__name__: value
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__
    }
    if not classes:
        return {}
    tree = ast.parse(inspect.getsource(module))
    assigned = _assigned_names(tree)
    found: dict[type, set[str]] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name in classes:
            own = _declared_names(node) & assigned
            if own:
                found[classes[node.name]] = own
    return found


def _assigned_names(tree: ast.Module) -> set[str]:
    """Return the names of attributes that are assigned outside every ``__init__``."""
    names: set[str] = set()

    class Visitor(ast.NodeVisitor):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            if node.name != "__init__":
                self.generic_visit(node)

        def visit_Attribute(self, node: ast.Attribute) -> None:
            if isinstance(node.ctx, ast.Store):
                names.add(node.attr)
            self.generic_visit(node)

    Visitor().visit(tree)
    return names


def _declared_names(node: ast.ClassDef) -> set[str]:
    """Return the attributes that a class declares: in its body, or by assigning to them in ``__init__``."""
    names = {
        statement.target.id
        for statement in node.body
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
    }
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            names |= {
                target.attr
                for target in ast.walk(statement)
                if isinstance(target, ast.Attribute) and isinstance(target.ctx, ast.Store)
            }
    return names


class SharedAttribute:
    """An attribute each access of which is a step; kept where it was, in the object's ``__dict__``."""

    def __init__(self, name: str, default: Any, execution: Execution, older: OlderValues | None) -> None:
        self.name, self.default = name, default
        self.execution, self.older = execution, older

    def _location(self, instance: Any) -> tuple[str, int]:
        self.execution.keep(instance)  # or another object could get its id
        return (self.name, id(instance))

    def _value(self, instance: Any) -> Any:
        value = instance.__dict__.get(self.name, self.default)
        if value is _MISSING:
            raise AttributeError(f"{type(instance).__name__!r} object has no attribute {self.name!r}")
        return value

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self.default
        if self.execution.current is None:
            return self._value(instance)
        location = self._location(instance)
        self.execution.point(READ, location)
        value = self._value(instance)
        return value if self.older is None else self.older.read(location, ACQUIRE, value)

    def __set__(self, instance: Any, value: Any) -> None:
        if self.execution.current is None:
            instance.__dict__[self.name] = value
            return
        location = self._location(instance)
        self.execution.point(WRITE, location)
        old = instance.__dict__.get(self.name, self.default)
        instance.__dict__[self.name] = value
        if value is not old:
            self.execution.changed(location)
        if self.older is not None:
            self.older.write(location, RELEASE, old, value)


@contextmanager
def shared_attributes(
    modules: list[ModuleType], execution: Execution, older: OlderValues | None
) -> Iterator[None]:
    """Make each access of a changing attribute of the classes of *modules* a step, for the duration."""
    replaced: list[tuple[type, str, Any]] = []
    try:
        for module in modules:
            for owner, names in changing_attributes(module).items():
                for name in names:
                    before = owner.__dict__.get(name, _MISSING)
                    if hasattr(before, "__set__"):
                        continue  # a slot, or a property
                    replaced.append((owner, name, before))
                    setattr(owner, name, SharedAttribute(name, before, execution, older))
        yield
    finally:
        for owner, name, before in replaced:
            if before is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, before)

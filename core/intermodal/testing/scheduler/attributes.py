"""Shared attributes: those of an engine's classes that change after construction, or hold what changes.

Compiled, an attribute of reference type is read with acquire and written with release by any thread; so here
each access is a step. Which they are is read from the sources: an attribute that is assigned anywhere but in
the ``__init__`` of its class.

A dict, list, set or deque that ``__init__`` makes is used by operations each of which is atomic, and a step.

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
from intermodal.atomics import ACQ_REL, ACQUIRE, RELEASE
from intermodal.testing.scheduler.execution import READ, WRITE
from intermodal.testing.scheduler.memory_model import OlderValues

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from intermodal.testing.scheduler.execution import Execution

_MISSING: Final = object()
#: Where objects with shared attributes have the numbers that tell them apart.
_NUMBER: Final = "_scheduled_number"
#: Modules of which an engine uses a function or class.
_ENGINE_NAMES: Final = {
    "intermodal.atomics",
    "intermodal.memory",
    "intermodal.maps",
    "intermodal.reclamation",
    "intermodal.tables",
    "intermodal.words",
}
#: The modules of the package itself that are ones.
_OWN_ENGINES: Final = ("intermodal.reclamation", "intermodal.tables", "intermodal.words")
_CONTAINERS: Final = {"dict", "list", "set", "deque"}
#: What does not change a container.
_READING: Final = {"get", "copy", "keys", "values", "items", "count", "index"}


def engine_modules() -> list[ModuleType]:
    """Return the loaded modules that may hold engines: users of atomics, blocks or a contract of engines."""
    return [
        module
        for name, module in list(sys.modules.items())
        if isinstance(module, ModuleType)
        and (name in _OWN_ENGINES or not name.startswith("intermodal."))
        and _uses_engine_names(module)
    ]


def _uses_engine_names(module: ModuleType) -> bool:
    return any(
        value is atomics or (isinstance(value, FunctionType | type) and value.__module__ in _ENGINE_NAMES)
        for value in list(vars(module).values())
    )


@functools.cache
def shared_names(module: ModuleType) -> dict[type, tuple[set[str], set[str]]]:
    """Return the classes of *module*, of each the attributes that change and those that hold containers."""
    classes = {
        value.__name__: value
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__
    }
    if not classes:
        return {}
    tree = ast.parse(inspect.getsource(module))
    assigned = _assigned_names(tree)
    found: dict[type, tuple[set[str], set[str]]] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name in classes:
            changing = _declared_names(node) & assigned
            containers = _container_names(node) - changing
            if changing or containers:
                found[classes[node.name]] = changing, containers
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
    return names | {
        target.attr
        for target in ast.walk(_init_of(node))
        if isinstance(target, ast.Attribute) and isinstance(target.ctx, ast.Store)
    }


def _init_of(node: ast.ClassDef) -> ast.AST:
    """Return the ``__init__`` of a class, or something empty."""
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            return statement
    return ast.Pass()


def _container_names(node: ast.ClassDef) -> set[str]:
    """Return the attributes to which ``__init__`` of a class assigns a new container."""
    return {
        target.attr
        for statement in ast.walk(_init_of(node))
        if isinstance(statement, ast.Assign | ast.AnnAssign) and _makes_container(statement.value)
        for target in (statement.targets if isinstance(statement, ast.Assign) else [statement.target])
        if isinstance(target, ast.Attribute)
    }


def _makes_container(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Name) and value.func.id in _CONTAINERS
    return isinstance(value, ast.Dict | ast.List | ast.Set)


class SharedAttribute:
    """An attribute each access of which is a step; kept where it was, in the object's ``__dict__``."""

    def __init__(self, name: str, default: Any, execution: Execution, older: OlderValues | None) -> None:
        self.name, self.default = name, default
        self.execution, self.older = execution, older

    def _location(self, instance: Any) -> tuple[str, int]:
        # A number of its own in this run: another object may get its id, and to keep it alive would hide that
        # a table is freed too early.
        run, number = instance.__dict__.get(_NUMBER, (None, 0))
        if run is not self.execution:
            number = self.execution.new_number()
            instance.__dict__[_NUMBER] = (self.execution, number)
        return (self.name, number)

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


class SharedContainer(SharedAttribute):
    """An attribute that holds a container; whoever looks at it gets one each operation of which is a step."""

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None or self.execution.current is None:
            return super().__get__(instance, owner)
        location = self._location(instance)
        return _SteppingContainer(self._value(instance), lambda changes: self._step(location, changes))

    def _step(self, location: tuple[str, int], changes: bool) -> None:
        self.execution.point(WRITE if changes else READ, location)
        if changes:
            self.execution.changed(location)
            if self.older is not None:
                self.older.update(location, ACQ_REL, None, object())
        elif self.older is not None:
            self.older.read_newest(location)


class _SteppingContainer:
    """A container; *step* is called before each operation, and told whether that may change it."""

    def __init__(self, container: Any, step: Callable[[bool], None]) -> None:
        self._container, self._step = container, step

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._container, name)

        def operation(*arguments: Any) -> Any:
            self._step(name not in _READING)
            return method(*arguments)

        return operation

    def __len__(self) -> int:
        self._step(False)
        return len(self._container)

    def __contains__(self, value: object) -> bool:
        self._step(False)
        return value in self._container

    def __iter__(self) -> Iterator[Any]:
        self._step(False)
        return iter(self._container)

    def __getitem__(self, key: Any) -> Any:
        self._step(False)
        return self._container[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self._step(True)
        self._container[key] = value

    def __delitem__(self, key: Any) -> None:
        self._step(True)
        del self._container[key]


@contextmanager
def shared_attributes(
    modules: list[ModuleType], execution: Execution, older: OlderValues | None
) -> Iterator[None]:
    """Make each access of a shared attribute of the classes of *modules* a step, for the duration."""
    replaced: list[tuple[type, str, Any]] = []

    def replace(owner: type, names: set[str], kind: type[SharedAttribute]) -> None:
        for name in names:
            before = owner.__dict__.get(name, _MISSING)
            if hasattr(before, "__set__"):
                continue  # a slot, or a property
            replaced.append((owner, name, before))
            setattr(owner, name, kind(name, before, execution, older))

    try:
        for module in modules:
            for owner, (changing, containers) in shared_names(module).items():
                replace(owner, changing, SharedAttribute)
                replace(owner, containers, SharedContainer)
        yield
    finally:
        for owner, name, before in replaced:
            if before is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, before)

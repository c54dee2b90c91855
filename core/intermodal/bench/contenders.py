"""What a benchmark can measure: every installed backend, and the peers, each behind one small record.

How they are treated alike, at 50 ns per operation:

- Only subscripts are used: ``m[key]``, ``m[key] = value``, ``del m[key]``. They are slots, the same bytecode
  for all, and all that the peers have in common (``ft_utils`` 0.1 has no ``get``, ``cereggii`` no ``in``). A
  method call costs a third of a look-up more, and not the same for a builtin and a compiled class.
- A contender whose threads should use a view of their own gets it: ``handle()``, cereggii's ``get_handle()``.
- ``dict + Lock`` is what people write, ``with lock:`` around the statement, in the loop itself; a class
  around it would add a Python call to each operation.
- Each contender has its own code object. The interpreter specializes bytecode in place for the types it has
  seen; in a shared loop whoever runs first would decide how fast the others are.
- Nothing is told how many entries to expect: dict cannot be.

Loading a plugin or a peer may turn the GIL back on for the whole process. On a free-threaded build without
it, that is tried in a process of its own first, and who would do so is left out, with a note.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import platform
import subprocess
import sys
import threading
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs

from intermodal.bench.workloads import READ, WRITE, BenchmarkError, Run, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from intermodal.capabilities import BackendSpec, Capabilities

T = TypeVar("T")

#: The contender that all others are compared with.
BASELINE: Final = "dict"


class WrongResult(Exception):
    """A read did not return a value equal to the key."""

    def __init__(self, key: str, found: object) -> None:
        super().__init__(key, found)
        self.key = key
        self.found = found


class LockedDict:
    """dict with a Lock for everybody; the measured loop takes the two apart."""

    def __init__(self) -> None:
        self.data: dict[Any, Any] = {}
        self.lock = threading.Lock()

    def __getitem__(self, key: object) -> Any:
        with self.lock:
            return self.data[key]


def _run(m: Any, runs: list[Run]) -> None:
    for kind, keys in runs:
        if kind == READ:
            for key in keys:
                found = m[key]
                if found != key:
                    raise WrongResult(key, found)
        elif kind == WRITE:
            for key in keys:
                m[key] = key
        else:
            for key in keys:
                del m[key]


def _run_locked(m: LockedDict, runs: list[Run]) -> None:
    data, lock = m.data, m.lock
    for kind, keys in runs:
        if kind == READ:
            for key in keys:
                with lock:
                    found = data[key]
                if found != key:
                    raise WrongResult(key, found)
        elif kind == WRITE:
            for key in keys:
                with lock:
                    data[key] = key
        else:
            for key in keys:
                with lock:
                    del data[key]


def own_code(function: Callable[..., T]) -> Callable[..., T]:
    """Return a function that does the same with bytecode of its own, which nobody else's types specialize."""
    assert isinstance(function, types.FunctionType)
    return types.FunctionType(function.__code__.replace(), function.__globals__, function.__name__)


@attrs.frozen
class Contender:
    """Something to measure.

    Attributes:
        name: how it is called in the report.
        version: of what provides it.
        make: returns a new empty map.
        view: returns a context manager of what one thread uses the map through.
        capabilities: what it promises, if it is a backend.
        lacks: what a program that has a dict would miss, if it is no complete mapping.
        by_reference: whether it gives back the very objects that were put in.
        run: does runs of operations to a view, asserting every result; raises WrongResult, or KeyError.
    """

    name: str
    version: str
    make: Callable[[], Any]
    view: Callable[[Any], AbstractContextManager[Any]] = contextlib.nullcontext
    capabilities: Capabilities | None = None
    lacks: str = ""
    by_reference: bool = True
    run: Callable[[Any, list[Run]], None] = attrs.field(factory=lambda: own_code(_run), eq=False, repr=False)


@attrs.frozen
class Field:
    """Who is measured.

    Attributes:
        contenders: in the order of the report.
        notes: why who else is not, a sentence each.
    """

    contenders: tuple[Contender, ...]
    notes: tuple[str, ...]


def gil_enabled() -> bool:
    """Return whether this process runs with the GIL."""
    check: Callable[[], bool] = getattr(sys, "_is_gil_enabled", lambda: True)
    return check()


def enter(backends: Sequence[str] | None = None, *, peers: bool = True) -> Field:
    """Return the contenders: the installed *backends*, or those named; dict; and the other *peers* if wanted.

    Raises: BenchmarkError if a backend that was named is not installed or is broken.
    """
    entered: list[Contender] = []
    notes: list[str] = []
    for spec in _chosen(backends, notes):
        try:
            _check_gil(spec.name, f"import intermodal; intermodal.open_map({spec.name!r})")
            entered.append(_backend(spec))
        except BenchmarkError as error:
            if backends is not None:
                raise
            notes.append(str(error))
    entered.append(Contender(BASELINE, platform.python_version(), dict))
    if peers:
        entered.append(
            Contender("dict + Lock", platform.python_version(), LockedDict, run=own_code(_run_locked))
        )
        for module, make in (("cereggii", _cereggii), ("ft_utils", _ft_utils)):
            if importlib.util.find_spec(module) is None:
                notes.append(f"{module} is not installed")
                continue
            try:
                _check_gil(module, f"import {module}")
                entered.append(make())
            except BenchmarkError as error:
                notes.append(str(error))
            except (ImportError, AttributeError) as error:
                notes.append(f"{module} is left out: {error}")
    return Field(tuple(entered), tuple(notes))


def _chosen(names: Sequence[str] | None, notes: list[str]) -> list[BackendSpec]:
    from intermodal import backends

    installed = {spec.name: spec for spec in backends()}
    if names is None:
        notes += [spec.error for spec in installed.values() if spec.error]
        return [spec for spec in installed.values() if not spec.error]
    chosen = []
    for name in dict.fromkeys(names):
        if name not in installed:
            raise BenchmarkError(f"no backend {name!r} is installed{nearest(name, installed)}")
        if installed[name].error:
            raise BenchmarkError(str(installed[name].error))
        chosen.append(installed[name])
    return chosen


def _backend(spec: BackendSpec) -> Contender:
    from intermodal import IntermodalError, open_map

    try:
        with open_map(spec.name).handle():
            pass
    except IntermodalError as error:
        raise BenchmarkError(str(error)) from error
    assert spec.capabilities is not None
    return Contender(
        spec.name,
        spec.version,
        lambda: open_map(spec.name),
        lambda m: m.handle(),
        capabilities=spec.capabilities,
        by_reference=spec.capabilities.shared == "threads",
    )


def _cereggii() -> Contender:
    cereggii = importlib.import_module("cereggii")
    return Contender(
        "cereggii.AtomicDict",
        importlib.metadata.version("cereggii"),
        cereggii.AtomicDict,
        lambda m: contextlib.nullcontext(m.get_handle()),
        lacks="'in', iteration, pop, setdefault, update, clear and copy",
    )


def _ft_utils() -> Contender:
    concurrency = importlib.import_module("ft_utils.concurrency")
    return Contender(
        "ft_utils.ConcurrentDict",
        importlib.metadata.version("ft_utils"),
        concurrency.ConcurrentDict,
        lacks="iteration that is safe while others write, popitem, copy and views",
    )


def _check_gil(name: str, loading: str) -> None:
    """Raise BenchmarkError if *loading* would turn on the GIL that this process runs without."""
    if gil_enabled():
        return
    probe = f"{loading}; import sys; print(sys._is_gil_enabled())"
    done = subprocess.run(  # noqa: S603  (our own interpreter and text)
        [sys.executable, "-W", "ignore", "-c", probe], capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise BenchmarkError(f"{name} is left out: loading it fails: {reason}")
    if done.stdout.split()[-1:] == ["True"]:
        raise BenchmarkError(f"{name} is left out: loading it turns the GIL back on for the whole process")

"""What a benchmark can measure: every installed backend, and the peers, each behind one small record.

How they are treated alike, at 50 ns per operation:

- Only subscripts are used: ``m[key]``, ``m[key] = value``, ``del m[key]``. They are slots, the same bytecode
  for all, and all that the peers have in common (``ft_utils`` 0.1 has no ``get``, ``cereggii`` no ``in``). A
  method call costs a third of a look-up more, and not the same for a builtin and a compiled class.
- A contender whose threads should use a view of their own gets it: ``handle()``, cereggii's ``get_handle()``.
- ``dict + Lock`` and the like are what people write, ``with lock:`` around the statement, in the loop itself;
  a class around it would add a Python call to each operation.
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
from array import array
from collections.abc import Callable, Mapping
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs

from intermodal.bench.workloads import READ, WRITE, BenchmarkError, Run, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from intermodal.capabilities import BackendSpec, Capabilities

T = TypeVar("T")

#: The contender that all others are compared with.
BASELINE: Final = "dict"

#: The peer that has its keys in order.
SORTED: Final = "SortedDict + Lock"


class WrongResult(Exception):
    """A read did not return a value equal to the key."""

    def __init__(self, key: object, found: object) -> None:
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


class LockedSortedDict(LockedDict):
    """sortedcontainers.SortedDict the same way, with the names that ordered backends have for what it can."""

    data: Any

    def __init__(self) -> None:
        super().__init__()
        self.data = importlib.import_module("sortedcontainers").SortedDict()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.data)

    def range(self, first: Any, end: Any, *, reverse: bool = False) -> list[Any]:
        """Return the keys from *first* up to, and without, *end*: a list, made under the lock."""
        with self.lock:
            return list(self.data.irange(first, end, (True, False), reverse))

    def floor(self, key: Any) -> Any:
        """Return the largest key that is not above *key*."""
        with self.lock:
            return self.data.keys()[self.data.bisect_right(key) - 1]

    def first(self) -> Any:
        """Return the smallest key."""
        with self.lock:
            return self.data.keys()[0]


class LockedPersistentMap:
    """immutables.Map: readers take what is there, writers replace it in turn."""

    def __init__(self) -> None:
        self.data: Any = importlib.import_module("immutables").Map()
        self.lock = threading.Lock()

    def __getitem__(self, key: object) -> Any:
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


def _run_timed(m: Any, runs: list[Run], reads: array[int], writes: array[int]) -> None:
    clock = perf_counter_ns
    for kind, keys in runs:
        if kind == READ:
            for key in keys:
                begin = clock()
                found = m[key]
                end = clock()
                reads.append(end - begin)
                if found != key:
                    raise WrongResult(key, found)
        elif kind == WRITE:
            for key in keys:
                begin = clock()
                m[key] = key
                end = clock()
                writes.append(end - begin)
        else:
            for key in keys:
                begin = clock()
                del m[key]
                end = clock()
                writes.append(end - begin)


def _run_locked_timed(m: LockedDict, runs: list[Run], reads: array[int], writes: array[int]) -> None:
    data, lock, clock = m.data, m.lock, perf_counter_ns
    for kind, keys in runs:
        if kind == READ:
            for key in keys:
                begin = clock()
                with lock:
                    found = data[key]
                end = clock()
                reads.append(end - begin)
                if found != key:
                    raise WrongResult(key, found)
        elif kind == WRITE:
            for key in keys:
                begin = clock()
                with lock:
                    data[key] = key
                end = clock()
                writes.append(end - begin)
        else:
            for key in keys:
                begin = clock()
                with lock:
                    del data[key]
                end = clock()
                writes.append(end - begin)


def _run_persistent(m: LockedPersistentMap, runs: list[Run]) -> None:
    lock = m.lock
    for kind, keys in runs:
        if kind == READ:
            for key in keys:
                found = m.data[key]
                if found != key:
                    raise WrongResult(key, found)
        elif kind == WRITE:
            for key in keys:
                with lock:
                    m.data = m.data.set(key, key)
        else:
            for key in keys:
                with lock:
                    m.data = m.data.delete(key)


def _run_persistent_timed(
    m: LockedPersistentMap, runs: list[Run], reads: array[int], writes: array[int]
) -> None:
    lock, clock = m.lock, perf_counter_ns
    for kind, keys in runs:
        if kind == READ:
            for key in keys:
                begin = clock()
                found = m.data[key]
                end = clock()
                reads.append(end - begin)
                if found != key:
                    raise WrongResult(key, found)
        elif kind == WRITE:
            for key in keys:
                begin = clock()
                with lock:
                    m.data = m.data.set(key, key)
                end = clock()
                writes.append(end - begin)
        else:
            for key in keys:
                begin = clock()
                with lock:
                    m.data = m.data.delete(key)
                end = clock()
                writes.append(end - begin)


def _nothing(m: object) -> None:
    """Leave a map as it is: whatever was written to it is visible."""


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
        settle: makes what was written to the map visible to all, where that is not so at once.
        options: the keywords of ``open_map``, if it is a backend.
        run: does runs of operations to a view, asserting every result; raises WrongResult, or KeyError.
        run_timed: does the same, appending the nanoseconds that each took to one of two arrays: of the reads,
            and of the operations that change the map.
    """

    name: str
    version: str
    make: Callable[[], Any]
    view: Callable[[Any], AbstractContextManager[Any]] = contextlib.nullcontext
    capabilities: Capabilities | None = None
    lacks: str = ""
    by_reference: bool = True
    settle: Callable[[Any], object] = _nothing
    options: Mapping[str, str] = attrs.field(factory=dict)
    run: Callable[[Any, list[Run]], None] = attrs.field(factory=lambda: own_code(_run), eq=False, repr=False)
    run_timed: Callable[[Any, list[Run], array[int], array[int]], None] = attrs.field(
        factory=lambda: own_code(_run_timed), eq=False, repr=False
    )


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
        entered.append(_locked("dict + Lock", platform.python_version(), LockedDict))
        for module, make in _PEERS.items():
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


def find(name: str) -> Contender:
    """Return the contender that :func:`enter` would enter under this name.

    Raises: BenchmarkError if nobody has it here.
    """
    from intermodal import backends

    is_backend = name in [spec.name for spec in backends()]
    field = enter([name] if is_backend else [], peers=not is_backend)
    entered = {each.name: each for each in field.contenders}
    if name not in entered:
        raise BenchmarkError(f"nothing of the name {name!r} can be measured{nearest(name, entered)}")
    return entered[name]


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


def with_options(name: str, options: Mapping[str, str]) -> Contender:
    """Return the backend *name*, its maps opened with these keywords.

    Raises: BenchmarkError if it is not installed, is broken, turns the GIL on, or does not take them.
    """
    (spec,) = _chosen([name], [])
    arguments = ", ".join([repr(name), *(f"{keyword}={value!r}" for keyword, value in options.items())])
    _check_gil(name, f"import intermodal; intermodal.open_map({arguments})")
    return _backend(spec, **options)


def _backend(spec: BackendSpec, **options: Any) -> Contender:
    from intermodal import IntermodalError, open_map

    try:
        with open_map(spec.name, **options).handle():
            pass
    except IntermodalError as error:
        raise BenchmarkError(str(error)) from error
    assert spec.capabilities is not None
    return Contender(
        spec.name,
        spec.version,
        lambda: open_map(spec.name, **options),
        lambda m: m.handle(),
        capabilities=spec.capabilities,
        by_reference=spec.capabilities.shared == "threads" and options.get("key_type", "object") == "object",
        options=options,
    )


def _locked(name: str, version: str, make: Callable[[], LockedDict]) -> Contender:
    return Contender(name, version, make, run=own_code(_run_locked), run_timed=own_code(_run_locked_timed))


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


def _immutables() -> Contender:
    return Contender(
        "immutables.Map + Lock",
        importlib.metadata.version("immutables"),
        LockedPersistentMap,
        run=_run_persistent,
        run_timed=_run_persistent_timed,
    )


def _sortedcontainers() -> Contender:
    return _locked(SORTED, importlib.metadata.version("sortedcontainers"), LockedSortedDict)


# Those that may be installed, by the module that has them.
_PEERS: Final[Mapping[str, Callable[[], Contender]]] = {
    "cereggii": _cereggii,
    "ft_utils": _ft_utils,
    "immutables": _immutables,
    "sortedcontainers": _sortedcontainers,
}

# What was tried and left the GIL off: a process for each is not cheap.
_harmless: Final[set[str]] = set()


def _check_gil(name: str, loading: str) -> None:
    """Raise BenchmarkError if *loading* would turn on the GIL that this process runs without."""
    if gil_enabled() or loading in _harmless:
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
    _harmless.add(loading)

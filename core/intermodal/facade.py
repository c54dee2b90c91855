"""What users call: :func:`open_map` makes a map, :func:`backends` lists what there is to choose from.

The same for sets, reclaimers and replicated structures. Chooses and checks arguments; knows nothing about any
backend but what it declares, and imports none.
"""

from __future__ import annotations

import difflib
import operator
import os
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import attrs

from intermodal import registry
from intermodal.capabilities import (
    FIELDS,
    TYPES,
    VALUE_TYPES,
    BackendSpec,
    MapBackend,
    MapRequest,
    ReclaimerSpec,
)
from intermodal.dispatch import LogMapper, plan_of
from intermodal.errors import BackendLoadError, BackendNotFound, IntermodalError, OptionError
from intermodal.maps import AnyMap, ConcurrentMap
from intermodal.reclamation import Reclaimer
from intermodal.replication import OpenedLog, ReplicationRequest
from intermodal.sets import ConcurrentSet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from intermodal.capabilities import Option

__all__ = ["backends", "open_map", "open_reclaimer", "open_set", "reclaimers", "replicate"]


def open_map(
    name: str | None = None,
    *,
    capacity: int | None = None,
    key_type: type | str = object,
    value_type: type | str | None = object,
    reclaimer: str | Reclaimer | None = None,
    **options: Any,
) -> AnyMap:
    """Return a new, empty concurrent map of the backend that is named, or that meets the requirements.

    Args:
        name: name of an installed backend. Without one, the requirements choose: of the backends that meet
            them all, the one that the environment variable ``INTERMODAL_BACKEND`` names, else the one of
            lowest rank. The variable overrides the default, so it never overrules a requirement.
        capacity: how many entries to expect; a hint.
        key_type: what keys are: ``object``, ``intermodal.int64``, ``intermodal.float64``, or a name of these.
        value_type: the same for values; None, or ``"none"``, for keys without values.
        reclaimer: name of the memory reclaimer, of which the map gets one of its own, or one made by
            :func:`open_reclaimer` for several maps; None leaves it to the backend.
        options: a keyword that is a field of :class:`intermodal.Capabilities` is a requirement, True or a
            level (None and False stand for "do not care"); any other is an option of the backend.

    Raises:
        BackendNotFound: the name is not installed, or nothing meets the requirements; says what fails where.
        BackendLoadError: the backend that was named, here or by the variable, is broken; says how.
        OptionError: an argument is unknown or has a value that it cannot have; says what is allowed.

    Choosing without a name loads the plugin of every installed backend once, by name only that one. Any
    number of threads may call it at once.

    >>> open_map("locked", capacity=1000)
    {}
    >>> open_map("lokced")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    intermodal.errors.BackendNotFound: no backend 'lokced' is installed; did you mean 'locked'? Installed: ...
    """
    requirements = {
        keyword: value
        for keyword, value in options.items()
        if keyword in FIELDS and value is not None and value is not False
    }
    request = MapRequest(
        capacity=_check_capacity(capacity),
        key_type=_type_name("key_type", key_type, TYPES),
        value_type=_type_name("value_type", value_type, VALUE_TYPES),
        reclaimer=_check_reclaimer(reclaimer),
    )
    needs: dict[str, object] = {
        "key_types": request.key_type,
        "value_types": request.value_type,
        "reclaimers": reclaimer.scheme.name if isinstance(reclaimer, Reclaimer) else request.reclaimer,
    }
    backend = _choose(requirements, needs) if name is None else _named(name, requirements, needs)
    own = {keyword: value for keyword, value in options.items() if keyword not in FIELDS}
    request = attrs.evolve(request, options=_complete(backend, own))
    try:
        opened = backend.open(request)
    except ImportError as cause:
        if isinstance(cause, IntermodalError):
            raise
        raise registry.maps.load_error(
            backend.name, f"opening it raised {type(cause).__name__}: {cause}"
        ) from cause
    if not isinstance(opened, ConcurrentMap):
        raise registry.maps.load_error(backend.name, f"opening it returned {opened!r}, not a ConcurrentMap")
    return opened


def open_set(
    name: str | None = None,
    *,
    key_type: type | str = object,
    **options: Any,
) -> ConcurrentSet[Any]:
    """Return a new, empty concurrent set: the keys of a map of the backend that is named, or chosen.

    Args:
        name: as for :func:`open_map`.
        key_type: what the values are: ``object``, or ``intermodal.int64`` where the backend has maps without
            values: then they are stored as raw words, and may be given and taken as arrays.
        options: ``capacity``, ``reclaimer``, requirements and options of the backend, as for
            :func:`open_map`.

    Raises: what :func:`open_map` raises.

    >>> seen = open_set("locked")
    >>> seen.insert("a"), seen.insert("a"), seen
    (True, False, ConcurrentSet({'a'}))
    """
    value_type = object if _type_name("key_type", key_type, TYPES) == "object" else None
    return ConcurrentSet(partial(open_map, name, key_type=key_type, value_type=value_type, **options))


def backends() -> tuple[BackendSpec, ...]:
    """Return the description of every installed backend, sorted by name, the broken ones included.

    Loads every plugin once, but no engine. Any number of threads may call it at once.

    >>> [spec.name for spec in backends() if spec.name == "locked"]
    ['locked']
    """
    return registry.map_specs()


def open_reclaimer(reclaimer: str | Reclaimer) -> Reclaimer:
    """Return a new reclaimer of that name; one that is a reclaimer already is returned as it is.

    Args:
        reclaimer: the name of an installed reclaimer, see :func:`reclaimers`.

    Raises:
        BackendNotFound: the name is not installed.
        BackendLoadError: the plugin of that name is broken; says how.
        OptionError: the argument is neither a name nor a reclaimer.

    Any number of threads may call it at once.

    >>> open_reclaimer("refcount").statistics().pending
    0
    """
    if isinstance(reclaimer, Reclaimer):
        return reclaimer
    if not isinstance(reclaimer, str):
        raise OptionError(f"a reclaimer is named by a str; got {reclaimer!r}")
    backend = registry.reclaimers.load(reclaimer)
    try:
        opened = backend.open()
    except ImportError as cause:
        fault = f"opening it raised {type(cause).__name__}: {cause}"
        raise registry.reclaimers.load_error(reclaimer, fault) from cause
    if not isinstance(opened, Reclaimer):
        raise registry.reclaimers.load_error(reclaimer, f"opening it returned {opened!r}, not a Reclaimer")
    return opened


def reclaimers() -> tuple[ReclaimerSpec, ...]:
    """Return the description of every installed reclaimer, sorted by name, the broken ones included.

    Loads every plugin of a reclaimer once. Any number of threads may call it at once.

    >>> [spec.name for spec in reclaimers() if spec.name == "refcount"]
    ['refcount']
    """
    return registry.reclaimer_specs()


def replicate(
    structure: Any,
    *,
    replicas: int | None = None,
    log: str = "memory",
    logs: int = 1,
    mapper: LogMapper | None = None,
    consistency: str = "linearizable",
    **options: Any,
) -> Any:
    """Return a concurrent, linearizable object with the methods of *structure*, which is a sequential one.

    Args:
        structure: a type or, to begin with its contents, an instance: of a standard type (dict, list, set,
            deque, Counter, OrderedDict, defaultdict), ``"heap"``, a class whose methods are marked ``@read``
            and ``@write``, or a :class:`intermodal.Dispatch`. An instance is copied.
        replicas: number of copies, each for some of the threads; None: one with the GIL, else one for each
            NUMA node.
        log: where changes get their order: ``"memory"``, or the name of an installed kind of log with an
            address, ``"file:///var/lib/books"``.
        logs: number of logs, for a :class:`intermodal.ConcurrentDispatch`.
        mapper: says which of the logs an operation belongs to.
        consistency: what reads see: ``"linearizable"``, all that was finished before they began;
            ``"session"``, all that the same handle has seen or done; ``"stale"``, some earlier moment.
        options: those of the engine and of the log.

    Returns: an object with the structure's methods, their results and exceptions, and ``execute``,
        ``execute_mut``, ``handle``, ``sync``, ``snapshot``, ``statistics``, ``add_replica``,
        ``remove_replica``; a context manager.

    Raises:
        OptionError: the structure cannot be replicated, or an argument has a value that it cannot have.
        BackendNotFound: there is no such kind of log.

    Methods run on each copy, so they must be deterministic, and must not use the replicated object itself.

    >>> scores = replicate(dict)
    >>> scores["ada"] = 3
    >>> scores.setdefault("ada", 0), scores.pop("bob", None), len(scores)
    (3, None, 1)
    """
    if mapper is not None and not isinstance(mapper, LogMapper):
        raise OptionError(f"mapper must be a LogMapper; got {mapper!r}")
    for name, number in (("logs", logs), ("replicas", replicas)):
        if number is not None and (not isinstance(number, int) or isinstance(number, bool) or number < 1):
            raise OptionError(f"{name} must be an int of at least 1; got {number!r}")
    if consistency not in ("linearizable", "session", "stale"):
        raise OptionError(f"consistency is 'linearizable', 'session' or 'stale'; got {consistency!r}")
    plan = plan_of(structure)
    if (logs > 1 or mapper is not None) and not plan.concurrent:
        raise OptionError(f"several logs, or a mapper, are for a ConcurrentDispatch; {plan.name} is none")
    if not isinstance(log, str):
        raise OptionError(f"log must be 'memory' or the name of a kind of log with an address; got {log!r}")
    scheme, _, address = log.partition("://")
    kind = registry.logs.load(scheme)
    engine = registry.engines.load("cnr" if plan.concurrent else "nr")
    known = [option.name for option in (*engine.options, *kind.options)]
    for keyword in options:
        if keyword not in known:
            raise OptionError(
                f"replicate() has no option {keyword!r} for these logs; options: {', '.join(known) or 'none'}"
            )
    own = _values(f"engine {engine.name!r}", engine.options, options)
    of_log = _values(f"log {kind.name!r}", kind.options, options)

    def open_log() -> OpenedLog:
        return kind.open(address, of_log)

    return engine.open(
        ReplicationRequest(
            plan=plan,
            replicas=replicas,
            open_log=open_log,
            logs=logs,
            mapper=mapper,
            consistency=consistency,
            options=own,
        )
    )


def _choose(requirements: Mapping[str, object], needs: Mapping[str, object]) -> MapBackend:
    preferred = os.environ.get("INTERMODAL_BACKEND")
    if preferred:
        try:
            backend = registry.maps.load(preferred)
        except (BackendNotFound, BackendLoadError) as error:
            raise type(error)(f"INTERMODAL_BACKEND={preferred}: {error}") from error
        if not _unmet(backend, requirements, needs):
            return backend
    fitting, rejected = [], []
    for name in registry.maps.names():
        try:
            backend = registry.maps.load(name)
        except BackendLoadError as error:
            rejected.append(str(error))
            continue
        faults = _unmet(backend, requirements, needs)
        if faults:
            rejected.append(f"{name}: {'; '.join(faults)}")
        else:
            fitting.append(backend)
    if not fitting:
        reasons = "".join(f"\n  {reason}" for reason in rejected) or f" {registry.maps.nothing_installed}"
        raise BackendNotFound(f"no installed backend meets the requirements:{reasons}")
    return min(fitting, key=operator.attrgetter("rank"))


def _named(name: str, requirements: Mapping[str, object], needs: Mapping[str, object]) -> MapBackend:
    if not isinstance(name, str):
        raise OptionError(f"name must be the name of a backend, a str; got {name!r}")
    backend = registry.maps.load(name)
    for kind, asked in (OptionError, needs), (BackendNotFound, requirements):
        faults = backend.capabilities.unmet(asked)
        if faults:
            able = [
                spec.name
                for spec in registry.map_specs()
                if spec.capabilities is not None and not spec.capabilities.unmet(asked)
            ]
            instead = f"backends that are: {', '.join(able) or 'none'}"
            raise kind(f"backend {name!r} is not what is asked for: {'; '.join(faults)}; {instead}")
    return backend


def _unmet(backend: MapBackend, *asked: Mapping[str, object]) -> list[str]:
    return [fault for requirements in asked for fault in backend.capabilities.unmet(requirements)]


def _complete(backend: MapBackend, given: Mapping[str, object]) -> Mapping[str, Any]:
    known = [option.name for option in backend.options]
    for keyword in given:
        if keyword not in known:
            raise OptionError(_unknown(backend.name, keyword, known))
    return _values(f"backend {backend.name!r}", backend.options, given)


def _values(whose: str, options: tuple[Option, ...], given: Mapping[str, object]) -> Mapping[str, Any]:
    """Return the values of all *options*, of which some are *given*, checked."""
    for option in options:
        fault = option.fault(given[option.name]) if option.name in given else None
        if fault is not None:
            raise OptionError(f"{whose}: {fault}")
    return MappingProxyType({option.name: given.get(option.name, option.default) for option in options})


def _unknown(name: str, keyword: str, options: list[str]) -> str:
    general = registry.PARAMETERS[1:]
    near = difflib.get_close_matches(keyword, options, n=1)
    near = near or difflib.get_close_matches(keyword, [*general, *FIELDS], n=1)
    meant = f"; did you mean {near[0]!r}?" if near else "."
    return (
        f"backend {name!r} has no option {keyword!r}{meant} Its options: {', '.join(options) or 'none'}; "
        f"every backend's: {', '.join(general)}; requirements: {', '.join(FIELDS)}"
    )


def _check_capacity(capacity: object) -> int | None:
    if capacity is None:
        return None
    try:
        count = operator.index(capacity)  # type: ignore[arg-type]  # that is the question
    except TypeError:
        count = -1
    if count < 0 or isinstance(capacity, bool):
        raise OptionError(f"capacity must be a number of entries, an int of at least 0; got {capacity!r}")
    return count


def _check_reclaimer(reclaimer: object) -> str | Reclaimer | None:
    if reclaimer is not None and not isinstance(reclaimer, str | Reclaimer):
        raise OptionError(
            f"reclaimer must be the name of a reclaimer, a str, or a Reclaimer, or None; got {reclaimer!r}"
        )
    return reclaimer


def _type_name(parameter: str, given: object, types: Mapping[str, object]) -> str:
    for name, marker in types.items():
        if given is marker or (isinstance(given, str) and given == name):
            return name
    *most, last = [str(marker and f"intermodal.{name}") for name, marker in types.items() if name != "object"]
    markers = f"{', '.join(most)} or {last}"
    raise OptionError(
        f"{parameter} must be object, {markers}, or one of the names {', '.join(map(repr, types))}; "
        f"got {given!r}"
    )

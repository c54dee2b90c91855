"""The installed backends and reclaimers: listed from metadata, loaded one by one, when asked for.

A plugin that cannot be imported, or does not keep the contract, is remembered with its fault and is in
nobody's way. Plugins run under no lock of this module: importing one may import others, wait for a thread
that does, or open a map.
"""

from __future__ import annotations

import difflib
import importlib
import threading
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import attrs
import pluggy

from intermodal import errors, hookspecs
from intermodal.capabilities import FIELDS, BackendSpec, MapBackend, ReclaimerBackend, ReclaimerSpec
from intermodal.errors import BackendLoadError, BackendNotFound
from intermodal.replication import EngineBackend, LogBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

#: The parameters of ``open_map`` itself, whose names no option of a backend can have.
PARAMETERS: Final = ("name", "capacity", "key_type", "value_type", "reclaimer")

_Described = TypeVar("_Described", bound=MapBackend | ReclaimerBackend | EngineBackend | LogBackend)


@attrs.frozen
class _Failure:
    fault: str
    cause: BaseException | None = None


@attrs.frozen
class _Installed(Generic[_Described]):
    entries: dict[str, tuple[EntryPoint, ...]]
    outcomes: dict[str, _Described | _Failure] = attrs.field(factory=dict)


class Registry(Generic[_Described]):
    """What is installed under one group of entry points.

    Args:
        group: the group.
        noun: what a plugin of it stands for, in messages.
        hook: the name of the hook that describes it.
        description: the class of what the hook returns.
        find_fault: returns what is wrong with a description, or None.
    """

    def __init__(
        self,
        group: str,
        noun: str,
        hook: str,
        description: type[_Described],
        find_fault: Callable[[_Described], str | None] = lambda _: None,
    ) -> None:
        self.group: Final = group
        #: What there is to do where the list is empty.
        self.nothing_installed: Final = (
            f"no distribution has an entry point in the group {group!r}; install intermodal itself with pip, "
            "its sources alone are not enough"
        )
        self._noun: Final = noun
        self._hook: Final = hook
        self._description: Final[type[_Described]] = description
        self._find_fault: Final[Callable[[_Described], str | None]] = find_fault
        self._lock: Final = threading.Lock()
        self._installed: _Installed[_Described] | None = None

    def refresh(self) -> None:
        """Forget what is known, so that plugins installed or repaired since the first look are found."""
        importlib.invalidate_caches()
        with self._lock:
            self._installed = None

    def names(self) -> tuple[str, ...]:
        """Return the names of what is installed, sorted, without importing any of it."""
        return tuple(self._scan().entries)

    def load(self, name: str) -> _Described:
        """Return the description of *name*, importing its plugin, and no other, the first time.

        Raises:
            BackendNotFound: no installed distribution has an entry point of that name.
            BackendLoadError: the plugin cannot be imported or does not keep the contract. It stays so until
                :meth:`refresh`.

        Any number of threads may load at once: all get the same one.
        """
        installed = self._scan()
        if name not in installed.entries:
            raise BackendNotFound(self._not_installed(name, installed.entries))
        outcome = installed.outcomes.get(name)
        if outcome is None:
            # Two threads may both get here; the first to finish decides for both.
            outcome = installed.outcomes.setdefault(name, self._load(name, installed.entries[name]))
        if isinstance(outcome, _Failure):
            raise self.load_error(name, outcome.fault) from outcome.cause
        return outcome

    def load_error(self, name: str, fault: str) -> BackendLoadError:
        """Return the exception that says which *fault* makes the installed *name* unusable."""
        entries: tuple[EntryPoint, ...] = self._scan().entries[name]
        plugins = " and ".join(
            f"plugin {entry.value!r} of distribution {' '.join(_origin(entry))}" for entry in entries
        )
        return BackendLoadError(f"{self._noun} {name!r} ({plugins}) cannot be used: {fault}")

    def examine(self, name: str) -> tuple[_Described | None, str, str, str | None]:
        """Return description, distribution, version and fault of the installed *name*; loads its plugin."""
        origins = [_origin(entry) for entry in self._scan().entries.get(name, ())]
        description = error = None
        try:
            description = self.load(name)
        except BackendLoadError as broken:
            error = str(broken)
        distributions = ", ".join(distribution for distribution, _ in origins)
        return description, distributions, ", ".join(version for _, version in origins), error

    def _scan(self) -> _Installed[_Described]:
        with self._lock:
            if self._installed is None:
                entries: dict[str, tuple[EntryPoint, ...]] = {}
                for entry in entry_points(group=self.group):
                    entries[entry.name] = (*entries.get(entry.name, ()), entry)
                self._installed = _Installed(dict(sorted(entries.items())))
            return self._installed

    def _not_installed(self, name: str, installed: Collection[str]) -> str:
        if not installed:
            return f"no {self._noun} {name!r} is installed: {self.nothing_installed}"
        near = difflib.get_close_matches(name, installed, n=1)
        meant = f"; did you mean {near[0]!r}?" if near else "."
        return f"no {self._noun} {name!r} is installed{meant} Installed: {', '.join(installed)}"

    def _load(self, name: str, entries: tuple[EntryPoint, ...]) -> _Described | _Failure:
        if len(entries) > 1:
            return _Failure("several plugins have this name; uninstall all but one of their distributions")
        doing = "importing it"
        try:
            plugin = entries[0].load()
            doing = "registering it"
            # A manager of its own: registering is not thread-safe, and one plugin's fault stays its own.
            manager = pluggy.PluginManager(hookspecs.PROJECT)
            manager.add_hookspecs(hookspecs)
            manager.register(plugin, name)
            manager.check_pending()
            hook = getattr(manager.hook, self._hook)
            if not hook.get_hookimpls():
                return _Failure(f"it has no hook {self._hook}; mark a function of that name @hookimpl")
            doing = f"its hook {self._hook}"
            described = hook()
        except KeyboardInterrupt:
            raise
        except BaseException as cause:  # noqa: BLE001  (also a plugin that calls sys.exit() is only broken)
            return _Failure(f"{doing} raised {type(cause).__name__}: {cause}", cause)
        expected = self._description.__name__
        if not isinstance(described, self._description):
            return _Failure(f"its hook {self._hook} returned {described!r}, not a {expected}")
        fault = self._find_fault(described)
        if described.name != name:
            fault = f"named {described.name!r}; its name must be that of the entry point"
        return (
            described if fault is None else _Failure(f"its hook {self._hook} returned a {expected} {fault}")
        )


def _origin(entry: EntryPoint) -> tuple[str, str]:
    # Metadata may be damaged in more ways than importlib.metadata names.
    try:
        distribution = entry.dist
        assert distribution is not None
        return str(distribution.metadata["Name"]), str(distribution.version)
    except Exception:  # noqa: BLE001
        return "(without a name)", ""


def _fault_of_map(backend: MapBackend) -> str | None:
    for option in backend.options:
        if option.name in PARAMETERS:
            return f"with the option {option.name!r}, which is a parameter of open_map itself"
        if option.name in FIELDS:
            return f"with the option {option.name!r}, which is a field of Capabilities"
    return None


#: The backends of maps.
maps: Final = Registry("intermodal.maps", "backend", "intermodal_map_backend", MapBackend, _fault_of_map)

#: The reclaimers.
reclaimers: Final = Registry("intermodal.reclaimers", "reclaimer", "intermodal_reclaimer", ReclaimerBackend)

#: What replicates structures.
engines: Final = Registry("intermodal.engines", "engine", "intermodal_engine", EngineBackend)

#: The kinds of logs.
logs: Final = Registry("intermodal.logs", "log", "intermodal_log", LogBackend)


def refresh() -> None:
    """Forget what is known of all groups."""
    engines.refresh()
    logs.refresh()
    maps.refresh()
    reclaimers.refresh()


def map_specs() -> tuple[BackendSpec, ...]:
    """Return the description of every installed backend, sorted by name; loads plugins, but no engine."""
    specs = []
    for name in maps.names():
        backend, distribution, version, error = maps.examine(name)
        specs.append(
            BackendSpec(
                name=name,
                summary=backend.summary if backend else "",
                capabilities=backend.capabilities if backend else None,
                options=backend.options if backend else (),
                distribution=distribution,
                version=version,
                error=error,
            )
        )
    return tuple(specs)


def reclaimer_specs() -> tuple[ReclaimerSpec, ...]:
    """Return the description of every installed reclaimer, sorted by name; loads plugins."""
    specs = []
    for name in reclaimers.names():
        backend, distribution, version, error = reclaimers.examine(name)
        specs.append(
            ReclaimerSpec(
                name=name,
                summary=backend.summary if backend else "",
                protects=backend.protects if backend else None,
                robust=backend.robust if backend else None,
                distribution=distribution,
                version=version,
                error=error,
            )
        )
    return tuple(specs)


def backends_with(capability: str) -> list[str]:
    """Return the names of the usable backends of whose Capabilities the field *capability* is true."""
    return [
        each.name
        for each in map_specs()
        if each.capabilities is not None and getattr(each.capabilities, capability)
    ]


errors.backends_with = backends_with

"""The installed backends: listed from the metadata of distributions, loaded one by one, when asked for.

A plugin that cannot be imported, or does not keep the contract, is remembered with its fault and is in
nobody's way. Plugins run under no lock of this module: importing one may import others, wait for a thread
that does, or open a map.
"""

from __future__ import annotations

import difflib
import importlib
import threading
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Final

import attrs
import pluggy

from intermodal import errors, hookspecs
from intermodal.capabilities import FIELDS, BackendSpec, MapBackend
from intermodal.errors import BackendLoadError, BackendNotFound

if TYPE_CHECKING:
    from collections.abc import Collection

#: The group of entry points that names backends of maps.
GROUP: Final = "intermodal.maps"

#: The parameters of ``open_map`` itself, whose names no option of a backend can have.
PARAMETERS: Final = ("name", "capacity", "key_type", "value_type", "reclaimer")

#: What there is to do where the list of backends is empty.
NOTHING_INSTALLED: Final = (
    f"no distribution has an entry point in the group {GROUP!r}; install intermodal itself with pip, its "
    "sources alone are not enough"
)

_HOOK: Final = "intermodal_map_backend"


@attrs.frozen
class _Failure:
    fault: str
    cause: BaseException | None = None


@attrs.frozen
class _Installed:
    entries: dict[str, tuple[EntryPoint, ...]]
    outcomes: dict[str, MapBackend | _Failure] = attrs.field(factory=dict)


_lock: Final = threading.Lock()
_installed: _Installed | None = None


def refresh() -> None:
    """Forget what is known, so that backends installed or repaired since the first look are found."""
    global _installed
    importlib.invalidate_caches()
    with _lock:
        _installed = None


def names() -> tuple[str, ...]:
    """Return the names of the installed backends, sorted, without importing any of them."""
    return tuple(_scan().entries)


def load(name: str) -> MapBackend:
    """Return the backend *name*, importing its plugin, and no other, the first time.

    Raises:
        BackendNotFound: no installed distribution has an entry point of that name.
        BackendLoadError: the plugin cannot be imported or does not keep the contract. It stays so until
            :func:`refresh`.

    Any number of threads may load a backend at once: all get the same one.
    """
    installed = _scan()
    if name not in installed.entries:
        raise BackendNotFound(_not_installed(name, installed.entries))
    outcome = installed.outcomes.get(name)
    if outcome is None:
        # Two threads may both get here; the first to finish decides for both.
        outcome = installed.outcomes.setdefault(name, _load(name, installed.entries[name]))
    if isinstance(outcome, _Failure):
        raise load_error(name, outcome.fault) from outcome.cause
    return outcome


def load_error(name: str, fault: str) -> BackendLoadError:
    """Return the exception that says which *fault* makes the installed backend *name* unusable."""
    plugins = " and ".join(
        f"plugin {entry.value!r} of distribution {' '.join(_origin(entry))}"
        for entry in _scan().entries[name]
    )
    return BackendLoadError(f"backend {name!r} ({plugins}) cannot be used: {fault}")


def spec(name: str) -> BackendSpec:
    """Return the description of the installed backend *name*, usable or not; loads its plugin."""
    origins = [_origin(entry) for entry in _scan().entries.get(name, ())]
    backend = error = None
    try:
        backend = load(name)
    except BackendLoadError as broken:
        error = str(broken)
    return BackendSpec(
        name=name,
        summary=backend.summary if backend else "",
        capabilities=backend.capabilities if backend else None,
        options=backend.options if backend else (),
        distribution=", ".join(distribution for distribution, _ in origins),
        version=", ".join(version for _, version in origins),
        error=error,
    )


def specs() -> tuple[BackendSpec, ...]:
    """Return the description of every installed backend, sorted by name; loads plugins, but no engine."""
    return tuple(spec(name) for name in names())


def backends_with(capability: str) -> list[str]:
    """Return the names of the usable backends of whose Capabilities the field *capability* is true."""
    return [
        each.name
        for each in specs()
        if each.capabilities is not None and getattr(each.capabilities, capability)
    ]


errors.backends_with = backends_with


def _scan() -> _Installed:
    global _installed
    with _lock:
        if _installed is None:
            entries: dict[str, tuple[EntryPoint, ...]] = {}
            for entry in entry_points(group=GROUP):
                entries[entry.name] = (*entries.get(entry.name, ()), entry)
            _installed = _Installed(dict(sorted(entries.items())))
        return _installed


def _not_installed(name: str, installed: Collection[str]) -> str:
    if not installed:
        return f"no backend {name!r} is installed: {NOTHING_INSTALLED}"
    near = difflib.get_close_matches(name, installed, n=1)
    meant = f"; did you mean {near[0]!r}?" if near else "."
    return f"no backend {name!r} is installed{meant} Installed: {', '.join(installed)}"


def _origin(entry: EntryPoint) -> tuple[str, str]:
    # Metadata may be damaged in more ways than importlib.metadata names.
    try:
        distribution = entry.dist
        assert distribution is not None
        return str(distribution.metadata["Name"]), str(distribution.version)
    except Exception:  # noqa: BLE001
        return "(without a name)", ""


def _load(name: str, entries: tuple[EntryPoint, ...]) -> MapBackend | _Failure:
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
        if not manager.hook.intermodal_map_backend.get_hookimpls():
            return _Failure(f"it has no hook {_HOOK}; mark a function of that name @hookimpl")
        doing = f"its hook {_HOOK}"
        backend = manager.hook.intermodal_map_backend()
    except KeyboardInterrupt:
        raise
    except BaseException as cause:  # noqa: BLE001  (also a plugin that calls sys.exit() is only broken)
        return _Failure(f"{doing} raised {type(cause).__name__}: {cause}", cause)
    fault = _find_fault(name, backend)
    return backend if fault is None else _Failure(f"its hook {_HOOK} returned {fault}")


def _find_fault(name: str, backend: object) -> str | None:
    if not isinstance(backend, MapBackend):
        return f"{backend!r}, not a MapBackend"
    if backend.name != name:
        return f"a MapBackend named {backend.name!r}; its name must be that of the entry point"
    for option in backend.options:
        if option.name in PARAMETERS:
            return f"a MapBackend with the option {option.name!r}, which is a parameter of open_map itself"
        if option.name in FIELDS:
            return f"a MapBackend with the option {option.name!r}, which is a field of Capabilities"
    return None

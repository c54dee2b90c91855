"""What a backend is, takes and promises: the frozen records that plugins fill in and callers read.

Everything here is checked when it is made, so that a wrong declaration fails in the plugin that makes it. May
import only errors: loading plugins is the registry's, choosing between them the facade's business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

import attrs

from intermodal.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from intermodal.maps import AnyMap
    from intermodal.reclamation import Reclaimer


class int64:  # noqa: N801  (named as the value it stands for)
    """Marks keys or values as signed 64-bit integers: ``open_map(key_type=int64)``."""


class float64:  # noqa: N801
    """Marks keys or values as 64-bit floating-point numbers: ``open_map(value_type=float64)``."""


#: The types that keys and values may be declared to have, by the names that Capabilities and MapRequest use.
TYPES: Final[Mapping[str, type]] = {"object": object, "int64": int64, "float64": float64}

#: The same for values, of which a map may have none.
VALUE_TYPES: Final[Mapping[str, type | None]] = {**TYPES, "none": None}

# The levels of each graded promise, the strongest first: a level satisfies whatever asks for a later one.
Points: TypeAlias = Literal["linearizable", "published"]
Iteration: TypeAlias = Literal["snapshot", "each_once", "weak"]
Length: TypeAlias = Literal["exact", "settled"]
LengthCost: TypeAlias = Literal["O(1)", "O(n)"]
Clear: TypeAlias = Literal["atomic", "stepwise"]
Shared: TypeAlias = Literal["machines", "processes", "threads"]

LEVELS: Final[Mapping[str, tuple[str, ...]]] = {
    "points": get_args(Points),
    "iteration": get_args(Iteration),
    "length": get_args(Length),
    "length_cost": get_args(LengthCost),
    "clear": get_args(Clear),
    "shared": get_args(Shared),
}

#: The fields of Capabilities that are sets of names; a requirement is one name, or several, all needed.
NAME_SETS: Final = ("key_types", "value_types", "reclaimers")


def _listed(names: Iterable[object]) -> str:
    return ", ".join(repr(name) for name in names)


def _check_level(_: object, field: attrs.Attribute[Any], value: object) -> None:
    levels = LEVELS[field.name]
    if not isinstance(value, str) or value not in levels:
        raise ValueError(f"{field.name} must be one of {_listed(levels)}; got {value!r}")


def _check_bool(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{field.name} must be True or False; got {value!r}")


def _check_text(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{field.name} must be a str that is not empty; got {value!r}")


def _check_names(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, tuple) or not value or not all(isinstance(name, str) for name in value):
        raise TypeError(f"{field.name} must be a tuple of one or more names; got {value!r}")


def _check_types(instance: object, field: attrs.Attribute[Any], value: object) -> None:
    _check_names(instance, field, value)
    types = VALUE_TYPES if field.name == "value_types" else TYPES
    for name in value:  # type: ignore[attr-defined]  # _check_names has seen that it is a tuple
        if name not in types:
            raise ValueError(f"{field.name} may name only {_listed(types)}; got {name!r}")


def _check_callable(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if not callable(value):
        raise TypeError(f"{field.name} must be callable; got {value!r}")


@attrs.frozen(kw_only=True)
class Capabilities:
    """What the maps of a backend promise; docs, conformance kit and selection all read it from here.

    Where a field has levels, each satisfies whatever asks for a weaker one.
    """

    #: What operations on one key promise: ``"linearizable"``, each takes effect at one instant between call
    #: and return; ``"published"``, writes become visible together when they are published, and until then
    #: readers see what was published before. Unless told otherwise, a map publishes each write by itself.
    points: Points = attrs.field(validator=_check_level)

    #: What iteration yields: ``"snapshot"``, the entries of one moment; ``"each_once"``, every key present
    #: throughout exactly once and no key twice; ``"weak"``, no such promise beside concurrent changes.
    iteration: Iteration = attrs.field(validator=_check_level)

    #: What ``len`` says: ``"exact"``, the number at one moment during the call; ``"settled"``, the same as
    #: long as no change is in flight.
    length: Length = attrs.field(validator=_check_level)

    #: What ``len`` costs.
    length_cost: LengthCost = attrs.field(validator=_check_level)

    #: Whether ``clear()`` is one step, ``"atomic"``, or removes entry after entry, ``"stepwise"``.
    clear: Clear = attrs.field(validator=_check_level)

    #: Readers never wait for a writer.
    lock_free_reads: bool = attrs.field(default=False, validator=_check_bool)

    #: Iteration follows the order of the keys.
    ordered: bool = attrs.field(default=False, validator=_check_bool)

    #: A key may have several values: ``add()``, ``get_all()``, ``remove_value()``.
    multi_value: bool = attrs.field(default=False, validator=_check_bool)

    #: ``snapshot()`` gives a consistent read-only mapping.
    snapshot: bool = attrs.field(default=False, validator=_check_bool)

    #: ``handle()`` keeps per-thread state that lets threads scale; without, it returns the map itself.
    handles: bool = attrs.field(default=False, validator=_check_bool)

    #: ``compute()``, ``get_or_insert_with()`` and ``remove_if()`` call their function at most once.
    callbacks_once: bool = attrs.field(default=False, validator=_check_bool)

    #: The names of the types that keys may be declared to have (see :data:`TYPES`).
    key_types: tuple[str, ...] = attrs.field(default=("object",), validator=_check_types)

    #: The same for values (see :data:`VALUE_TYPES`). Not every type of keys need go with each.
    value_types: tuple[str, ...] = attrs.field(default=("object",), validator=_check_types)

    #: The names of the memory reclaimers that the maps can work with.
    reclaimers: tuple[str, ...] = attrs.field(default=("refcount",), validator=_check_names)

    #: Who can share one map: ``"threads"`` of a process, ``"processes"`` of a machine, or ``"machines"``.
    shared: Shared = attrs.field(default="threads", validator=_check_level)

    def unmet(self, requirements: Mapping[str, object]) -> list[str]:
        """Return, in words, each of *requirements* that these capabilities do not meet.

        Args:
            requirements: name of a field -> True, a level, or (see :data:`NAME_SETS`) names. None and False
                stand for "no requirement".

        Raises:
            OptionError: there is no such field, or the field cannot have that value.

        >>> has = Capabilities(
        ...     points="linearizable",
        ...     iteration="each_once",
        ...     length="settled",
        ...     length_cost="O(1)",
        ...     clear="stepwise",
        ... )
        >>> has.unmet({"iteration": "weak", "length": "exact", "ordered": True})
        ["length is 'settled', not 'exact'", 'ordered is not promised']
        """
        faults = []
        for name, required in requirements.items():
            if name not in FIELDS:
                raise OptionError(f"{name!r} is not a requirement; requirements are {', '.join(FIELDS)}")
            if required is None or required is False:
                continue
            has = getattr(self, name)
            if name in LEVELS:
                levels = LEVELS[name]
                if required not in levels:
                    raise OptionError(
                        f"{name} can be required to be one of {_listed(levels)}; got {required!r}"
                    )
                if levels.index(has) > levels.index(required):
                    faults.append(f"{name} is {has!r}, not {required!r}")
            elif name in NAME_SETS:
                faults += [
                    f"{name} do not include {wanted!r}"
                    for wanted in _names(name, required)
                    if wanted not in has
                ]
            elif required is not True:
                raise OptionError(f"{name} can only be required, as {name}=True; got {required!r}")
            elif not has:
                faults.append(f"{name} is not promised")
        return faults


#: The names of the fields of Capabilities: the keywords of ``open_map`` that are requirements.
FIELDS: Final = tuple(field.name for field in attrs.fields(Capabilities))


def _names(field: str, required: object) -> tuple[str, ...]:
    names = (required,) if isinstance(required, str) else required
    if isinstance(names, (tuple, list, set, frozenset)) and all(isinstance(name, str) for name in names):
        return tuple(names)
    raise OptionError(f"{field} can be required to include a name or several names; got {required!r}")


def _check_option_types(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, tuple) or not value or not all(isinstance(kind, type) for kind in value):
        raise TypeError(f"{field.name} must be a tuple of one or more types; got {value!r}")


def _check_identifier(instance: object, field: attrs.Attribute[Any], value: object) -> None:
    _check_text(instance, field, value)
    if not str(value).isidentifier():
        raise ValueError(f"the name of an option must be an identifier; got {value!r}")


@attrs.frozen(kw_only=True)
class Option:
    """A keyword argument of ``open_map`` that one backend has.

    Attributes:
        name: the keyword, an identifier.
        types: the types that a value may be an instance of; True and False are of type bool only, not int.
        default: the value where the caller gives none; itself a value that the option takes.
        summary: one line that says what it does.
        check: called with a value of a right type; raises ValueError, saying what is allowed, if it is not.
    """

    name: str = attrs.field(validator=_check_identifier)
    types: tuple[type, ...] = attrs.field(validator=_check_option_types)
    default: Any
    summary: str = attrs.field(validator=_check_text)
    check: Callable[[Any], object] | None = attrs.field(
        default=None, validator=attrs.validators.optional(_check_callable)
    )

    def __attrs_post_init__(self) -> None:
        fault = self.fault(self.default)
        if fault is not None:
            raise ValueError(f"the default of option {self.name!r} is not a value that it takes: {fault}")

    def fault(self, value: object) -> str | None:
        """Return why *value* is not one that the option takes, or None if it is.

        >>> Option(name="shards", types=(int,), default=4, summary="number of shards").fault("many")
        "shards must be int; got 'many'"
        """
        matches = isinstance(value, self.types) and (bool in self.types or not isinstance(value, bool))
        if not matches:
            return f"{self.name} must be {' or '.join(kind.__name__ for kind in self.types)}; got {value!r}"
        if self.check is not None:
            try:
                self.check(value)
            except ValueError as error:
                return f"{self.name} cannot be {value!r}: {error}"
        return None


@attrs.frozen(kw_only=True)
class MapRequest:
    """What a backend is asked to open: the arguments of ``open_map``, checked and completed.

    Attributes:
        capacity: how many entries to expect, a hint; None if the caller does not say.
        key_type: one of the names in the backend's ``Capabilities.key_types``.
        value_type: one of the names in the backend's ``Capabilities.value_types``.
        reclaimer: one of the names in the backend's ``Capabilities.reclaimers``, or a reclaimer of such a
            name, which ``open_reclaimer`` makes or passes on; None for the backend's own choice.
        options: every option of the backend, with its default where the caller gave no value.
    """

    capacity: int | None = None
    key_type: str = "object"
    value_type: str = "object"
    reclaimer: str | Reclaimer | None = None
    options: Mapping[str, Any] = attrs.field(factory=dict)


def check_word_types(backend: str, request: MapRequest) -> bool:
    """Return whether a backend that has maps of objects and of 64-bit words is asked for one of words.

    Raises: OptionError if only the keys are objects, or only the values.
    """
    if (request.key_type == "object") is not (request.value_type == "object"):
        raise OptionError(
            f"backend {backend!r} has no map with keys of type {request.key_type!r} and values of type "
            f"{request.value_type!r}: both are 'object', or keys are 'int64' and values 'int64', 'float64' "
            "or 'none'"
        )
    return request.key_type != "object"


def _check_capabilities(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, Capabilities):
        raise TypeError(f"{field.name} must be Capabilities; got {value!r}")


def _check_options(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, tuple) or not all(isinstance(option, Option) for option in value):
        raise TypeError(f"{field.name} must be a tuple of Option; got {value!r}")
    names = [option.name for option in value]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{field.name} has two of the name {name!r}")


def _check_rank(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{field.name} must be int; got {value!r}")


@attrs.frozen(kw_only=True)
class MapBackend:
    """What a plugin's hook returns.

    Attributes:
        name: the name of the plugin's entry point.
        summary: one line for listings.
        capabilities: what the maps promise.
        open: makes a map as requested. Import the engine in it, not before: listing loads every plugin.
        options: the keyword arguments of ``open_map`` that are this backend's own.
        rank: the place in the order of preference when no name is given: the lowest that fits is taken, of
            equal ones the first by name.
    """

    name: str = attrs.field(validator=_check_text)
    summary: str = attrs.field(validator=_check_text)
    capabilities: Capabilities = attrs.field(validator=_check_capabilities)
    open: Callable[[MapRequest], AnyMap] = attrs.field(validator=_check_callable)
    options: tuple[Option, ...] = attrs.field(default=(), validator=_check_options)
    rank: int = attrs.field(default=100, validator=_check_rank)


@attrs.frozen(kw_only=True)
class BackendSpec:
    """A line of the listing of backends.

    Attributes:
        name: what ``open_map`` takes.
        summary: one line; empty if the backend is broken.
        capabilities: what its maps promise; None if it is broken.
        options: the keyword arguments of ``open_map`` that are its own.
        distribution: the name of the installed distribution that it comes with.
        version: that distribution's version.
        error: why the backend cannot be used, None if it can.
    """

    name: str
    summary: str
    capabilities: Capabilities | None
    options: tuple[Option, ...]
    distribution: str
    version: str
    error: str | None


@attrs.frozen(kw_only=True)
class ReclaimerBackend:
    """What the hook of a reclaimer's plugin returns.

    Attributes:
        name: the name of the plugin's entry point.
        summary: one line for listings.
        protects: whether what is retired is kept while sections last; without it readers count references.
        robust: whether a section that never ends holds back only what is older than itself.
        open: makes a reclaimer. Import the scheme in it, not before.
    """

    name: str = attrs.field(validator=_check_text)
    summary: str = attrs.field(validator=_check_text)
    protects: bool = attrs.field(validator=_check_bool)
    robust: bool = attrs.field(validator=_check_bool)
    open: Callable[[], Reclaimer] = attrs.field(validator=_check_callable)


@attrs.frozen(kw_only=True)
class ReclaimerSpec:
    """A line of the listing of reclaimers.

    Attributes:
        name: what ``open_reclaimer`` takes.
        summary: one line; empty if it is broken.
        protects: as its plugin declares; None if it is broken.
        robust: the same.
        distribution: the name of the installed distribution that it comes with.
        version: that distribution's version.
        error: why it cannot be used, None if it can.
    """

    name: str
    summary: str
    protects: bool | None
    robust: bool | None
    distribution: str
    version: str
    error: str | None

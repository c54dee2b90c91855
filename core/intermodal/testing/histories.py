"""Histories: which operations threads did to a map, when each began and ended, and what came of it.

Frozen records, and the JSON that they become and come back from; whoever records them, a
:class:`~intermodal.testing.recording.Recorder` beside real threads or a scheduler, brings ticks of its own
clock. May import only the sentinel and errors.
"""

from __future__ import annotations

import json
import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import attrs

from intermodal._absent import ABSENT
from intermodal.errors import IntermodalError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping

_FORMAT: Final = "intermodal-history"
_VERSION: Final = 1


class HistoryError(IntermodalError, ValueError):
    """A record is not that of a history, or cannot be written as asked."""


class PendingType:
    """The type of :data:`PENDING`."""

    def __repr__(self) -> str:
        return "PENDING"

    def __reduce__(self) -> str:
        return "PENDING"


#: The result of an operation that never returned: it may have taken effect, or not.
PENDING: Final = PendingType()


@attrs.frozen
class Raised:
    """The outcome of an operation, or of a function given to it, that raised an exception.

    >>> Raised.of(KeyError("a"))
    Raised(type='KeyError', arguments=('a',))
    """

    type: str
    arguments: tuple[Any, ...] = ()

    @classmethod
    def of(cls, error: BaseException) -> Raised:
        """Return the record of *error*."""
        return cls(type(error).__name__, tuple(error.args))

    def __str__(self) -> str:
        return f"{self.type}({', '.join(map(repr, self.arguments))})"


@attrs.frozen(kw_only=True)
class Operation:
    """One operation of one thread.

    Ticks are integers of one clock that all threads of a history share. An operation that returned at a
    lower tick than another was called at came before it; any others ran side by side.

    Attributes:
        thread: who did it; any name or number.
        name: the method, as ``get``, ``setitem`` for ``m[k] = v``, ``contains`` for ``in``.
        key: which key; ABSENT for an operation on the whole map.
        arguments: the others, in order, without functions.
        called: the tick before it began.
        returned: the tick after it ended; None if it never did.
        result: what it returned, Raised, or PENDING.
        callbacks: for each call of the function it was given, what that saw (ABSENT: no value) and
            returned, or Raised.
        guard: operations of one thread with the same guard other than None read one publication.

    Values must be hashable. Distinct ones, that tell who wrote them, make violations easier to find.
    """

    thread: int | str
    name: str
    key: Hashable = ABSENT
    arguments: tuple[Any, ...] = ()
    called: int
    returned: int | None = None
    result: Any = PENDING
    callbacks: tuple[tuple[Any, Any], ...] = ()
    guard: int | str | None = None

    def __attrs_post_init__(self) -> None:
        if (self.returned is None) != (self.result is PENDING):
            raise HistoryError(f"an operation has both a tick of return and a result, or neither; got {self}")
        if self.returned is not None and self.returned < self.called:
            raise HistoryError(f"an operation cannot return before it is called; got {self}")

    @property
    def pending(self) -> bool:
        """Whether it never returned."""
        return self.returned is None

    def precedes(self, other: Operation) -> bool:
        """Return whether it had returned when *other* was called."""
        return self.returned is not None and self.returned < other.called

    def __str__(self) -> str:
        ticks = f"by thread {self.thread} at ticks {self.called} to "
        if self.name == "found":  # made by the checkers: a part of what another operation says
            value = value_text(self.result)
            return f"{self.arguments[0]} {ticks}{self.returned}, which found {self.key!r} = {value}"
        text = f"{self.call_text()} {ticks}"
        return text + ("?" if self.returned is None else f"{self.returned}: {self.result_text()}")

    def call_text(self) -> str:
        """Return the call as it would be written, the function's calls as ``saw -> returned``."""
        functions = (f"{value_text(saw)} -> {value_text(gave)}" for saw, gave in self.callbacks)
        key = () if self.key is ABSENT else (repr(self.key),)
        return f"{self.name}({', '.join((*key, *map(value_text, self.arguments), *functions))})"

    def result_text(self) -> str:
        """Return the outcome in a word or two."""
        return "never returned" if self.pending else value_text(self.result)


def value_text(value: object) -> str:
    """Return what stands for *value* in reports."""
    return "ABSENT" if value is ABSENT else str(value) if isinstance(value, Raised) else repr(value)


def _sorted_operations(operations: Iterable[Operation]) -> tuple[Operation, ...]:
    return tuple(sorted(operations, key=lambda each: each.called))


def _read_only(data: Mapping[Any, Any]) -> Mapping[Any, Any]:
    return MappingProxyType(dict(data))


@attrs.frozen
class History:
    """The operations of some threads on one map, in the order of their calls.

    Args:
        operations: in any order.
        initial: the entries of the map before the first of them.

    >>> history = History(
    ...     [
    ...         Operation(
    ...             thread=0, name="insert", key="a", arguments=(1,), called=0, returned=3, result=True
    ...         ),
    ...         Operation(thread=1, name="get", key="a", called=1, returned=2, result=1),
    ...     ]
    ... )
    >>> History.from_json(history.to_json()) == history
    True
    """

    operations: tuple[Operation, ...] = attrs.field(converter=_sorted_operations)
    initial: Mapping[Any, Any] = attrs.field(factory=dict, converter=_read_only)

    def __len__(self) -> int:
        return len(self.operations)

    def to_json(self) -> str:
        """Return it as JSON, an operation a line; docs/testing-histories.md has the format.

        Raises: HistoryError if a key, a value or a thread is not of a kind that JSON can hold: None, bool,
            int, float, str, ABSENT, and tuples of these.
        """
        head = {"format": _FORMAT, "version": _VERSION}
        initial = [[_plain(key), _plain(value)] for key, value in self.initial.items()]
        lines = ",\n".join(json.dumps(_record_of(each), allow_nan=False) for each in self.operations)
        return f'{json.dumps(head)[:-1]}, "initial": {json.dumps(initial)}, "operations": [\n{lines}\n]}}\n'

    @classmethod
    def from_json(cls, text: str) -> History:
        """Return the history that *text* describes.

        Raises: HistoryError if it is not JSON, or not such a description.
        """
        try:
            record = json.loads(text)
        except ValueError as error:
            raise HistoryError(f"a history must be JSON: {error}") from None
        if not isinstance(record, dict) or record.get("format") != _FORMAT:
            raise HistoryError(f"a history is a JSON object whose format is {_FORMAT!r}; see to_json()")
        if record.get("version") != _VERSION:
            raise HistoryError(
                f"version {record.get('version')!r} of the format is not known; this is {_VERSION}"
            )
        try:
            initial = {_value(key): _value(value) for key, value in record.get("initial", [])}
            return cls([_operation_of(each) for each in record["operations"]], initial)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, HistoryError):
                raise
            raise HistoryError(f"not the record of a history: {type(error).__name__}: {error}") from error


# ---- JSON -------------------------------------------------------------------------------------------------

_FIELDS: Final = frozenset(
    ("thread", "name", "key", "arguments", "called", "returned", "result", "raised", "callbacks", "guard")
)


def _plain(value: Any) -> Any:
    """Return what stands for *value* in JSON."""
    if value is None or type(value) in (bool, int, str) or (type(value) is float and math.isfinite(value)):
        return value
    if value is ABSENT:
        return {"absent": True}
    if type(value) is tuple:
        return [_plain(each) for each in value]
    raise HistoryError(
        f"JSON cannot hold {value!r}: keys, values and threads of a history that is to be written must be "
        "None, bool, int, finite float, str, or tuples of these"
    )


def _value(plain: Any) -> Any:
    """Return what *plain* stands for; arrays are tuples, since values are hashable."""
    if isinstance(plain, list):
        return tuple(map(_value, plain))
    if isinstance(plain, dict):
        if plain != {"absent": True}:
            raise HistoryError(f'the only JSON object that is a value is {{"absent": true}}; got {plain!r}')
        return ABSENT
    return plain


def _outcome_record(outcome: Any, name: str) -> dict[str, Any]:
    if isinstance(outcome, Raised):
        return {"raised": {"type": outcome.type, "arguments": _plain(outcome.arguments)}}
    return {name: _plain(outcome)}


def _outcome_of(record: dict[str, Any], name: str) -> Any:
    if ("raised" in record) == (name in record):
        raise HistoryError(f"exactly one of {name!r} and 'raised' must be given; got {record!r}")
    if name in record:
        return _value(record[name])
    return Raised(record["raised"]["type"], _value(record["raised"].get("arguments", [])))


def _record_of(operation: Operation) -> dict[str, Any]:
    record: dict[str, Any] = {"thread": _plain(operation.thread), "name": operation.name}
    if operation.key is not ABSENT:
        record["key"] = _plain(operation.key)
    if operation.arguments:
        record["arguments"] = _plain(operation.arguments)
    record["called"] = operation.called
    if operation.returned is not None:
        record |= {"returned": operation.returned, **_outcome_record(operation.result, "result")}
    if operation.callbacks:
        record["callbacks"] = [
            {"saw": _plain(saw), **_outcome_record(gave, "gave")} for saw, gave in operation.callbacks
        ]
    if operation.guard is not None:
        record["guard"] = _plain(operation.guard)
    return record


def _operation_of(record: dict[str, Any]) -> Operation:
    unknown = record.keys() - _FIELDS
    if unknown:
        raise HistoryError(f"an operation has no field {min(unknown)!r}; fields are {sorted(_FIELDS)}")
    pending = record.get("returned") is None
    if pending and not record.keys().isdisjoint(("result", "raised")):
        raise HistoryError(f"an operation that never returned has no outcome; got {record!r}")
    for tick in ("called", "returned"):
        if not (type(record.get(tick)) is int or (tick == "returned" and pending)):
            raise HistoryError(f"{tick!r} must be an integer; got {record.get(tick)!r} in {record!r}")
    return Operation(
        thread=record["thread"],
        name=record["name"],
        key=_value(record["key"]) if "key" in record else ABSENT,
        arguments=_value(record.get("arguments", [])),
        called=record["called"],
        returned=record.get("returned"),
        result=PENDING if pending else _outcome_of(record, "result"),
        callbacks=tuple(
            (_value(each["saw"]), _outcome_of(each, "gave")) for each in record.get("callbacks", [])
        ),
        guard=record.get("guard"),
    )

"""The other promises of a backend: iteration, snapshots, len, publication, several values for a key.

Each checker takes a history and returns a verdict. What iteration finds is put as questions about single
keys, "had it this value at some moment in here?", and answered by the search that decides linearizability, so
the verdict is exact. Where several keys have to fit one moment, the question is whether there is a moment at
which each of them, taken by itself, can have had its value. If there is none, the history is wrong; if there
is one, it may still be wrong. For small histories :class:`intermodal.testing.models.MapModel` decides that
exactly, too.

May import everything in intermodal.testing that it needs.
"""

from __future__ import annotations

import bisect
import itertools
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

from intermodal._absent import ABSENT
from intermodal.testing.histories import History, HistoryError, Operation, Raised, value_text
from intermodal.testing.linearizability import check_model, violation_of_key
from intermodal.testing.models import BagModel
from intermodal.testing.search import Search
from intermodal.testing.transitions import by_key, found, transition
from intermodal.testing.verdicts import Verdict, Violation

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

    from intermodal.capabilities import Iteration, Length

_BEGINNING: Final = -(1 << 62)
_END: Final = 1 << 62


# ---- iteration --------------------------------------------------------------------------------------------


def check_iteration(history: History, level: Iteration) -> Verdict:
    """Return whether the recorded iterations found what iteration of *level* finds.

    - ``weak``: each entry that came had been an entry at a moment between the call and its coming;
    - ``each_once``: besides, no key came twice, and of each key that did not come there is a moment of the
      iteration at which it was not there;
    - ``snapshot``: besides, there is one moment between the call and the first entry at which each key that
      came can have had its value, and the others none.

    An iteration that its caller left early (``iterate_part``) may have missed anything. The operations on
    each key must be linearizable; they are checked along with it.

    Args:
        history: with every operation on the map from its beginning on.
        level: as in ``Capabilities.iteration``.

    Complexity: that of the search, for as many more operations as there are iterations times keys.
    """
    readings = [
        each for each in history.operations if each.name in ("iterate", "iterate_part") and not each.pending
    ]
    return _check_readings(f"iteration ({level})", history, readings, level)


def check_snapshots(history: History) -> Verdict:
    """Return whether each recorded ``snapshot()`` can have been the entries of one moment during the call.

    The same as iteration of level ``snapshot``, for the operation of that name.
    """
    readings = [each for each in history.operations if each.name == "snapshot" and not each.pending]
    return _check_readings("snapshots", history, readings, "snapshot")


@attrs.frozen
class _Reading:
    """What one iteration or snapshot found.

    Attributes:
        operation: the operation.
        entries: (key, value, tick after it came).
        whole: whether it went to the end.
        last: the last tick at which a key that did not come can have been missing.
    """

    operation: Operation
    entries: tuple[tuple[Any, Any, int], ...]
    whole: bool
    last: int


def _reading(operation: Operation, level: Iteration) -> _Reading:
    last = operation.returned
    assert last is not None
    if operation.name == "snapshot":
        entries = tuple((key, value, last) for key, value in operation.result)
    else:
        entries = operation.result
        if level == "snapshot":  # the moment is before the first entry
            last = entries[0][2] if entries else last
            entries = tuple((key, value, last) for key, value, _ in entries)
    return _Reading(operation, entries, operation.name != "iterate_part", last)


def _check_readings(
    promise: str, history: History, operations: Sequence[Operation], level: Iteration
) -> Verdict:
    keys = by_key(history)
    verdict = Verdict(promise=promise, operations=len(history), keys=len(keys))
    readings = []
    for each in operations:
        if isinstance(each.result, Raised):
            return attrs.evolve(verdict, violation=_wrong(each, f"{each.name} raised {each.result}"))
        readings.append(_reading(each, level))
    if level != "weak":
        for reading in readings:
            twice = _twice(reading)
            if twice:
                return attrs.evolve(verdict, violation=_wrong(reading.operation, twice, key=True))
    questions: defaultdict[Hashable, list[Operation]] = defaultdict(list)
    for reading in readings:
        _ask(reading, keys.keys(), questions, missing=level != "weak")
    for key, asked in questions.items():
        of_key = sorted([*keys.get(key, ()), *asked], key=lambda each: each.called)
        if Search(of_key, [history.initial.get(key, ABSENT)]).run() is not None:
            violation = violation_of_key(key, of_key, history.initial)
            return attrs.evolve(verdict, violation=violation, broken_keys=(key,))
    if level == "snapshot":
        lives = {key: _Lives(each, history.initial.get(key, ABSENT)) for key, each in keys.items()}
        for reading in readings:
            torn = _no_moment(reading, lives)
            if torn:
                return attrs.evolve(verdict, violation=torn)
    return verdict


def _ask(
    reading: _Reading,
    keys: Iterable[Hashable],
    questions: defaultdict[Hashable, list[Operation]],
    *,
    missing: bool,
) -> None:
    """Add to *questions* what *reading* says about each key."""
    came = set()
    for key, value, tick in reading.entries:
        came.add(key)
        questions[key].append(found(reading.operation, key, value, returned=tick))
    if missing and reading.whole:
        for key in keys:
            if key not in came:
                questions[key].append(found(reading.operation, key, ABSENT, returned=reading.last))


def _twice(reading: _Reading) -> str:
    came = set()
    for key, _, _ in reading.entries:
        if key in came:
            return f"{reading.operation.name} found key {key!r} twice"
        came.add(key)
    return ""


def _wrong(operation: Operation, summary: str, *, key: bool = False) -> Violation:
    """Return a violation that one operation shows by itself."""
    if key:
        operation = attrs.evolve(operation, result=tuple(each[:2] for each in operation.result))
    return Violation(
        summary=f"{summary}: thread {operation.thread}, ticks {operation.called} to {operation.returned}",
        refused=operation,
        explained=0,
        operations=(operation,),
    )


# ---- one moment for several keys --------------------------------------------------------------------------


class _Lives:
    """When a key can have had which value, as far as the ticks of its writes say.

    A value can have been there from the call of its write until the first return of a write that was called
    after that one had returned. Ticks are closed on both sides: what touches may have met.
    """

    def __init__(self, operations: Sequence[Operation], initial: Any) -> None:
        self.writes = [(each, step) for each in operations if (step := transition(each)).writes]
        done = [each for each, _ in self.writes if each.returned is not None]
        self._calls = [each.called for each in done]  # in order, as the operations are
        self._ends = list(itertools.accumulate((each.returned or 0 for each in reversed(done)), min))[::-1]
        self._spans: defaultdict[Any, list[tuple[int, int]]] = defaultdict(list)
        self._spans[initial].append((_BEGINNING, self._overwritten(_BEGINNING)))
        for each, step in self.writes:
            end = _END if each.returned is None else self._overwritten(each.returned)
            self._spans[step.effect].append((each.called, end))

    def _overwritten(self, tick: int) -> int:
        place = bisect.bisect_right(self._calls, tick)
        return self._ends[place] if place < len(self._ends) else _END

    def spans(self, value: Any) -> list[tuple[int, int]]:
        """Return the first and last tick of each time that it can have had *value*, none touching another."""
        return _merged(self._spans.get(value, []))

    def present(self) -> list[tuple[int, int]]:
        """Return the same for any value."""
        return _merged(span for value, spans in self._spans.items() if value is not ABSENT for span in spans)


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if merged and begin <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


def _common(left: Sequence[tuple[int, int]], right: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the times that are in both."""
    return [
        (max(begin, first), min(end, last))
        for begin, end in left
        for first, last in right
        if max(begin, first) <= min(end, last)
    ]


def _no_moment(reading: _Reading, lives: Mapping[Hashable, _Lives]) -> Violation | None:
    """Return the violation that there is no moment of *reading* at which everything was as it found it."""
    values = {key: value for key, value, _ in reading.entries}
    moments = [(reading.operation.called, reading.last)]
    looked_at: list[Hashable] = []
    for key, life in lives.items():
        if key not in values and not reading.whole:
            continue
        looked_at.append(key)
        left = _common(moments, life.spans(values.get(key, ABSENT)))
        if not left:
            return _split(reading, values, lives, looked_at)
        moments = left
    return None


def _split(
    reading: _Reading, values: dict[Any, Any], lives: Mapping[Hashable, _Lives], keys: Sequence[Hashable]
) -> Violation:
    """Describe why there is no moment, by two keys if these are enough."""
    within = [(reading.operation.called, reading.last)]
    *before, last = keys
    mine = _common(within, lives[last].spans(values.get(last, ABSENT)))
    apart = [
        key for key in before if not _common(mine, _common(within, lives[key].spans(values.get(key, ABSENT))))
    ]
    shown = [last, *apart[:1]] if apart else [last, *before[:3]]
    facts = [
        f"{key!r} can have been {value_text(values.get(key, ABSENT))} only at ticks "
        + " or ".join(f"{a} to {b}" for a, b in _common(within, lives[key].spans(values.get(key, ABSENT))))
        for key in shown
    ]
    writes = [
        each
        for key in shown
        for each, _ in lives[key].writes
        if each.called <= reading.last
        and (each.returned is None or each.returned >= reading.operation.called)
    ]
    name = reading.operation.name
    drawn = attrs.evolve(
        reading.operation,
        result=tuple((key, values[key]) for key in shown if key in values),
        returned=reading.last,
    )
    return Violation(
        summary=f"there is no moment from tick {drawn.called} to {drawn.returned} at which the map was as "
        f"{name} by thread {drawn.thread} found it",
        refused=drawn,
        explained=0,
        operations=(*writes[:11], drawn),
        notes=(f"Key {'; key '.join(facts)}.",),
    )


# ---- len --------------------------------------------------------------------------------------------------


def check_length(history: History, level: Length) -> Verdict:
    """Return whether each recorded ``len`` was a number that *level* allows.

    ``exact``: at some tick of the call so many keys can have been there, going by the ticks of the writes.
    ``settled``: or it is off by no more than the number of insertions and removals that were under way.

    Complexity: O(n log n), and for each ``len`` as many steps as there are writes beside it.
    """
    keys = by_key(history)
    verdict = Verdict(promise=f"len ({level})", operations=len(history), keys=len(keys))
    lives = [_Lives(each, history.initial.get(key, ABSENT)) for key, each in keys.items()]
    least = _Count(span for life in lives for span in life.spans(ABSENT))
    most = _Count(span for life in lives for span in life.present())
    changes = [
        each
        for life in lives
        for each, step in life.writes
        if step.effect is ABSENT or not step.among or ABSENT in step.values
    ]
    calls = sorted(each.called for each in changes)
    returns = sorted(each.returned for each in changes if each.returned is not None)
    for each in history.operations:
        if each.name != "len" or each.returned is None:
            continue
        slack = 0
        if level == "settled":
            slack = bisect.bisect_right(calls, each.returned) - bisect.bisect_left(returns, each.called)
        ticks = sorted({each.called, *least.ticks(each), *most.ticks(each)})
        ranges = [(len(keys) - least.at(tick) - slack, most.at(tick) + slack) for tick in ticks]
        if not any(type(each.result) is int and low <= each.result <= high for low, high in ranges):
            low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
            beside = [other for other in changes if not (other.precedes(each) or each.precedes(other))]
            violation = Violation(
                summary=f"{each} cannot be: while it ran there were {max(low, 0)} to {high} entries"
                + (f", allowing for changes under way ({slack})" if slack else ""),
                refused=each,
                explained=0,
                operations=(*beside[:11], each),
            )
            return attrs.evolve(verdict, violation=violation)
    return verdict


class _Count:
    """How many of some spans of ticks, both ends included, are at a tick."""

    def __init__(self, spans: Iterable[tuple[int, int]]) -> None:
        pairs = list(spans)
        self._begins = sorted(begin for begin, _ in pairs)
        self._ends = sorted(end for _, end in pairs)

    def at(self, tick: int) -> int:
        """Return the number at *tick*."""
        return bisect.bisect_right(self._begins, tick) - bisect.bisect_left(self._ends, tick)

    def ticks(self, operation: Operation) -> Iterator[int]:
        """Yield the ticks of *operation* at which the number may be another than at the tick before."""
        assert operation.returned is not None
        for first, ticks in ((0, self._begins), (1, self._ends)):
            start = bisect.bisect_left(ticks, operation.called)
            for tick in ticks[start : bisect.bisect_right(ticks, operation.returned - first)]:
                yield tick + first


# ---- publication ------------------------------------------------------------------------------------------

_READS: Final = frozenset(("get", "getitem", "contains", "len", "snapshot", "iterate"))
#: How many orders of publications that overlap are tried before giving up.
_MOST_ORDERS: Final = 100_000


def check_published(history: History) -> Verdict:
    """Return whether readers saw nothing but published states, each no older than it has to be.

    A thread's writes become visible at its next ``publish``, all together, at one moment of that call. So
    there is an order of the publications, within their ticks, such that

    - what is read under one guard (``Operation.guard``; without one, by one operation), and what a snapshot
      or an iteration finds, is the state after one of them;
    - this is none earlier than any publication that had returned when the guard's first operation was
      called, and none that was called after that operation had returned;
    - a guard never sees an earlier state than one that the same thread had pinned before it began to pin its
      own; of two that overlap (``list`` asks for the length between the beginning and the end of an
      iteration) either may be the older.

    Reads are ``get``, ``getitem``, ``contains``, ``len``, ``snapshot`` and ``iterate``, by any thread. Of
    other operations the effect counts, if they had one; whether they were right to have it is not checked.
    A write that is never published is never seen.

    Raises: HistoryError if so many publications overlap that their orders cannot all be tried.

    Complexity: O(n log n) if publications do not overlap, and O(m) for the copies of a map of m entries at
    each; exponential in the number of publications that overlap.
    """
    keys = {each.key for each in history.operations if each.key is not ABSENT}
    verdict = Verdict(promise="published", operations=len(history), keys=len(keys))
    checker = _Published(history)
    return attrs.evolve(verdict, violation=checker.violation())


@attrs.frozen(eq=False)
class _Publication:
    """A call of publish and the effects, (key, value or ABSENT), that it makes visible."""

    operation: Operation
    writes: tuple[Operation, ...]
    effects: tuple[tuple[Any, Any], ...]

    @property
    def end(self) -> int:
        returned = self.operation.returned
        return _END if returned is None else returned


@attrs.frozen(eq=False)
class _Guard:
    """Reads of one thread of one published state; the first pins it."""

    reads: tuple[Operation, ...]

    @property
    def called(self) -> int:
        return self.reads[0].called

    @property
    def pinned(self) -> int:
        returned = self.reads[0].returned
        assert returned is not None
        return returned

    def sees(self, state: Mapping[Any, Any]) -> bool:
        """Return whether every outcome is right in *state*."""
        return all(_reads(each, state) for each in self.reads)


def _reads(operation: Operation, state: Mapping[Any, Any]) -> bool:
    name, result = operation.name, operation.result
    if name == "len":
        return bool(result == len(state))
    if name in ("snapshot", "iterate"):
        if isinstance(result, Raised):
            return False
        entries = [each[:2] for each in result]
        return len(entries) == len(state) and dict(entries) == state
    return transition(operation).possible(state.get(operation.key, ABSENT))


#: When a thread pinned its last guard, the newest state it had seen by then, and the same before that.
_Sightings: TypeAlias = "tuple[int, int, _Sightings | None]"
_Seen: TypeAlias = "dict[int | str, _Sightings]"


class _Published:
    """The search for an order of the publications of a history."""

    def __init__(self, history: History) -> None:
        self._initial = dict(history.initial)
        self._publications = _publications(history)
        self._guards = _guards(history)
        self._orders = 0
        # The guard that the order which got furthest does not explain, and what it could see.
        self._worst: tuple[_Guard, list[_Publication], list[dict[Any, Any]]] | None = None

    def violation(self) -> Violation | None:
        """Return what no order explains, or None."""
        clusters = list(_clusters(self._publications))
        seen: _Seen = {}
        ordered: list[_Publication] = []
        if self._place(clusters, 0, ordered, [self._initial], seen):
            return None
        assert self._worst is not None
        guard, publications, states = self._worst
        return _unpublished(guard, publications, states)

    def _place(
        self,
        clusters: list[list[_Publication]],
        number: int,
        ordered: list[_Publication],
        states: list[dict[Any, Any]],
        seen: _Seen,
    ) -> bool:
        """Return whether *clusters* from *number* on can be put into an order behind *ordered*."""
        following = clusters[number][0].operation.called if number < len(clusters) else _END
        begun = clusters[number - 1][0].operation.called if number else _BEGINNING
        guards = [each for each in self._guards if begun <= each.pinned < following]
        now = self._explained(guards, ordered, states, seen)
        if now is None:
            return False
        if number == len(clusters):
            return True
        for order in _orders(clusters[number]):
            self._orders += 1
            if self._orders > _MOST_ORDERS:
                raise HistoryError(
                    f"more than {_MOST_ORDERS} orders of the publications that overlap were tried in vain; "
                    "record fewer writers, or let each publish less often"
                )
            reached = list(states)
            for publication in order:
                reached.append(_applied(reached[-1], publication))
            if self._place(clusters, number + 1, [*ordered, *order], reached, dict(now)):
                return True
        return False

    def _explained(
        self,
        guards: Sequence[_Guard],
        ordered: list[_Publication],
        states: list[dict[Any, Any]],
        seen: _Seen,
    ) -> _Seen | None:
        """Return what each thread has seen after *guards*; None if no state explains one of them.

        Each guard is taken to have seen the earliest state that it can have seen.
        """
        seen = dict(seen)
        for guard in guards:
            thread = guard.reads[0].thread
            first = max(
                (place + 1 for place, each in enumerate(ordered) if each.end < guard.called), default=0
            )
            last = min(
                (place for place, each in enumerate(ordered) if each.operation.called > guard.pinned),
                default=len(ordered),
            )
            possible = range(max(first, _newest(seen.get(thread), guard.called)), last + 1)
            place = next((place for place in possible if guard.sees(states[place])), None)
            if place is None:
                if self._worst is None or self._worst[0].pinned <= guard.pinned:
                    self._worst = (
                        guard,
                        [ordered[each - 1] for each in possible if each],
                        [states[each] for each in possible],
                    )
                return None
            newest = max(place, _newest(seen.get(thread), _END))
            seen[thread] = (guard.pinned, newest, seen.get(thread))
        return seen


def _newest(sightings: _Sightings | None, tick: int) -> int:
    """Return the number of the newest state that a thread had pinned before *tick*."""
    while sightings is not None and sightings[0] >= tick:
        sightings = sightings[2]
    return 0 if sightings is None else sightings[1]


def _applied(state: dict[Any, Any], publication: _Publication) -> dict[Any, Any]:
    state = dict(state)
    for key, value in publication.effects:
        if key is _EVERYTHING:
            state.clear()
        elif value is ABSENT:
            state.pop(key, None)
        else:
            state[key] = value
    return state


class _Everything:
    pass


_EVERYTHING: Final = _Everything()


def _publications(history: History) -> list[_Publication]:
    """Return the calls of publish, in their order, each with its thread's writes since the last."""
    waiting: defaultdict[int | str, list[tuple[Operation, Any]]] = defaultdict(list)
    publications = []
    for each in history.operations:
        if each.name == "publish":
            batch = waiting.pop(each.thread, [])
            publications.append(
                _Publication(
                    each,
                    tuple(write for write, _ in batch),
                    tuple(
                        (write.key if write.key is not ABSENT else _EVERYTHING, effect)
                        for write, effect in batch
                    ),
                )
            )
        elif each.name == "clear":
            waiting[each.thread].append((each, None))
        elif each.key is not ABSENT and each.name not in _READS:
            step = transition(each)
            if step.writes:
                waiting[each.thread].append((each, step.effect))
    return publications


def _guards(history: History) -> list[_Guard]:
    """Return what was read together, in the order in which it was pinned."""
    guards: dict[tuple[Any, Any], list[Operation]] = {}
    for number, each in enumerate(history.operations):
        if each.name in _READS and not each.pending:
            name = (each.thread, ("guard", each.guard) if each.guard is not None else number)
            guards.setdefault(name, []).append(each)
    return sorted((_Guard(tuple(reads)) for reads in guards.values()), key=lambda guard: guard.pinned)


def _clusters(publications: Sequence[_Publication]) -> Iterator[list[_Publication]]:
    """Yield the publications, in order of time, in groups of which each ends before the next begins."""
    cluster: list[_Publication] = []
    end = _BEGINNING
    for each in publications:
        if cluster and each.operation.called > end:
            yield cluster
            cluster = []
        cluster.append(each)
        end = max(end, each.end)
    if cluster:
        yield cluster


def _orders(publications: Sequence[_Publication]) -> Iterator[list[_Publication]]:
    """Yield the orders of *publications* that their ticks allow."""
    if not publications:
        yield []
        return
    first_end = min(each.end for each in publications)
    for each in publications:
        if each.operation.called <= first_end:
            rest = [other for other in publications if other is not each]
            for order in _orders(rest):
                yield [each, *order]


def _unpublished(
    guard: _Guard, publications: Sequence[_Publication], states: Sequence[Mapping[Any, Any]]
) -> Violation:
    """Describe a guard that saw none of the states that it could."""
    wrong = next(
        (each for each in guard.reads if not any(_reads(each, state) for state in states)), guard.reads[0]
    )
    keys = {each.key for each in guard.reads if each.key is not ABSENT}
    facts = []
    for key in sorted(keys, key=repr):
        values = dict.fromkeys(value_text(state.get(key, ABSENT)) for state in states)
        facts.append(f"key {key!r} was {' or '.join(values)}")
    context = [
        each
        for publication in publications
        for each in (*(write for write in publication.writes if write.key in keys), publication.operation)
    ]
    together = f" together with {len(guard.reads) - 1} more under one guard" if len(guard.reads) > 1 else ""
    return Violation(
        summary=f"no published state explains {wrong}{together}",
        refused=wrong,
        explained=0,
        operations=(*context[-11:], *guard.reads[:8], *([wrong] if wrong not in guard.reads[:8] else [])),
        notes=(
            (
                f"In the {len(states)} published state{'s' * (len(states) != 1)} that it could see, "
                f"{'; '.join(facts) or 'the entries were others'}."
            ),
        ),
    )


# ---- several values for a key -----------------------------------------------------------------------------


def check_bags(history: History) -> Verdict:
    """Return whether the operations on each key of a map with several values for a key are linearizable.

    See :class:`intermodal.testing.models.BagModel` for what they are. In ``history.initial`` the values of a
    key are a tuple.

    Complexity: that of :func:`intermodal.testing.linearizability.check_model`, for each key.
    """
    keys: defaultdict[Hashable, list[Operation]] = defaultdict(list)
    for each in history.operations:
        if each.key is ABSENT:
            raise HistoryError(f"check_bags() takes operations on one key; got {each}")
        keys[each.key].append(each)
    verdict = Verdict(promise="several values for a key", operations=len(history), keys=len(keys))
    for key, operations in keys.items():
        model = BagModel(history.initial.get(key, ()))
        violation = check_model(History(operations), model).violation
        if violation is not None:
            violation = attrs.evolve(violation, key=key, summary=f"key {key!r}: {violation.summary}")
            return attrs.evolve(verdict, violation=violation, broken_keys=(key,))
    return verdict

"""The search for an order of operations, within their ticks, in which each could have had its outcome.

It goes through a history once, from call to return to call, and keeps every *configuration* that the
operations before allow: the value of the key, and which of the operations under way have taken effect
already. When an operation returns, configurations in which it has not taken effect are replaced by those to
which some order of operations under way, this one at the end, leads: Wing and Gong's search with Lowe's
memory of configurations and his just-in-time linearization ("Testing for linearizability", 2017). So a
history that has no order is refused at the first return that none explains, without going back, and
configurations do not grow with the history.

Three things keep configurations few:

- What changes nothing takes effect as soon as it can; that never spoils anything.
- A blind write under way while another operation, that could follow it, takes effect *may* have come right
  before and been overwritten. Such writes are the "perhaps" of one configuration, not two each.
- A value that no later outcome depends on is as good as any other such value.

May import histories and transitions.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from intermodal.testing.transitions import Transition, steps_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from intermodal.testing.histories import Operation
    from intermodal.testing.models import Model


class _Other:
    def __repr__(self) -> str:
        return "some other value"


#: Stands for any value on which no outcome from there on depends.
OTHER: Final = _Other()

_FOREVER: Final = 1 << 62

# (value, operations under way that have taken effect, those that perhaps have): the last two as bits, each
# operation under way having one of its own.
_Configuration = tuple[Any, int, int]


def events_of(operations: Sequence[Operation]) -> list[tuple[int, bool, int]]:
    """Return (tick, returned?, index) of each call and return, in an order of time.

    At equal ticks calls come first: of operations that touch, neither is said to precede.
    """
    events = [(each.called, False, index) for index, each in enumerate(operations)]
    events += [
        (each.returned, True, index) for index, each in enumerate(operations) if each.returned is not None
    ]
    events.sort()
    return events


class Search:
    """One pass over the operations on one key.

    Args:
        operations: in the order of their calls.
        starts: the values that the key may have at the beginning.
        loose: the indices of operations that may have taken effect before, or may never do.

    Complexity: O(n c) for n operations and c configurations at a time. c is a small number in what threads do
    to a map; at worst, with operations chosen against the search, exponential in the number of operations
    under way at once.
    """

    def __init__(
        self, operations: Sequence[Operation], starts: Iterable[Any], loose: frozenset[int] = frozenset()
    ) -> None:
        self._pending = [each.pending or index in loose for index, each in enumerate(operations)]
        self._steps = steps_of(operations)
        self._events = events_of(operations)
        self._relevant = self._last_relevant()
        self._configurations: set[_Configuration] = {(value, 0, 0) for value in starts}
        self._open: dict[int, Transition] = {}  # by bit
        self._writes: dict[int, Transition] = {}  # those of them that have an effect
        self._blind: dict[int, Transition] = {}  # those of them whatever the value
        self._bits: dict[int, int] = {}  # by index
        self._free: list[int] = []

    def _last_relevant(self) -> dict[Any, int]:
        """Return for each value the last event before which an outcome can depend on it."""
        last: dict[Any, int] = {}
        pending = []
        for position, (_, returned, index) in enumerate(self._events):
            if returned and not self._pending[index]:
                for value in self._steps[index].values:
                    last[value] = position
            elif not returned and self._pending[index]:
                pending.append(self._steps[index])
        for step in pending:
            for value in step.values:
                last[value] = _FOREVER
        return last

    def run(self, values: list[frozenset[Any]] | None = None) -> int | None:
        """Return the position of the first event that no order explains, the return of an operation, or None.

        Appends the values that the key may have before each event to *values*, if given.
        """
        for position, (_, returned, index) in enumerate(self._events):
            if values is not None:
                values.append(frozenset(value for value, _, _ in self._configurations))
            if not returned:
                self._call(index)
            elif not self._pending[index] and not self._return(position, index):
                return position
        return None

    @property
    def events(self) -> list[tuple[int, bool, int]]:
        """What positions count: (tick, returned?, index of the operation)."""
        return self._events

    def _call(self, index: int) -> None:
        step = self._steps[index]
        pending = self._pending[index]
        if pending and (not step.writes or (step.among and not step.values)):
            return  # never came to anything
        bit = self._free.pop() if self._free else 1 << len(self._bits)
        self._bits[index] = bit
        self._open[bit] = step
        if step.writes:
            self._writes[bit] = step
            if step.blind:
                self._blind[bit] = step
            if pending:  # it need not take effect, and may: as if overwritten
                self._configurations = {
                    (value, done, perhaps | bit) for value, done, perhaps in self._configurations
                }
        else:
            self._configurations = {
                (value, done | bit if step.possible(value) else done, perhaps)
                for value, done, perhaps in self._configurations
            }

    def _return(self, position: int, index: int) -> bool:
        """Keep the configurations in which the operation has taken effect; return whether there are any."""
        bit = self._bits.pop(index)
        kept: set[_Configuration] = set()
        todo = []
        for configuration in self._configurations:
            value, done, perhaps = configuration
            if done & bit:
                kept.add((self._canonical(value, position), done ^ bit, perhaps))
                continue
            if perhaps & bit:
                kept.add((self._canonical(value, position), done, perhaps ^ bit))
            todo.append(configuration)
        if todo:
            self._reach(bit, todo, kept, position)
        del self._open[bit]
        self._writes.pop(bit, None)
        self._blind.pop(bit, None)
        self._free.append(bit)
        self._configurations = self._without_weaker(kept) if len(kept) > 2 else kept
        return bool(kept)

    def _canonical(self, value: Any, position: int) -> Any:
        return value if self._relevant.get(value, -1) > position else OTHER

    def _reach(
        self, wanted: int, todo: list[_Configuration], kept: set[_Configuration], position: int
    ) -> None:
        """Add to *kept* what orders of operations under way, *wanted* the last, make of *todo*."""
        seen = set(todo)
        while todo:
            value, done, perhaps = todo.pop()
            for bit, step in self._writes.items():
                if done & bit or not step.possible(value):
                    continue
                if bit != wanted and bit in self._blind and not self._useful(bit, step.effect, value, done):
                    continue
                reached = self._after(bit, step, done, perhaps)
                if reached[1] & wanted:
                    kept.add((self._canonical(reached[0], position), reached[1] ^ wanted, reached[2]))
                elif reached not in seen:
                    seen.add(reached)
                    todo.append(reached)

    def _useful(self, bit: int, effect: Any, value: Any, done: int) -> bool:
        """Return whether a blind write makes something possible that is not so already."""
        for other, step in self._open.items():
            if not (done & other or other == bit) and step.possible(effect) and not step.possible(value):
                return True
        return False

    def _after(self, bit: int, step: Transition, done: int, perhaps: int) -> _Configuration:
        """Return the configuration when the operation of *bit*, possible now, has taken effect."""
        value = step.effect
        done |= bit
        perhaps &= ~bit
        for other, blind in self._blind.items():
            if not done & other and step.possible(blind.effect):
                perhaps |= other
        for other, each in self._open.items():
            if not (done & other or each.writes) and each.possible(value):
                done |= other
        return value, done, perhaps

    def _without_weaker(self, configurations: set[_Configuration]) -> set[_Configuration]:
        """Leave out each configuration all of whose futures another one of them has, too."""
        writes = 0
        for bit in self._writes:
            writes |= bit
        groups: defaultdict[Any, list[tuple[int, int]]] = defaultdict(list)
        for value, done, perhaps in configurations:
            groups[value].append((done, perhaps))
        kept: set[_Configuration] = set()
        for value, group in groups.items():
            best: list[tuple[int, int]] = []
            for each in group:
                if not any(_covers(other, each, writes) for other in best):
                    best = [other for other in best if not _covers(each, other, writes)]
                    best.append(each)
            kept.update((value, done, perhaps) for done, perhaps in best)
        return kept


def _covers(strong: tuple[int, int], weak: tuple[int, int], writes: int) -> bool:
    """Return whether *strong* can do all that *weak* can: (done, perhaps) of configurations of one value."""
    done, most = strong[0] & writes, (strong[0] | strong[1]) & writes
    if done & ~weak[0] or (weak[0] | weak[1]) & writes & ~most:
        return False
    return not weak[0] & ~writes & ~strong[0]


class ModelSearch:
    """The same search with any model: states in the place of values, and nothing known about operations.

    Args:
        operations: in the order of their calls.
        model: their meaning.
        after: for an operation, the index of another that must take effect before it, if it says so: more
            order than the ticks give.
    """

    def __init__(
        self, operations: Sequence[Operation], model: Model, after: Mapping[int, int] | None = None
    ) -> None:
        self.operations = operations
        self.events = events_of(operations)
        self._model = model
        self._after = after or {}
        self._configurations: set[tuple[Any, int]] = {(model.initial, 0)}
        self._open: dict[int, int] = {}  # bit -> index
        self._bits: dict[int, int] = {}
        self._free: list[int] = []
        self._finished: set[int] = set()

    def run(self) -> int | None:
        """Return the position of the first event, a return, that no order explains, or None."""
        for position, (_, returned, index) in enumerate(self.events):
            if not returned:
                bit = self._free.pop() if self._free else 1 << len(self._bits)
                self._bits[index] = bit
                self._open[bit] = index
            elif not self._return(index):
                return position
        return None

    def _return(self, index: int) -> bool:
        wanted = self._bits.pop(index)
        kept = set()
        todo = list(self._configurations)
        seen = set(todo)
        while todo:
            state, done = todo.pop()
            if done & wanted:
                kept.add((state, done ^ wanted))
                continue
            for bit, each in self._open.items():
                if not done & bit and self._may_begin(each, done):
                    for after in self._model.apply(state, self.operations[each]):
                        if (after, done | bit) not in seen:
                            seen.add((after, done | bit))
                            todo.append((after, done | bit))
        del self._open[wanted]
        self._free.append(wanted)
        self._finished.add(index)
        self._configurations = kept
        return bool(kept)

    def _may_begin(self, index: int, done: int) -> bool:
        before = self._after.get(index)
        return before is None or before in self._finished or bool(done & self._bits[before])

"""The workloads of the stress command: concurrent work whose outcome can be checked exactly.

A workload is a function of a :class:`Round`. It starts threads with ``round.threads(...)``, says with
``round.expect(...)`` what must hold, and uses only operations that every map has. Which backends it fits, its
``needs`` say in terms of Capabilities. May import only the sentinel, capabilities, keys and lifetimes.
"""

from __future__ import annotations

import faulthandler
import gc
import itertools
import random
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final, NoReturn

import attrs

from intermodal._absent import ABSENT
from intermodal.testing.keys import HostileError, Key
from intermodal.testing.lifetimes import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from intermodal.capabilities import Capabilities

#: Seconds without an end after which the threads of a round count as hanging.
PATIENCE: Final = 120.0
_POLL: Final = 0.1
#: The default of pop(), which takes ABSENT for "none was given".
NOTHING: Final = "nothing"


class FoundError(Exception):
    """What a workload raises: something was not as it must be."""

    def __init__(self, what: str, expected: object, found: object) -> None:
        super().__init__(what, expected, found)
        self.what, self.expected, self.found = what, expected, found


class StoppedError(Exception):
    """The round was stopped before its end, or another thread of it has failed."""


class Round:
    """One run of a workload on a map of its own.

    Args:
        new: makes an empty map.
        capabilities: what the maps promise.
        count: number of threads.
        steps: how much each thread is to do.
        seed: of every random choice; which thread runs when is the machine's.
        by_handle: whether threads use handles of their own.
        patience: seconds after which threads count as hanging.
    """

    def __init__(
        self,
        new: Callable[[], Any],
        capabilities: Capabilities,
        *,
        count: int,
        steps: int,
        seed: str,
        by_handle: bool,
        patience: float = PATIENCE,
    ) -> None:
        self.m = new()
        self.capabilities = capabilities
        self.count = count
        self.steps = steps
        self.seed = seed
        self.by_handle = by_handle
        self.patience = patience
        self.operations = 0
        self._stopped = False
        self._errors: list[BaseException] = []

    def random(self, name: object) -> random.Random:
        """Return a generator of its own for each *name*."""
        return random.Random(f"{self.seed} {name}")  # noqa: S311  (choices, not secrets)

    def view(self) -> Any:
        """Return what the calling thread is to use."""
        return self.m.handle() if self.by_handle else self.m

    def each_step(self, steps: int | None = None) -> Iterable[int]:
        """Yield the numbers of steps; raises StoppedError when the round is stopped."""
        for step in range(self.steps if steps is None else steps):
            if self._stopped:
                raise StoppedError
            yield step

    def expect(self, what: str, found: object, expected: object) -> None:
        """Raise FoundError unless *found* equals *expected*."""
        if found != expected:
            self.fail(what, found, expected)

    def fail(self, what: str, found: object, expected: object) -> NoReturn:
        """Raise FoundError."""
        raise FoundError(what, expected, found)

    def stop(self) -> None:
        """Let every thread of the round end at its next step."""
        self._stopped = True

    def threads(self, *functions: Callable[[], Any]) -> list[Any]:
        """Run the functions in threads that begin together; return their results; raise what goes wrong."""
        results: list[Any] = [None] * len(functions)
        together = threading.Barrier(len(functions))

        def run(index: int, function: Callable[[], Any]) -> None:
            try:
                together.wait()
                results[index] = function()
            except (StoppedError, threading.BrokenBarrierError):
                pass
            except BaseException as error:  # noqa: BLE001  (raised in the thread that waits)
                self._errors.append(error)
                self._stopped = True

        started = [threading.Thread(target=run, args=each, daemon=True) for each in enumerate(functions)]
        try:
            for thread in started:
                thread.start()
            self._join(started)
        except BaseException as error:
            self._stopped = True
            together.abort()
            # An interrupt between two lines of threading's own waiting comes out as a lock released twice.
            if isinstance(error.__context__, KeyboardInterrupt):
                raise error.__context__ from None
            raise
        if self._errors:
            raise self._errors[0]
        if self._stopped:
            raise StoppedError
        self.operations += len(functions) * self.steps
        return results

    def _join(self, started: list[threading.Thread]) -> None:
        deadline = time.monotonic() + self.patience
        for thread in started:
            while thread.is_alive():
                thread.join(_POLL)  # in short pieces, so that an interrupt gets through
                if time.monotonic() > deadline:
                    faulthandler.dump_traceback(file=sys.__stderr__ or sys.stderr)
                    hanging = sum(each.is_alive() for each in started)
                    self._stopped = True
                    self.fail(
                        "threads that end",
                        f"{hanging} that did not in {self.patience:g} s (stacks above)",
                        "all",
                    )

    def in_each(self, function: Callable[[int], Any]) -> list[Any]:
        """Run ``function(0)``, ``function(1)``... in ``count`` threads."""
        return self.threads(*(lambda index=index: function(index) for index in range(self.count)))


@attrs.frozen
class Workload:
    """A named piece of checked concurrent work.

    Attributes:
        name: what the command calls it.
        run: does it; raises FoundError.
        summary: what must hold, in one line.
        needs: the capabilities without which it proves nothing, as requirements of ``open_map``.
    """

    name: str
    run: Callable[[Round], None]
    summary: str
    needs: Mapping[str, object]


#: In the order in which they take turns.
WORKLOADS: dict[str, Workload] = {}


def _workload(summary: str, **needs: object) -> Callable[[Callable[[Round], None]], Callable[[Round], None]]:
    def add(function: Callable[[Round], None]) -> Callable[[Round], None]:
        name = function.__name__.replace("_", "-")
        WORKLOADS[name] = Workload(
            name, function, summary, {"key_types": "object", "value_types": "object"} | needs
        )
        return function

    return add


# ---- keys ---------------------------------------------------------------------------------------------


def _fresh_str(number: int) -> str:
    return f"key {number:08}"


KINDS: Final[dict[str, Callable[[int], Any]]] = {
    "int": int,
    "str": _fresh_str,
    "own": Key,
    "colliding": lambda number: Key(number, number % 7),
}


def _maker(round_: Round, *, many: bool = False) -> Callable[[int], Any]:
    """Return a function from numbers to keys, of a kind that the seed chooses.

    Args:
        many: whether there will be hundreds of keys; colliding ones would be slow in every map.
    """
    kinds = [name for name in KINDS if not (many and name == "colliding")]
    return KINDS[round_.random("kind").choice(kinds)]


def _look_whole(round_: Round, expected: Mapping[Any, Any] | None = None) -> None:
    """Check a map that is quiet: its invariants, its length, its entries."""
    check = getattr(round_.m, "_check", None)
    if check is not None:
        try:
            check()
        except AssertionError as error:
            raise FoundError("the map's own _check()", "no complaint", str(error)) from error
    entries = list(round_.m.items())
    round_.expect("the number of entries that iteration finds, beside len()", len(entries), len(round_.m))
    contents = dict(entries)
    round_.expect("keys that iteration finds once", len(contents), len(entries))
    if expected is not None and contents != expected:
        wrong = [
            key for key in {**contents, **expected} if contents.get(key, ABSENT) != expected.get(key, ABSENT)
        ]
        round_.fail(
            "the entries in the end (first differences)",
            {key: contents.get(key, ABSENT) for key in wrong[:5]},
            {key: expected.get(key, ABSENT) for key in wrong[:5]},
        )


# ---- the workloads ------------------------------------------------------------------------------------


@_workload("each thread has keys of its own, for which every answer is a dict's", points="linearizable")
def own_keys(round_: Round) -> None:
    make, space = _maker(round_), 64

    def work(me: int) -> dict[int, int]:
        generator, view = round_.random(me), round_.view()
        model: dict[int, int] = {}
        for step in round_.each_step():
            number = me + round_.count * generator.randrange(space)
            _one_operation(round_, view, make(number), model, number, step, generator.randrange(8))
            if step % 500 == 499:  # shrink
                for doomed in list(model):
                    round_.expect(f"pop({doomed})", view.pop(make(doomed), NOTHING), model.pop(doomed))
        return model

    models = round_.in_each(work)
    _look_whole(round_, {make(number): value for model in models for number, value in model.items()})


def _one_operation(
    round_: Round, view: Any, key: Any, model: dict[int, int], number: int, step: int, choice: int
) -> None:
    old: Any = model.get(number, ABSENT)
    if choice < 2:
        view[key] = model[number] = step
    elif choice == 2:
        round_.expect(f"pop({key!r})", view.pop(key, NOTHING), model.pop(number, NOTHING))
    elif choice == 3:
        round_.expect(f"get({key!r})", view.get(key, ABSENT), old)
    elif choice == 4:
        round_.expect(f"insert({key!r})", view.insert(key, step), old is ABSENT)
        model.setdefault(number, step)
    elif choice == 5:
        round_.expect(f"setdefault({key!r})", view.setdefault(key, step), model.setdefault(number, step))
    elif choice == 6:
        new: Any = ABSENT if step % 2 else step
        round_.expect(f"compare_and_set({key!r}, {old!r}, ...)", view.compare_and_set(key, old, new), True)
        model.pop(number, None)
        if new is not ABSENT:
            model[number] = new
    else:
        round_.expect(f"{key!r} in map", key in view, number in model)


@_workload("threads count on shared keys, and no count is lost", points="linearizable")
def counters(round_: Round) -> None:
    make, keys = _maker(round_), 5

    def work(me: int) -> None:
        generator, view = round_.random(me), round_.view()
        for step in round_.each_step():
            key = make(step % keys)
            if generator.random() < 0.5:
                calls = _count_calls(view, key)
                if round_.capabilities.callbacks_once:
                    round_.expect("calls of the function of compute()", calls, 1)
            else:
                while True:
                    old = view.get(key, ABSENT)
                    if view.compare_and_set(key, old, 1 if old is ABSENT else old + 1):
                        break

    round_.in_each(work)
    each = [len(range(first, round_.steps, keys)) * round_.count for first in range(keys)]
    _look_whole(round_, {make(number): total for number, total in enumerate(each) if total})


def _count_calls(view: Any, key: Any) -> int:
    calls = 0

    def more(old: Any) -> int:
        nonlocal calls
        calls += 1
        return 1 if old is ABSENT else old + 1

    view.compute(key, more)
    return calls


@_workload("tokens that threads carry from key to key are neither lost nor doubled", points="linearizable")
def tokens(round_: Round) -> None:
    make, places = _maker(round_), 4 * round_.count + 8
    holders: list[int | None] = [None] * (places // 2)
    for token in range(len(holders)):
        round_.m[make(token)] = token

    def work(me: int) -> None:
        generator, view = round_.random(me), round_.view()
        for _ in round_.each_step():
            token = view.pop(make(generator.randrange(places)), NOTHING)
            if token is NOTHING:
                continue
            if holders[token] is not None:
                round_.fail(f"token {token}", f"with threads {holders[token]} and {me} at once", "one holder")
            holders[token] = me
            holders[token] = None
            while not view.insert(make(generator.randrange(places)), token):
                pass

    round_.in_each(work)
    _look_whole(round_)
    round_.expect("the tokens in the end", sorted(round_.m.values()), list(range(len(holders))))


@_workload("what some threads insert others take out, each entry exactly once", points="linearizable")
def queue(round_: Round) -> None:
    make = _maker(round_, many=True)
    producers = max(round_.count // 2, 1)
    consumers = max(round_.count - producers, 1)
    total = producers * round_.steps
    left = itertools.count()
    finished: list[None] = []

    def produce(me: int) -> list[int]:
        view = round_.view()
        for step in round_.each_step():
            number = me * round_.steps + step
            round_.expect(f"insert({number}) of a new key", view.insert(make(number), number), True)
        finished.append(None)
        return []

    def consume(me: int) -> list[int]:
        view = round_.view()
        got: list[Any] = []
        generator = round_.random(f"consumer {me}")
        for _ in left:
            if round_._stopped:
                raise StoppedError
            last = len(finished) == producers
            value: Any = NOTHING
            if generator.random() < 0.5:
                value = view.pop(make(generator.randrange(total)), NOTHING)
            if value is NOTHING:
                try:
                    value = view.popitem()[1]
                except KeyError:
                    if last:
                        return got
                    time.sleep(0)
                    continue
            got.append(value)
        return got

    works = [lambda me=me: produce(me) for me in range(producers)]
    works += [lambda me=me: consume(me) for me in range(consumers)]
    taken = sorted(itertools.chain.from_iterable(round_.threads(*works)))
    if taken != list(range(total)):
        counted = {number: taken.count(number) for number in (set(range(total)) ^ set(taken)) or set(taken)}
        wrong = {number: times for number, times in counted.items() if times != 1}
        round_.fail("how often entries were taken", dict(sorted(wrong.items())[:5]), "each once")
    _look_whole(round_, {})


@_workload("of threads that race for a key one wins, and the losers learn whose it is", points="linearizable")
def winners(round_: Round) -> None:
    make = _maker(round_, many=True)

    def work(me: int) -> tuple[list[int], list[int], list[Any]]:
        view, won, seen = round_.view(), [], []
        for number in round_.each_step():
            if view.insert(make(number), me):
                won.append(number)
            seen.append(view.setdefault(make(-1 - number), me))
        out = [number for number in round_.each_step() if view.pop(make(number), NOTHING) is not NOTHING]
        return won, out, seen

    results = round_.in_each(work)
    # A thread may remove what another one then inserts anew: insertions and removals match, key by key.
    inserted = sorted(itertools.chain.from_iterable(won for won, _, _ in results))
    removed = sorted(itertools.chain.from_iterable(out for _, out, _ in results))
    there = [number for number in range(round_.steps) if make(number) in round_.m]
    round_.expect("insertions, and removals with what is left", inserted, sorted(removed + there))
    for number in range(round_.steps):
        round_.expect(
            f"answers of setdefault({-1 - number})", len({seen[number] for _, _, seen in results}), 1
        )
    _look_whole(round_)


@_workload("a value that is read belongs to its key, whatever else goes on")
def values_belong(round_: Round) -> None:
    make, space = _maker(round_), 48

    def work(me: int) -> None:
        generator, view = round_.random(me), round_.view()
        for step in round_.each_step():
            number = generator.randrange(space)
            choice = generator.randrange(5)
            if choice == 0:
                view[make(number)] = (number, step)
            elif choice == 1:
                view.pop(make(number), None)
            else:
                value = view.get(make(number))
                if value is not None:
                    round_.expect(f"the number in the value of key {number}", value[0], number)

    round_.in_each(work)
    _look_whole(round_)


@_workload(
    "iteration beside writers finds what it promises, and len() is as exact as declared",
    points="linearizable",
)
def iteration(round_: Round) -> None:
    make, staying = _maker(round_, many=True), 40
    for number in range(staying):
        round_.m[make(number)] = number
    permanent = {make(number) for number in range(staying)}
    writers = max(round_.count - 1, 1)
    has = round_.capabilities
    busy = [True]

    def write(me: int) -> None:
        view = round_.view()
        for step in round_.each_step():
            number = staying + me + writers * (step % 50)
            view[make(number)] = number
            round_.expect(f"pop({number})", view.pop(make(number), NOTHING), number)
            if step % 200 == 0:  # one that grows the map, too
                block = range(10_000 * (me + 1), 10_000 * (me + 1) + 150)
                view.update((make(each), each) for each in block)
                for each in block:
                    del view[make(each)]

    def read() -> None:
        view = round_.view()
        while busy[0]:
            if round_._stopped:
                raise StoppedError
            entries = list(view.items())
            for key, value in entries:
                round_.expect(f"the value that iteration gives for {key!r}", make(value), key)
            if has.iteration == "weak":
                continue
            found = [key for key, _ in entries]
            round_.expect("keys that one iteration yields twice", len(found) - len(set(found)), 0)
            missing = permanent.difference(found)
            round_.expect("keys that stay, and that iteration missed", missing, set())

    def write_all(me: int) -> None:
        try:
            write(me)
        finally:
            ended.append(None)
            if len(ended) == writers:
                busy[0] = False

    ended: list[None] = []
    round_.threads(*(lambda me=me: write_all(me) for me in range(writers)), read)
    _look_whole(round_, {make(number): number for number in range(staying)})


@_workload("len() that is declared exact is never off beside writers", points="linearizable", length="exact")
def length(round_: Round) -> None:
    make = _maker(round_)
    round_.m.update((make(number), 0) for number in range(20))

    def work(me: int) -> None:
        view = round_.view()
        for step in round_.each_step():
            view[make(100 + me)] = step
            if not 20 < len(view) <= 20 + round_.count:
                round_.fail("len()", len(view), f"21 to {20 + round_.count}")
            del view[make(100 + me)]

    round_.in_each(work)
    _look_whole(round_, {make(number): 0 for number in range(20)})


@_workload("a map that grows and shrinks all the time loses nothing that stays", points="linearizable")
def resizing(round_: Round) -> None:
    make, staying = _maker(round_, many=True), 30
    for number in range(staying):
        round_.m[make(number)] = number

    def work(me: int) -> None:
        generator, view = round_.random(me), round_.view()
        done = 0
        while done < round_.steps:
            size = generator.choice([20, 150, 900])
            block = range(1000 * (me + 1), 1000 * (me + 1) + size)
            for number in round_.each_step(size):
                view[make(block[number])] = block[number]
                stays = generator.randrange(staying)
                round_.expect(f"get({stays}), which stays", view.get(make(stays), ABSENT), stays)
            for number in round_.each_step(size):
                round_.expect(f"pop({block[number]})", view.pop(make(block[number]), NOTHING), block[number])
            done += 3 * size

    round_.in_each(work)
    _look_whole(round_, {make(number): number for number in range(staying)})


@_workload("an entry inserted after every clear() has ended is there", points="linearizable")
def clearing(round_: Round) -> None:
    make = _maker(round_, many=True)
    begun, ended = [0], [0]

    def clear() -> None:
        view = round_.view()
        for step in round_.each_step(max(round_.steps // 20, 1)):
            begun[0] += 1
            view.clear()
            ended[0] += 1
            if step % 2:
                time.sleep(0)

    def insert(me: int) -> None:
        view = round_.view()
        for step in round_.each_step():
            number = me * 10_000 + step % 300
            quiet = ended[0]
            view[make(number)] = step
            found = view.get(make(number), ABSENT)
            if begun[0] == quiet:
                round_.expect(f"get({number}) after it was set, without a clear() since", found, step)
            elif found is not ABSENT:
                round_.expect(f"get({number})", found, step)

    round_.threads(clear, *(lambda me=me: insert(me) for me in range(max(round_.count - 1, 1))))
    _look_whole(round_)
    round_.m.clear()
    _look_whole(round_, {})


class _Hostile(Key):
    """A key whose comparison may raise (mood 1), or let others run (2)."""

    def __init__(self, number: int, hash_value: int, mood: int) -> None:
        super().__init__(number, hash_value)
        self.mood = mood

    __hash__ = Key.__hash__

    def __eq__(self, other: object) -> Any:
        moods = {self.mood, getattr(other, "mood", 0)}  # either may be asked about the other
        if 1 in moods:
            raise HostileError
        if 2 in moods:
            time.sleep(0)
        return super().__eq__(other)


@_workload("keys whose __eq__ raises or dawdles change nothing for others", points="linearizable")
def hostile_keys(round_: Round) -> None:
    def work(me: int) -> dict[int, int]:
        generator, view = round_.random(me), round_.view()
        model: dict[int, int] = {}
        for step in round_.each_step():
            number = me + round_.count * generator.randrange(12)
            key = _Hostile(number, number % 3, generator.choice((0, 0, 0, 1, 2)))
            before: Any = model.get(number, NOTHING)
            try:
                if generator.random() < 0.6:
                    # What is stored must not raise in the comparisons of others.
                    if key.mood != 1 or number in model:
                        view[key] = step
                        model[number] = step
                else:
                    round_.expect(f"pop({number})", view.pop(key, NOTHING), before)
                    model.pop(number, None)
            except HostileError:
                found = view.get(_Hostile(number, number % 3, 0), NOTHING)
                round_.expect(f"the value of {number} after its comparison has raised", found, before)
        return model

    models = round_.in_each(work)
    _look_whole(round_, {Key(number, number % 3): value for each in models for number, value in each.items()})


@_workload("callbacks and keys that use the same map get right answers", points="linearizable")
def reentrant(round_: Round) -> None:
    make = _maker(round_)

    def work(me: int) -> None:
        view = round_.view()
        mine, other = make(1000 + me), make(2000 + me)
        for step in round_.each_step():

            def both(_: Any, step: int = step) -> int:
                view[other] = step
                return step if view.get(other) == step else -1

            round_.expect(
                "what a function of compute() sees of its own write", view.compute(mine, both), step
            )
            made = view.get_or_insert_with(make(3000 + me), lambda: view.get(other, ABSENT))
            round_.expect("what a factory saw", made, step)
            removed = view.remove_if(make(3000 + me), lambda value: view.get(other, ABSENT) == value)
            round_.expect("remove_if() with a predicate that looks", removed, True)
            view.compute(make(0), lambda old: 1 if old is ABSENT else old + 1)

    round_.in_each(work)
    expected = {make(0): round_.count * round_.steps} if round_.steps else {}
    for me in range(round_.count):
        expected |= {make(base + me): round_.steps - 1 for base in (1000, 2000)}
    _look_whole(round_, expected)


@_workload("threads that come and go leave what they wrote, and nothing else", points="linearizable")
def short_lived(round_: Round) -> None:
    make = _maker(round_)
    lives = max(round_.steps // 50, 1)

    def life(me: int, number: int) -> None:
        view = round_.view()
        view[make(number)] = me
        view.compute(make(-1), lambda old: 1 if old is ABSENT else old + 1)
        round_.expect(f"get({number})", view.get(make(number), ABSENT), me)
        if number % 2:
            del view[make(number)]
        if view is not round_.m and hasattr(view, "close"):
            view.close()

    def parent(me: int) -> None:
        errors: list[BaseException] = []

        def live(number: int) -> None:
            try:
                life(me, number)
            except BaseException as error:  # noqa: BLE001  (raised below)
                errors.append(error)

        for child in round_.each_step(lives):
            thread = threading.Thread(target=live, args=(me * lives + child,), daemon=True)
            thread.start()
            thread.join(round_.patience)
            if thread.is_alive():
                round_.fail("a thread that ends", "one that hangs", "an end")
            if errors:
                raise errors[0]

    round_.in_each(parent)
    expected = {make(number): number // lives for number in range(round_.count * lives) if number % 2 == 0}
    _look_whole(round_, expected | {make(-1): round_.count * lives})


@_workload("every key and value is dropped exactly once, and none while the map has it")
def accounting(round_: Round) -> None:
    ledger, space = Ledger(), 60

    def work(me: int) -> None:
        generator, view = round_.random(me), round_.view()
        for _ in round_.each_step():
            number = generator.randrange(space)
            key = ledger.key(number, number % 50)
            choice = generator.randrange(6)
            if choice < 2:
                view[key] = ledger.value()
            elif choice == 2:
                view.pop(key, None)
            elif choice == 3:
                view.setdefault(key, ledger.value())
            elif choice == 4:
                view.get(key)
            else:
                view.compute(key, lambda old: ABSENT if old is not ABSENT else ledger.value())
        del view

    round_.in_each(work)
    _look_whole(round_)
    if round_.capabilities.reclaimers == ("refcount",):
        gc.collect()
        round_.expect(
            "objects alive, of a map that holds a key and a value for each entry",
            ledger.live(),
            2 * len(round_.m),
        )
    round_.m = None
    gc.collect()
    round_.expect("objects alive after the map is gone", ledger.live(), 0)


def fitting(capabilities: Capabilities) -> list[Workload]:
    """Return the workloads that prove something about maps with these capabilities."""
    return [each for each in WORKLOADS.values() if not capabilities.unmet(each.needs)]

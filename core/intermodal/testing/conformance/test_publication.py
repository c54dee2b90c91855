"""Publication: what was written becomes visible when it is published, all of it at once; before that, nothing."""

from __future__ import annotations

import random
import threading

import pytest

from intermodal import ABSENT
from intermodal.testing.guarantees import check_published
from intermodal.testing.promises import exactly, promised
from intermodal.testing.recording import Recorder
from intermodal.testing.subjects import scale
from intermodal.testing.threads import Together, finishes, in_threads, run_threads

THREADS = 3


def shown(m):
    """Return what every way of reading shows of a map; they must agree."""
    entries = dict(m.items())
    assert len(m) == len(entries) == len(list(m))
    assert {key: m[key] for key in entries} == entries
    assert all(m.get(key, ABSENT) is value and key in m for key, value in entries.items())
    assert dict(m.copy()) == entries
    return entries


WRITES = {
    "set": lambda m: m.__setitem__("new", 1),
    "overwritten": lambda m: m.__setitem__("a", 2),
    "deleted": lambda m: m.__delitem__("a"),
    "popped": lambda m: m.pop("a"),
    "popitem": lambda m: m.popitem(),
    "setdefault": lambda m: m.setdefault("new", 1),
    "inserted": lambda m: m.insert("new", 1),
    "replaced": lambda m: m.replace("a", 2),
    "compare_and_set": lambda m: m.compare_and_set("a", 1, 2),
    "computed": lambda m: m.compute("a", lambda old: old + 1),
    "get_or_insert_with": lambda m: m.get_or_insert_with("new", int),
    "remove_if": lambda m: m.remove_if("a", bool),
    "retained not": lambda m: m.retain(lambda *_: False),
    "updated": lambda m: m.update(a=2, new=1),
    "set_many": lambda m: m.set_many(["a", "new"], [2, 1]),
    "pop_many": lambda m: m.pop_many(["a", "b"]),
    "cleared": lambda m: m.clear(),
}


@exactly(points="published")
@pytest.mark.parametrize("write", WRITES)
def test_no_write_shows_before_it_is_published(subject, write):
    """To anybody, the writer included; and then it does."""
    m = subject.shared(a=1, b=1)
    writer, reader = subject.view(m), subject.view(m)
    before = shown(m)
    with m.publishing_every(0):
        WRITES[write](writer)
        assert shown(writer) == shown(reader) == before
        writer.publish()
        after = shown(reader)
        assert after != before
        reader.publish()
        assert shown(writer) == after


@promised(points="published")
def test_what_was_written_shows_when_it_has_been_published(subject):
    """At the latest: through every view, in every thread."""
    m = subject.shared()
    writer = subject.view(m)
    with m.publishing_every(0):
        writer.update((number, number) for number in range(100))
        del writer[7]
        writer.publish()
        expected = {number: number for number in range(100) if number != 7}
        assert shown(m) == expected
        assert in_threads(2, lambda _: shown(subject.view(m))) == [expected] * 2


@promised(points="published")
def test_each_write_is_published_by_itself_unless_the_map_is_told_otherwise(subject):
    """Whoever made the map, and however."""
    m = subject.shared(a=1)
    reader = subject.view(m)
    m["b"] = 2
    assert reader["b"] == 2
    del m["a"]
    assert "a" not in reader
    with m.publishing_every(0):
        pass
    m["c"] = 3
    assert shown(reader) == {"b": 2, "c": 3}
    assert shown(subject.type({"d": 4})) == {"d": 4}


@exactly(points="published")
def test_a_write_goes_by_what_is_written(subject):
    """Or one value could be popped twice, and of two additions one be lost."""
    m = subject.map(a=1, gone=0)
    with m.publishing_every(0):
        assert m.pop("gone") == 0
        assert m.pop("gone", None) is None
        with pytest.raises(KeyError):
            del m["gone"]
        assert m.insert("gone", 1) is True
        assert m.insert("gone", 2) is False
        assert m.setdefault("new", 1) == m.setdefault("new", 2) == 1
        assert [m.compute("a", lambda old: old + 1) for _ in range(3)] == [2, 3, 4]
        assert m.replace("a", 5) == 4
        assert m.compare_and_set("a", 1, 0) is False
        assert m.compare_and_set("a", 5, 6) is True
        assert m.get_or_insert_with("new", int) == 1
        assert m.remove_if("gone", lambda value: value == 0) is False
        assert m.remove_if("gone", lambda value: value == 1) is True
        assert m.retain(lambda key, _: key != "new") == 1
        assert m.popitem() == ("a", 6)
        with pytest.raises(KeyError):
            m.popitem()
        assert shown(m) == {"a": 1, "gone": 0}
    assert shown(m) == {}


@exactly(points="published")
@pytest.mark.parametrize("every", [1, 2, 7])
def test_a_map_publishes_by_itself_after_so_many_writes(subject, every):
    """Not before, and at the end of the block in any case."""
    m = subject.map()
    with m.publishing_every(every):
        for number in range(20):
            m[number] = number
            assert len(m) == (number + 1) // every * every
    assert len(m) == 20


@exactly(points="published")
def test_blocks_nest_and_the_map_does_afterwards_what_it_did_before(subject):
    """Also if the block is left by an exception."""
    m = subject.map()
    with m.publishing_every(0):
        m["a"] = 1
        with pytest.raises(ZeroDivisionError), m.publishing_every(1):
            m["b"] = 1
            assert "b" in m
            m["c"] = 1 / 0
        m["e"] = 1
        assert "e" not in m
    assert "e" in m
    m["f"] = 1
    assert "f" in m


@exactly(points="published")
def test_a_publication_that_nobody_needs_changes_nothing(subject):
    """However often."""
    m = subject.map(a=1)
    for _ in range(3):
        m.publish()
        assert shown(m) == {"a": 1}


@exactly(points="published")
def test_another_thread_publishes_what_this_one_wrote(subject):
    """It is the map that publishes; and it waits for no reader that has done reading."""
    m = subject.shared()
    with m.publishing_every(0):
        m["a"] = 1
        assert m.get("a") is None
        assert finishes(lambda: subject.view(m).publish())
        assert m.get("a") == 1


# ---- side by side --------------------------------------------------------------------------------------


@exactly(points="published")
def test_readers_see_published_states_only_and_never_go_back(subject):
    """Recorded: one writer, who publishes from time to time, and two readers."""
    m = subject.shared((number, 0) for number in range(4))
    recorder = Recorder(m)
    finished = []
    whole = subject.capabilities.iteration == "snapshot"

    def write():
        view = subject.view(recorder.map)
        generator = random.Random("publication")
        try:
            for step in range(1, scale(400, 15)):
                for _ in range(generator.randrange(4)):
                    key = generator.randrange(6)
                    if generator.random() < 0.7:
                        view[key] = step
                    else:
                        view.pop(key, None)
                view.publish()
        finally:
            finished.append(True)

    def read():
        view = subject.view(recorder.map)
        generator = random.Random("reading")
        for _ in range(scale(600, 30)):
            choice = generator.random()
            if whole and choice < 0.2:
                list(view.items())
            elif whole and choice < 0.3:
                len(view)
            else:
                view.get(generator.randrange(6), ABSENT)

    with m.publishing_every(0):
        run_threads(write, read, read)
    assert finished
    check_published(recorder.history()).require()


@exactly(points="published")
def test_writers_who_take_turns_publish_each_their_own_whole(subject):
    """Recorded: with a lock around what belongs together, no reader sees a part of it."""
    m = subject.shared()
    recorder = Recorder(m)
    turn = threading.Lock()

    def write(me):
        view = subject.view(recorder.map)
        for step in range(scale(150, 8)):
            with turn:
                view["owner"] = me
                view["step"] = step
                view.publish()

    def read():
        view = subject.view(recorder.map)
        for _ in range(scale(400, 20)):
            view.get("owner", ABSENT)
            view.get("step", ABSENT)

    with m.publishing_every(0):
        run_threads(lambda: write("one"), lambda: write("other"), read)
    check_published(recorder.history()).require()


@exactly(points="published")
@promised(iteration="snapshot")
def test_a_publication_is_seen_whole_or_not_at_all(subject):
    """By iteration and copies, whatever the size of the batch."""
    count = 60
    m = subject.shared((number, 0) for number in range(count))
    together = Together(THREADS)
    done = threading.Event()

    def write():
        view = subject.view(m)
        together.wait()
        for step in range(1, scale(200, 10)):
            for number in range(count):
                view[number] = step
            view["of", step] = step
            view.pop(("of", step - 1), None)
            view.publish()
        done.set()

    def read():
        view = subject.view(m)
        together.wait()
        last = 0
        while not done.is_set():
            seen = set(view.values())
            assert len(seen) == 1
            (now,) = seen
            assert now >= last
            last = now

    with m.publishing_every(0):
        run_threads(write, read, read)


@exactly(points="published")
def test_no_computation_of_any_thread_is_lost_however_seldom_it_is_published(subject):
    """They go by what is written."""
    m = subject.shared()
    steps = scale(500, 20)

    def work(index):
        view = subject.view(m)
        for step in range(steps):
            view.compute(step % 3, lambda old: 1 if old is ABSENT else old + 1)
            if step % 10 == index:
                view.publish()

    with m.publishing_every(0):
        in_threads(THREADS, work)
    assert sum(m.values()) == THREADS * steps

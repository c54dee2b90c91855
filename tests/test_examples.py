"""The examples of docs/examples: what each says that it does, beside a simple computation in one thread."""

from __future__ import annotations

import importlib
import os
import random
import re
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import pytest

from intermodal import ABSENT, replicate
from intermodal.testing.threads import in_threads, run_threads

DOCS = Path(__file__).parents[1] / "docs"
EXAMPLES = DOCS / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("[!_]*.py"))
THREADS = 3


@pytest.fixture
def example(monkeypatch):
    """A function that imports an example by its name."""
    monkeypatch.syspath_prepend(EXAMPLES)
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if str(EXAMPLES) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def run(name, *arguments, folder):
    """Run an example as its users do."""
    return subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=dict(os.environ),
        timeout=240,
    )


# ---- all of them ------------------------------------------------------------------------------------------


def test_there_are_five_examples_each_with_its_part_of_the_page_and_its_figures():
    """One for each build."""
    assert NAMES == ["event_counts", "leaderboard", "lru_cache", "routing_table", "word_count"]
    page = (DOCS / "examples.md").read_text(encoding="utf-8")
    for name in NAMES:
        assert f"(examples/{name}.py)" in page
        for build in ("gil", "free-threaded"):
            assert f"(examples/{name}-{build}.png)" in page
            assert is_picture(EXAMPLES / f"{name}-{build}.png")


def is_picture(path):
    """Return whether a file is a PNG of a size at which something can be seen."""
    data = path.read_bytes()
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    return data.startswith(b"\x89PNG\r\n\x1a\n") and width > 500 and height > 150


def test_the_lines_that_the_page_shows_are_those_of_the_examples():
    """Word for word; methods are shown without their indentation, and blank lines do not count."""

    def dense(text):
        return re.sub(r"\n+", "\n", text)

    page = (DOCS / "examples.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```python\n# (examples/\w+\.py)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert {f"examples/{name}.py" for name in NAMES} == {file for file, _ in shown}
    for file, lines in shown:
        source = dense((DOCS / file).read_text(encoding="utf-8"))
        assert dense(lines) in source or dense(textwrap.indent(lines, "    ")) in source, lines


@pytest.mark.parametrize("name", NAMES)
def test_an_example_measures_and_draws(name, tmp_path):
    """On small input; it checks every contender first, which its exit status tells."""
    figure = tmp_path / "figure.png"
    size = {"word_count": 5}.get(name, 300)
    done = run(name, "--size", size, "--rounds", 1, "--figure", figure, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert "a second; CPython" in done.stdout
    assert re.search(r"\(1 thread\) .*\(2 threads\)$", done.stdout, re.MULTILINE)
    assert is_picture(figure)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_says_what_it_does_and_takes(name, tmp_path):
    """``--help``, and no measuring."""
    done = run(name, "--help", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    for option in ("--threads", "--rounds", "--size", "--figure"):
        assert option in done.stdout
    assert "a second" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--threads", "0"], "must be a whole number of at least 1; got '0'"),
        (["--size", "many"], "must be a whole number of at least 1; got 'many'"),
        (
            ["--figure", "no/where.png"],
            "must be a file name.png in a folder that is there; got 'no/where.png'",
        ),
        (["--figure", "picture.svg"], "must be a file name.png in a folder that is there; got 'picture.svg'"),
    ],
)
def test_an_example_refuses_what_it_cannot_do_before_it_begins(arguments, message, tmp_path):
    """With the value that was wrong."""
    done = run("event_counts", *arguments, folder=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert not done.stdout


@pytest.mark.parametrize("name", ["event_counts", "word_count"])
def test_an_example_fails_if_a_contender_counts_wrong(name, example, monkeypatch, capsys, tmp_path):
    """And says which."""
    module = example(name)
    (tmp_path / "text.py").write_text("one two two")
    wrong = {**module.CONTENDERS, "a lost update": lambda items, threads: Counter({"two": 1})}
    monkeypatch.setattr(module, "CONTENDERS", wrong)
    folder = [str(tmp_path)] if name == "word_count" else []
    monkeypatch.setattr(sys, "argv", [name, "--size", "50", "--rounds", "1", *folder])
    assert module.main() == 1
    assert capsys.readouterr().err == "a lost update: counted wrong\n"


# ---- words and events ---------------------------------------------------------------------------------------


def test_words_are_counted_as_a_counter_counts_them(example, tmp_path):
    """By every contender and any number of threads; what is no text is passed over."""
    words = example("word_count")
    (tmp_path / "below").mkdir()
    for number in range(20):
        text = "\n".join(f"def function_{each}(): return {each % (number + 1)}" for each in range(30))
        (tmp_path / "below" / f"module{number}.py").write_text(text)
    (tmp_path / "no_text.py").write_bytes(b"\xff\xfe\xfd")
    texts = words.texts_in(tmp_path, ".py", 100)
    expected = Counter(re.findall(r"\w+", " ".join(texts)))
    assert (len(texts), expected.total(), expected["def"]) == (20, 2400, 600)
    for count in words.CONTENDERS.values():
        for threads in (1, THREADS):
            assert dict(count(texts, threads)) == expected
    assert len(words.texts_in(tmp_path, ".py", 7)) == 7


def test_a_folder_without_texts_is_refused(tmp_path):
    """There is nothing to count."""
    done = run("word_count", tmp_path, folder=tmp_path)
    assert done.returncode == 2
    assert f"no text with the suffix '.py' in {str(tmp_path)!r}" in done.stderr


def test_events_are_counted_as_a_counter_counts_them(example, monkeypatch):
    """By every contender and any number of threads; the busiest are the first when sorted."""
    events = example("event_counts")
    monkeypatch.setattr(events, "BATCH", 1000)
    batches = events.made_up(2500)
    assert [len(batch) for batch in batches] == [1000, 1000, 500]
    expected = Counter(event for batch in batches for event in batch)
    assert expected.total() == 2500
    for count in events.CONTENDERS.values():
        for threads in (1, THREADS):
            assert dict(count(batches, threads)) == expected
    ranked = sorted(expected, key=lambda event: (-expected[event], event))
    busiest = [(event // events.PAGES, event % events.PAGES, expected[event]) for event in ranked[:5]]
    assert events.busiest(events.count_events(batches, 2), 5) == busiest


# ---- the cache ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("maxsize", [1, 2, 16, 1000])
def test_the_cache_hits_and_misses_as_functools_does(example, maxsize):
    """The calls of the function are the same, in the same order, and so is what is kept."""
    module = example("lru_cache")
    keys = module.made_up(2000)
    calls = {"ours": [], "theirs": []}

    def function(whose):
        return lambda key: calls[whose].append(key) or key * key

    ours, theirs = module.Cached(function("ours"), maxsize), lru_cache(maxsize)(function("theirs"))
    assert ours.results(keys) == [theirs(key) for key in keys]
    assert calls["ours"] == calls["theirs"]
    assert ours.cache.execute("info") == theirs.cache_info()
    for key in ours.cache.execute("keys"):
        theirs(key)
    assert calls["ours"] == calls["theirs"], "what we keep, they do not"


def test_threads_use_the_cache_as_if_they_took_turns(example):
    """There is one order of all operations in which a cache without threads gives each the same answer."""
    module = example("lru_cache")

    class Numbered(module.Lru):
        steps = 0

        def dispatch_mut(self, operation):
            self.steps += 1
            return self.steps, super().dispatch_mut(operation)

    cache = replicate(Numbered(8), replicas=2)
    done = []

    def work(index):
        keys = random.Random(index)
        with cache.handle() as mine:
            for _ in range(300):
                look = module.Look(keys.randrange(16))
                step, value = mine.execute_mut(look)
                done.append((step, look, value))
                if value is ABSENT:
                    put = module.Put(look.key, look.key * 10)
                    done.append((*mine.execute_mut(put)[:1], put, None))

    in_threads(THREADS, work)
    done.sort(key=lambda each: each[0])
    assert [step for step, _, _ in done] == list(range(1, len(done) + 1))
    alone = module.Lru(8)
    assert [alone.dispatch_mut(operation) for _, operation, _ in done] == [value for _, _, value in done]
    assert cache.execute("keys") == alone.dispatch("keys")
    assert cache.execute("info") == alone.dispatch("info")
    assert alone.hits
    assert alone.misses > 16


@pytest.mark.parametrize("every", [1, 4])
def test_threads_get_the_functions_own_results_from_the_cache(example, every):
    """From every contender too; no more are kept than were asked for."""
    module = example("lru_cache")
    keys = module.made_up(900)
    made = module.Cached(module.square, 16, every)
    shares = [keys[first::THREADS] for first in range(THREADS)]
    for cached in (made, *(make() for make in module.CONTENDERS.values())):
        results = in_threads(THREADS, lambda index, cached=cached: cached.results(shares[index]))
        assert results == [[key * key for key in share] for share in shares]
    assert len(made.cache.execute("keys")) == 16


def test_a_hit_that_only_reads_leaves_the_order_as_it_is(example):
    """And one of so many moves its key."""
    module = example("lru_cache")
    cached = module.Cached(module.square, 2, every=3)
    cached.results([1, 2, 1])
    assert cached.cache.execute("keys") == [1, 2]
    cached.results([1])
    assert cached.cache.execute("keys") == [2, 1]


# ---- the leaderboard ------------------------------------------------------------------------------------


def test_the_board_is_the_scores_sorted(example):
    """After threads have played: all places, each rank, all neighbours, at every contender's board."""
    module = example("leaderboard")
    games = [(player % 100, points) for player, points in module.made_up(1200)]
    expected = module.expected_of(games)
    assert len(expected) == 100
    for kind in module.contenders().values():
        board = module.measured(kind, games, THREADS)
        assert board.top(200) == expected
        assert board.top(7) == expected[:7]
    board = module.measured(module.Leaderboard, games, THREADS)
    for place, (player, score) in enumerate(expected):
        assert board.rank(player) == place + 1
        assert board.neighbours(player, 2) == expected[max(place - 2, 0) : place + 3]
        assert board.add(player, 0) == score
    assert board.top(200) == expected
    board.places._check()


def test_who_looks_at_the_board_while_it_changes_sees_an_order(example):
    """No player twice, and each one whose score stays as it is."""
    module = example("leaderboard")
    board = module.Leaderboard()
    resting = {player: player * 7 for player in range(100, 150)}
    for player, score in resting.items():
        board.add(player, score)
    playing = [1, 2]
    done = threading.Event()

    def play(seed):
        generator = random.Random(seed)
        for _ in range(400):
            board.add(generator.randrange(20), generator.randrange(-30, 40))
        playing.remove(seed)
        if not playing:
            done.set()

    def look():
        while True:
            last = done.is_set()
            seen = board.top(1000)
            assert all((-one[1], one[0]) < (-other[1], other[0]) for one, other in pairwise(seen))
            assert len({player for player, _ in seen}) == len(seen)
            assert {player: score for player, score in seen if player in resting} == resting
            around = board.neighbours(120, 3)
            assert [each for each in around if each[0] == 120] == [(120, 840)]
            if last:
                return

    run_threads(lambda: play(1), lambda: play(2), look)
    expected = [
        *((player, board.scores[player]) for player in range(20) if player in board.scores),
        *resting.items(),
    ]
    assert board.top(1000) == sorted(expected, key=lambda entry: (-entry[1], entry[0]))
    board.places._check()


# ---- the routing table ----------------------------------------------------------------------------------


def test_the_longest_prefix_decides(example):
    """As written, and as a search from end to end finds it."""
    module = example("routing_table")
    table = module.Table.of(
        7, {"10.0.0.0/8": "a", "10.1.0.0/16": "b", "10.1.2.3/32": "c", "192.168.0.0/24": "d"}
    )
    addresses = {"10.9.9.9": "a", "10.1.9.9": "b", "10.1.2.3": "c", "10.1.2.4": "b", "11.0.0.1": None}
    numbers = [int(module.ipaddress.IPv4Address(address)) for address in addresses]
    expected = [module.Answer(7, hop) for hop in addresses.values()]
    for make in module.CONTENDERS.values():
        assert make(table).route(numbers) == expected
    assert module.mistakes([None] * 7 + [table], numbers, expected) == []
    tables, made_up = module.made_up(2, 100)
    for make in module.CONTENDERS.values():
        assert module.mistakes(tables, made_up, make(tables[1]).route(made_up)) == []


def test_every_answer_is_of_one_table_while_tables_are_loaded(example, monkeypatch):
    """Several threads ask; each burst is answered by one table, and each answer is that table's."""
    module = example("routing_table")
    monkeypatch.setattr(module, "PREFIXES", 100)
    tables, addresses = module.made_up(3, 2000)
    for make in module.CONTENDERS.values():
        router = make(tables[0])
        answers = module.serve(router, tables, addresses, THREADS)
        assert len(answers) == len(addresses)
        assert module.mistakes(tables, addresses, answers) == []
        for first in range(0, len(answers), module.BURST):
            assert len({each.version for each in answers[first : first + module.BURST]}) == 1
        assert router.route(addresses[:1])[0].version == 20 % 3


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_table_that_is_loaded_within_a_look_up_is_not_the_one_that_answers(example, at):
    """Between any two of its steps; the next look-up is answered by the new one."""
    module = example("routing_table")
    tables = [
        module.Table.of(0, {"0.0.0.0/0": "old"}),
        module.Table.of(1, {"10.0.0.0/8": "new", "10.1.0.0/16": "new"}),
    ]
    router = module.EvRouter(tables[0])
    steps = []

    class Watched:
        def __init__(self, routes):
            self.routes = routes

        def get(self, key):
            steps.append(key)
            if len(steps) == at:
                in_threads(1, lambda _: router.load(tables[1]))
            return self.routes.get(key)

    with router.routes.guard() as routes:
        assert module.longest(Watched(routes), (24, 16, 8, 0), 0x0A010203) == "old"
        assert routes.meta == (0, (0,))
    assert len(steps) == 4
    assert router.route([0x0A010203]) == [module.Answer(1, "new")]


def test_a_mixture_of_two_tables_is_noticed(example):
    """A router that reads the number of one and the routes of the next."""
    module = example("routing_table")
    tables, addresses = module.made_up(2, 50)
    router = module.SwapRouter(tables[0])
    torn = [module.Answer(0, answer.hop) for answer in module.SwapRouter(tables[1]).route(addresses)]
    assert module.mistakes(tables, addresses, router.route(addresses)) == []
    assert len(module.mistakes(tables, addresses, torn)) == 50

"""What ``intermodal bench`` measures with: workloads, self-checking, figures and the pick."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections import Counter

import attrs
import pytest

from intermodal.bench import contenders, runner, workloads
from intermodal.bench.contenders import Contender, Field
from intermodal.bench.report import Figure, Machine, Report, figures_of, recommend
from intermodal.bench.runner import Crew, Plan, Sample, SelfCheckError, measure, measure_latencies
from intermodal.bench.workloads import MIXES, READ, REMOVE, WRITE, BenchmarkError, Synthetic, Trace
from intermodal.capabilities import Capabilities

DICT = Contender("dict", "", dict)
QUICK = {"rounds": 1, "seconds": 0.002}


@pytest.fixture(autouse=True)
def short_passes(monkeypatch):
    """Let passes be as short as small sizes allow: nothing here depends on their length."""
    monkeypatch.setattr(workloads, "SHORTEST_PASS", 1_000)


def operations(share):
    return [(kind, key) for chunk in share.chunks for kind, keys in chunk for key in keys]


def backend(name, **promises):
    graded = {
        "points": "linearizable",
        "iteration": "weak",
        "length": "exact",
        "length_cost": "O(1)",
        "clear": "atomic",
    }
    return Contender(name, "", dict, capabilities=Capabilities(**graded, **promises))


# ---- workloads ----------------------------------------------------


@pytest.mark.parametrize("mix", MIXES.values(), ids=str)
def test_every_mix_accounts_for_all_operations(mix):
    """The shares of reads, inserts, removes and updates are percentages of one whole."""
    assert mix.read + mix.insert + mix.remove + mix.update == 100


@pytest.mark.parametrize("mix", MIXES.values(), ids=str)
@pytest.mark.parametrize("distribution", workloads.DISTRIBUTIONS)
def test_same_seed_gives_same_operations(mix, distribution):
    """Size, seed, thread and number of threads determine every operation; another seed gives others."""
    work = Synthetic(mix, 1_000, distribution, seed=7)
    assert work.share(1, 2) == work.share(1, 2)
    assert work.share(1, 2) != work.share(0, 2)
    assert work.share(1, 2) != Synthetic(mix, 1_000, distribution, seed=8).share(1, 2)


@pytest.mark.parametrize("mix", MIXES.values(), ids=str)
def test_pass_has_the_proportions_of_its_mix(mix):
    """Of the operations of a pass exactly as many per cent are of each kind as the mix says."""
    kinds = Counter(kind for kind, _ in operations(Synthetic(mix, 1_000).share(0, 2)))
    total = sum(kinds.values())
    assert kinds[READ] * 100 == mix.read * total
    assert kinds[WRITE] * 100 == (mix.insert + mix.update) * total
    assert kinds[REMOVE] * 100 == mix.remove * total


@pytest.mark.parametrize("mix", [mix for mix in MIXES.values() if not mix.grows], ids=str)
def test_pass_leaves_the_keys_as_it_found_them(mix):
    """Passes of a mix that keeps the size can follow one another on the same map."""
    work = Synthetic(mix, 1_000)
    shares = [work.share(thread, 2) for thread in range(2)]
    after = workloads.expected_state(shares, [len(share.chunks) for share in shares])
    assert {key for key, values in after.items() if values} == set(workloads.make_keys(1_000))


def test_keys_are_looked_up_with_other_objects_than_stored():
    """No look-up can succeed by identity alone."""
    share = Synthetic(MIXES["C"], 200).share(0, 1)
    stored = {id(key) for key in share.fill}
    assert not any(id(key) in stored for _, key in operations(share))


def test_queries_do_not_follow_the_order_of_insertion():
    """Reads in the order of insertion would find the next entry in the cache."""
    share = Synthetic(MIXES["C"], 200).share(0, 1)
    asked = [key for _, key in operations(share)][:200]
    assert asked != sorted(asked)


def test_zipf_prefers_few_keys_that_are_no_neighbours():
    """The ten hottest keys get a large part of the operations, and lie scattered over the keys."""
    share = Synthetic(MIXES["C"], 10_000, "zipf").share(0, 1)
    counts = Counter(key for _, key in operations(share))
    hottest = [int(key.removeprefix("key-")) for key, _ in counts.most_common(10)]
    assert sum(counts[f"key-{number:08d}"] for number in hottest) > sum(counts.values()) / 5
    assert max(hottest) - min(hottest) > 1_000


def test_unknown_mix_suggests_the_nearest():
    """The message about an unknown mix names the one that was meant and all others."""
    with pytest.raises(BenchmarkError, match=r"'readheavy'; did you mean 'ReadHeavy'\? .*RapidGrow, A, B, C"):
        workloads.find_mix("readheavy")


def test_size_too_small_for_the_threads_is_refused():
    """The message says which size would do."""
    with pytest.raises(BenchmarkError, match="at least 320"):
        Synthetic(MIXES["Exchange"], 319).share(0, 2)
    Synthetic(MIXES["Exchange"], 320).share(0, 2)


def test_trace_keeps_the_order_of_the_file(tmp_path):
    """Every word is the key of one operation; the first sight of a word writes, later ones read."""
    file = tmp_path / "words.txt"
    file.write_text("to be or\nnot to be\n")
    trace = Trace.from_file(file, MIXES["C"])
    expected = [(WRITE, "to"), (WRITE, "be"), (WRITE, "or"), (WRITE, "not"), (READ, "to"), (READ, "be")]
    assert operations(trace.share(0, 1)) == expected


def test_trace_overwrites_in_the_proportion_of_its_mix(tmp_path):
    """Of the later sights of keys half are overwritten by mix A."""
    file = tmp_path / "words.txt"
    file.write_text("word " * 201)
    kinds = Counter(kind for kind, _ in operations(Trace.from_file(file, MIXES["A"]).share(0, 1)))
    assert kinds == {READ: 100, WRITE: 101}


def test_trace_deals_operations_out_to_the_threads_in_turn(tmp_path):
    """Of two threads each takes every second word, so that both meet the frequent ones."""
    file = tmp_path / "words.txt"
    file.write_text("a b a b c")
    trace = Trace.from_file(file, MIXES["C"])
    assert [key for _, key in operations(trace.share(0, 2))] == ["a", "a", "c"]
    assert [key for _, key in operations(trace.share(1, 2))] == ["b", "b"]


def test_trace_of_lines_takes_whole_lines(tmp_path):
    """With lines, blanks are part of the key."""
    file = tmp_path / "log.txt"
    file.write_text("GET /a\nGET /b\nGET /a\n")
    assert Trace.from_file(file, MIXES["C"], lines=True).keys == ("GET /a", "GET /b", "GET /a")


def test_trace_refuses_mixes_that_remove(tmp_path):
    """The message names the mixes that a file of keys can have."""
    with pytest.raises(BenchmarkError, match="take one of A, B, C"):
        Trace(("a",), MIXES["Exchange"], "nowhere")


def test_trace_tells_undecodable_keys_apart(tmp_path):
    """Bytes that are no UTF-8 are keys too, and different ones stay different."""
    file = tmp_path / "bytes.bin"
    file.write_bytes(b"\xff \xfe \xff")
    assert len(set(Trace.from_file(file, MIXES["C"]).keys)) == 2


# ---- self-checking ----------------------------------------------------


@pytest.fixture(scope="module")
def peers():
    """dict, and the peers that are installed."""
    return contenders.enter([]).contenders


@pytest.mark.parametrize("mix", MIXES.values(), ids=str)
@pytest.mark.parametrize("threads", [1, 2])
def test_correct_maps_pass_every_check(peers, mix, threads):
    """dict and its peers survive each mix with every result asserted and the final state compared."""
    plan = Plan(peers, Synthetic(mix, 1_000), (threads,), **QUICK)
    for samples in (list(measure(plan)), list(measure_latencies(plan))):
        assert {sample.contender for sample in samples} == {each.name for each in peers}
    assert {"dict", "dict + Lock"} <= {each.name for each in peers}


def test_correct_maps_pass_a_trace():
    """Two threads that meet on the same words agree about them."""
    words = ("the", "quick", "fox", "and", "the", "lazy", "dog", "and", "the", "cat")
    assert list(measure(Plan((DICT,), Trace(words, MIXES["A"], "here"), (1, 2), **QUICK)))


def check_broken(broken, mix, size=200, **plan):
    """Return the error that measuring a broken dict stops with."""
    with pytest.raises(SelfCheckError) as caught:
        list(measure(Plan((Contender("broken", "", broken),), Synthetic(MIXES[mix], size), **QUICK | plan)))
    assert str(caught.value).startswith("broken gave a wrong result")
    return caught.value


@pytest.mark.parametrize("mix", MIXES)
def test_lost_insert_stops_the_run(mix):
    """A map that loses one insert is found out by every mix; the error names backend, key and results."""

    class Losing(dict):
        def __setitem__(self, key, value):
            if key != "key-00000003":
                super().__setitem__(key, value)

    error = check_broken(Losing, mix, threads=(1,))
    assert error.key == "key-00000003"
    assert error.expected.startswith("an entry")
    assert "KeyError" in str(error)


def test_lost_update_stops_the_run():
    """A map that keeps a key's first value is found out, though all values of a key are equal."""

    class Keeping(dict):
        def __setitem__(self, key, value):
            if key != "key-00000003":
                super().__setitem__(key, value)
            else:
                self.setdefault(key, value)

    assert check_broken(Keeping, "A", size=10, threads=(1,)).key == "key-00000003"


def test_wrong_value_stops_the_run():
    """A read that returns another key's value is found out while it happens."""

    class Mixed(dict):
        def __getitem__(self, key):
            return super().__getitem__("key-00000005" if key == "key-00000004" else key)

    error = check_broken(Mixed, "C", threads=(1,))
    assert (error.key, error.got) == ("key-00000004", "'key-00000005'")


def test_removed_key_that_stays_stops_the_run():
    """A map that forgets to remove is found out at the end."""

    class Clinging(dict):
        def __delitem__(self, key):
            self[key]

    assert "it was removed" in check_broken(Clinging, "RapidGrow", threads=(1,)).expected


def test_error_in_one_thread_stops_the_others():
    """Threads that wait for a start that never comes are set free, and the real error is what is raised."""

    class Failing(dict):
        def __setitem__(self, key, value):
            if key == "key-00000999":
                raise ZeroDivisionError
            super().__setitem__(key, value)

    with pytest.raises(ZeroDivisionError):
        list(measure(Plan((Contender("failing", "", Failing),), Synthetic(MIXES["B"], 1_000), (2,), **QUICK)))


def test_contenders_take_turns():
    """Each round goes through all contenders before the next begins."""
    others = [Contender(name, "", dict) for name in "ab"]
    samples = measure(Plan(tuple(others), Synthetic(MIXES["C"], 100), (1,), rounds=3, seconds=0.002))
    assert [sample.contender for sample in samples] == list("ababab")


def test_crew_returns_what_each_thread_returned():
    """Results come in the order of the threads."""
    with Crew(3) as crew:
        assert crew.run(lambda thread: thread * 10) == [0, 10, 20]


@pytest.mark.parametrize(
    "fault", [{"threads": (0,)}, {"threads": ()}, {"rounds": 0}, {"seconds": 0}, {"seconds": float("nan")}]
)
def test_impossible_plans_are_refused(fault):
    """A plan that could not be carried out is not made."""
    with pytest.raises(BenchmarkError, match=r"at least 1|more than 0"):
        Plan((DICT,), Synthetic(MIXES["C"]), **fault)


# ---- contenders ----------------------------------------------------


def test_each_contender_has_code_of_its_own():
    """Bytecode that one contender's types have specialized is not run by another."""
    assert Contender("a", "", dict).run.__code__ is not Contender("b", "", dict).run.__code__


def test_dict_is_always_measured():
    """Without peers there is still the baseline of the ratios."""
    assert "dict" in [each.name for each in contenders.enter([], peers=False).contenders]


def test_unknown_backend_suggests_the_nearest():
    """The message about an unknown backend names the one that was meant."""
    with pytest.raises(BenchmarkError, match="did you mean 'locked'"):
        contenders.enter(["loked"])


def test_whoever_turns_the_gil_on_is_left_out(monkeypatch):
    """Where the GIL is off, a backend whose loading turns it on is refused by name, or left out with a
    note.
    """
    asked = []

    def probe(command, **_):
        asked.append(command[-1])
        return subprocess.CompletedProcess(command, 0, stdout="True\n", stderr="")

    monkeypatch.setattr(contenders, "gil_enabled", lambda: False)
    monkeypatch.setattr(contenders.subprocess, "run", probe)
    monkeypatch.setattr(contenders, "_harmless", set())
    with pytest.raises(BenchmarkError, match="locked is left out: loading it turns the GIL back on"):
        contenders.enter(["locked"], peers=False)
    field = contenders.enter(peers=False)
    assert "locked" not in [each.name for each in field.contenders]
    assert any("locked is left out" in note for note in field.notes)
    assert "open_map('locked')" in asked[0]


def test_backends_are_used_by_handles():
    """A thread enters a handle of its own, and leaves it."""
    (locked, _) = contenders.enter(["locked"], peers=False).contenders
    with locked.view(locked.make()) as view:
        view["a"] = 1
        assert view["a"] == 1


# ---- figures, pick, report ----------------------------------------------------


def figures(**rates):
    """Return figures of one or more numbers of threads from ``name=(rate with 1, rate with 2)``."""
    return figures_of(
        Sample(name.replace("_", "."), threads, rate, 1.0)
        for name, each in rates.items()
        for threads, rate in enumerate(each, 1)
    )


def test_figures_are_medians_and_ratios_to_dict():
    """One round that went wrong does not count; the ratio is of medians."""
    samples = [Sample(name, 1, rate, 1.0) for name, rate in [("dict", 10), ("x", 30), ("x", 1), ("x", 20)]]
    (plain, x) = figures_of(samples)
    assert (plain.ratio, x.rate, x.ratio, x.spread) == (1.0, 20, 2.0, 29 / 20)


def test_dict_is_recommended_where_it_is_enough():
    """A backend that is not ahead is not recommended, and the reason gives the figure."""
    pick = recommend(figures(dict=(100, 100), swiss=(50, 105)), [backend("swiss"), DICT])
    assert pick.name == "dict"
    assert "Plain dict is enough: with 2 threads swiss" in pick.why
    assert "1.05" in pick.why


def test_fastest_backend_is_recommended_where_it_is_ahead():
    """The pick goes by the largest number of threads and says what the backend promises."""
    field = [backend("locked"), backend("swiss", lock_free_reads=True), DICT]
    pick = recommend(figures(dict=(100, 100), locked=(20, 10), swiss=(80, 180)), field)
    assert pick.name == "swiss"
    assert "1.80 times dict's throughput with 2 threads, 0.80 times with 1" in pick.why
    assert "readers never wait" in pick.why


def test_faster_peer_is_named_with_what_it_lacks():
    """A peer that is no complete mapping is not the pick, but is not hidden."""
    peer = Contender("peer.Dict", "", dict, lacks="iteration")
    pick = recommend(figures(dict=(100,), swiss=(150,), peer_Dict=(300,)), [backend("swiss"), DICT, peer])
    assert pick.name == "swiss"
    assert "peer.Dict is faster (3.00), but lacks iteration" in pick.why


def test_without_dict_the_fastest_backend_is_recommended():
    """An interrupted run may have no figure of dict."""
    pick = recommend(figures(locked=(10,), swiss=(20,)), [backend("locked"), backend("swiss")])
    assert pick.name == "swiss"
    assert "fastest of the backends" in pick.why


def test_nothing_is_recommended_without_a_backend():
    """Of peers alone there is nothing to choose."""
    assert recommend((), [DICT]) is None
    assert recommend(figures(dict=(1,)), [DICT]) is None


def test_report_survives_json():
    """What is written to a file can be read back into the same report."""
    plan = Plan((DICT, backend("swiss")), Synthetic(MIXES["B"]), (1,), **QUICK)
    samples = [Sample("dict", 1, 10, 1.0), Sample("swiss", 1, 20, 1.0)]
    report = Report.of(plan, Field(plan.contenders, ("a note",)), samples, gil_before=True)
    assert report.complete
    assert report.pick is not None
    assert Report.from_dict(json.loads(json.dumps(report.as_dict()))) == report
    assert Report.from_dict(json.loads(json.dumps(attrs.evolve(report, pick=None).as_dict()))).pick is None


def test_report_of_an_interrupted_run_says_so():
    """A report of fewer samples than planned is not complete."""
    plan = Plan((DICT,), Synthetic(MIXES["B"]), (1,), rounds=2)
    assert not Report.of(plan, Field((DICT,), ()), [Sample("dict", 1, 10, 1.0)], gil_before=True).complete


def test_machine_tells_a_gil_that_came_back():
    """A GIL that was off at the start and on at the end is named as both."""
    here = Machine.here([DICT], gil_before=True)
    assert attrs.evolve(here, gil_before=False, gil_after=True).gil == "off at the start, on at the end"
    assert here.versions["intermodal"]
    assert here.cpu


def test_interrupted_measurement_sends_the_crew_home(monkeypatch):
    """Closing the generator in the middle ends its threads."""
    crews = []
    crew_of = runner.Crew
    monkeypatch.setattr(runner, "Crew", lambda threads: crews.append(crew_of(threads)) or crews[-1])
    with contextlib.closing(measure(Plan((DICT,), Synthetic(MIXES["C"], 100), (2,), **QUICK))) as samples:
        next(samples)
    assert crews[0].cancelled


def test_figure_of_one_round_has_no_spread():
    """One round leaves nothing to compare."""
    assert Figure("dict", 1, (5.0,), 1.0).spread == 0

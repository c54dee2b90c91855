"""``intermodal bench --report`` and ``--png``: what is measured for them, the page in a browser, the images."""

from __future__ import annotations

import importlib.util
import json
import threading
from collections import Counter

import attrs
import pytest
from helpers import browser
from typer.testing import CliRunner

from intermodal import _commands, cli
from intermodal._commands.progress import gather
from intermodal.bench import contenders, memory, runner, survey, workloads
from intermodal.bench.contenders import Contender, Field
from intermodal.bench.images import write_images
from intermodal.bench.memory import Memory, measure_memory
from intermodal.bench.page import page_of, report_in
from intermodal.bench.plots import plots_of
from intermodal.bench.report import Latency, Report, latencies_of
from intermodal.bench.runner import Latencies, Plan, Sample, SelfCheckError
from intermodal.bench.survey import MixSample, Omission, Survey, findings
from intermodal.bench.workloads import MIXES, BenchmarkError, Synthetic, Trace, write_mix

DICT = Contender("dict", "3", dict)
QUICK = {"rounds": 1, "seconds": 0.002}
SMALL = (
    *("bench", "--backends", "locked", "--no-peers", "--threads", "1,2", "--rounds", "1"),
    *("--seconds", "0.002", "--size", "100", "--writes", "0,100", "--entries", "100,1000"),
)
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(autouse=True)
def short_passes(monkeypatch):
    """Let passes be as short as small sizes allow: nothing here depends on their length."""
    monkeypatch.setattr(workloads, "SHORTEST_PASS", 1_000)


def invoke(*arguments):
    return CliRunner().invoke(_commands.app, list(arguments))


def survey_of(*others, **fields):
    plan = Plan((*others, DICT), Synthetic(MIXES["B"], 100), (1, 2), **QUICK)
    return Survey(plan, **{"writes": (0, 100), "entries": (100, 1000)} | fields)


def made_up(wanted):
    """Return findings as measuring would yield them, with figures that are round."""
    plan = wanted.plan
    samples = [Sample(each.name, threads, 1000, 0.5) for threads in plan.threads for each in plan.contenders]
    times = Counter({100: 900, 200: 99, 5_000: 1})
    return [
        *samples,
        *(Latencies(each.name, 2, times, Counter({150: 10})) for each in plan.contenders),
        *(Memory(each.name, size, 64.5) for each in plan.contenders for size in wanted.entries),
        *(MixSample(writes, sample) for writes in wanted.writes for sample in samples),
    ]


@pytest.fixture
def made():
    """A report of everything, whose names would end a script or a tag if they were written as they are."""
    hostile = attrs.evolve(contenders.find("locked"), name='</script><b title="x">&amp;')
    wanted = survey_of(hostile)
    field = Field(wanted.plan.contenders, ("a <note>",))
    return Report.of_survey(wanted, field, made_up(wanted), gil_before=True)


# ---- what is measured ----------------------------------------------------


def test_survey_measures_everything_that_it_announces():
    """As many steps as it said: threads, shares of writes, latencies and memory of every contender."""
    wanted = survey_of(contenders.find("locked"), contenders.find("dict + Lock"))
    found = list(findings(wanted))
    assert sum(map(wanted.steps_of, found)) == wanted.steps
    report = Report.of_survey(wanted, Field(wanted.plan.contenders, ()), found, gil_before=True)
    names = {"locked", "dict + Lock", "dict"}
    assert report.complete
    assert {(each.contender, each.threads) for each in report.figures} == {
        (n, t) for n in names for t in (1, 2)
    }
    assert [mix.writes for mix in report.mixes] == [0, 100]
    assert all({each.contender for each in mix.figures} == names for mix in report.mixes)
    assert {(each.contender, each.operation) for each in report.latencies} == {
        (name, kind) for name in names for kind in ("read", "write")
    }
    assert {(each.contender, each.entries) for each in report.memory} == {
        (name, size) for name in names for size in (100, 1000)
    }
    assert Report.from_dict(json.loads(json.dumps(report.as_dict()))) == report


def test_every_operation_of_a_pass_is_timed():
    """Of a workload that takes a fresh map for each pass there are as many times as operations."""
    plan = Plan((DICT,), Trace(("a", "b", "a", "a", "b"), MIXES["C"], "here"), (1,), **QUICK)
    (latencies,) = runner.measure_latencies(plan)
    assert latencies.reads.total() * 2 == latencies.writes.total() * 3
    assert latencies.writes.total() >= 2


@pytest.mark.parametrize("mix", MIXES.values(), ids=str)
def test_timed_loops_do_all_kinds_of_operations(mix):
    """With and without the lock, on maps that keep their size and on maps that grow."""
    plan = Plan((DICT, contenders.find("dict + Lock")), Synthetic(mix, 1_000), (2,), **QUICK)
    for latencies in runner.measure_latencies(plan):
        assert bool(latencies.reads) is (mix.read > 0)
        assert bool(latencies.writes) is (mix.read < 100)


def test_timed_loops_check_results_too():
    """A map that returns another key's value is found out while latencies are measured."""

    class Mixed(dict):
        def __getitem__(self, key):
            return super().__getitem__("key-00000005" if key == "key-00000004" else key)

    plan = Plan((Contender("mixed", "", Mixed),), Synthetic(MIXES["C"], 100), (1,), **QUICK)
    with pytest.raises(SelfCheckError, match="mixed gave a wrong result.*key-00000004"):
        list(runner.measure_latencies(plan))


def test_timed_locked_loop_checks_results_too():
    """The same for the loop that takes the lock."""
    locked = contenders.find("dict + Lock")

    class Mixed(contenders.LockedDict):
        def __init__(self):
            self.lock = threading.Lock()
            self.data = type("Wrong", (dict,), {"__getitem__": lambda *_: "wrong"})()

    plan = Plan((attrs.evolve(locked, make=Mixed),), Synthetic(MIXES["C"], 100), (1,), **QUICK)
    with pytest.raises(SelfCheckError, match=r"dict \+ Lock gave a wrong result"):
        list(runner.measure_latencies(plan))


def test_quantiles_are_times_that_occurred():
    """The part of 0.9 is the time that 90 of 100 operations did not exceed; the slowest is the worst."""
    latency = Latency.of("x", 1, "read", Counter({10: 50, 20: 40, 30: 9, 1_000: 1}))
    assert dict(latency.quantiles)[0.5] == 10
    assert dict(latency.quantiles)[0.9] == 20
    assert dict(latency.quantiles)[0.95] == 30
    assert (latency.count, latency.worst, latency.mean) == (100, 1_000, 25.7)


def test_quantiles_stop_where_operations_do():
    """Of a hundred operations nobody knows what one in a thousand takes."""
    parts = [part for part, _ in Latency.of("x", 1, "read", Counter({10: 100})).quantiles]
    assert max(parts) == 0.99


def test_latencies_of_rounds_are_pooled():
    """A slow operation of one round is in the distribution of all; kinds without operations are left out."""
    rounds = [Latencies("x", 1, Counter({10: 5}), Counter()), Latencies("x", 1, Counter({90: 1}), Counter())]
    (latency,) = latencies_of(rounds)
    assert (latency.operation, latency.count, latency.worst) == ("read", 6, 90)


@pytest.mark.parametrize(("percent", "reads"), [(0, 100), (10, 90), (80, 20), (100, 0)])
def test_share_of_writes_is_a_mix(percent, reads):
    """The writes overwrite; keys do not come and go."""
    mix = write_mix(percent)
    assert (mix.read, mix.update, mix.insert, mix.remove) == (reads, percent, 0, 0)


def test_memory_is_that_of_the_entries():
    """A dict of a hundred thousand entries takes at least its index and its table of entries."""
    (few, many) = measure_memory(DICT, [100_000, 10])
    assert (few.entries, many.entries) == (10, 100_000)
    assert 24 < many.bytes_per_entry < 500


def test_memory_that_cannot_be_measured_is_a_note(monkeypatch):
    """The report is complete without it, and says why."""
    monkeypatch.setattr(memory.sys, "executable", "/bin/false")
    wanted = survey_of()
    found = [each for each in made_up(wanted) if not isinstance(each, Memory)]
    found += [each for each in findings(wanted) if isinstance(each, Omission)]
    report = Report.of_survey(wanted, Field((DICT,), ()), found, gil_before=True)
    assert report.complete
    assert report.notes == ("the memory of dict cannot be measured: exit status 1",)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"writes": (0, 101)}, "from 0 to 100 per cent; got 101"),
        ({"writes": ()}, "at least one share"),
        ({"entries": (0,)}, "at least 1; got 0"),
        ({"entries": ()}, "at least 1"),
    ],
)
def test_impossible_surveys_are_refused(fields, message):
    """A survey that could not be made is not begun."""
    with pytest.raises(BenchmarkError, match=message):
        survey_of(**fields)


# ---- the page ----------------------------------------------------


def test_page_shows_every_figure_in_a_browser(made, tmp_path):
    """Each plot has a trace for each of its contenders, no script fails, and the JSON is the report's."""
    page = tmp_path / "report.html"
    page.write_text(page_of(made), encoding="utf-8")
    shown = browser.show(page, tmp_path / "profile")
    assert shown.errors == ""
    assert shown.drawn == {plot.name: len(plot.lines) for plot in plots_of(made)}
    assert set(shown.drawn) == {
        "threads",
        "writes-threads-1",
        "writes-threads-2",
        "threads-writes-0",
        "threads-writes-100",
        "latency-reads",
        "latency-writes",
        "memory",
    }
    assert set(shown.drawn.values()) == {2}
    assert json.loads(shown.scripts["report"]) == json.loads(json.dumps(made.as_dict()))
    assert not [title for title in shown.titles if "share" in title.lower() or "cloud" in title.lower()]


@pytest.mark.parametrize(
    ("defect", "message"),
    [
        ('<script>noSuchFunction("x")</script>', "noSuchFunction is not defined"),
        ('<script>Promise.reject(new Error("late"))</script>', "late"),
        (
            '<img src="https://example.org/pixel.png" alt="">',
            "kept from loading https://example.org/pixel.png",
        ),
        ('<script src="https://example.org/x.js"></script>', "kept from loading https://example.org/x.js"),
    ],
    ids=["exception", "rejection", "image", "script"],
)
def test_page_says_what_goes_wrong_in_it(made, tmp_path, defect, message):
    """A failing script is seen on the page, and so is anything that it was kept from loading."""
    page = tmp_path / "report.html"
    page.write_text(page_of(made).replace("</body>", f"{defect}</body>"), encoding="utf-8")
    assert message in browser.show(page, tmp_path / "profile").errors


def test_page_that_cannot_draw_says_so(made, tmp_path):
    """A figure that the plotting library refuses is an error on the page, and is not counted as drawn."""
    page = tmp_path / "report.html"
    text = page_of(made).replace("Plotly.newPlot(place, figure.data", "Plotly.newPlot(null, figure.data")
    page.write_text(text, encoding="utf-8")
    shown = browser.show(page, tmp_path / "profile")
    assert shown.errors
    assert set(shown.drawn.values()) == {None}


def test_report_is_recovered_from_its_page(made, tmp_path):
    """The page holds all that the report holds."""
    page = tmp_path / "report.html"
    page.write_text(page_of(made), encoding="utf-8")
    assert report_in(page) == made


def test_page_describes_machine_and_pick(made):
    """Processor, interpreter, the state of the GIL, notes and the pick are in words, with their names escaped."""
    text = page_of(made)
    assert made.machine.cpu in text
    assert made.machine.python.split(" ")[1] in text
    assert "a &lt;note&gt;" in text
    assert made.pick is not None
    assert "<b title=" not in text
    assert 'id="partial"' not in text


def test_page_of_nothing_says_so(made, tmp_path):
    """A run that was interrupted at once has a page too, without plots and without errors."""
    nothing = attrs.evolve(
        made, complete=False, figures=(), mixes=(), latencies=(), clock=None, memory=(), pick=None
    )
    page = tmp_path / "report.html"
    page.write_text(page_of(nothing), encoding="utf-8")
    assert "Nothing had been measured" in page.read_text(encoding="utf-8")
    shown = browser.show(page, tmp_path / "profile")
    assert (shown.errors, shown.drawn) == ("", {})


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot read"), (b"\xff\xfe\x00", "cannot read"), (b"<html></html>", "has no figures in it")],
)
def test_what_is_no_page_is_refused(tmp_path, content, message):
    """The message names the file and what was expected."""
    page = tmp_path / "other.html"
    if content is not None:
        page.write_bytes(content)
    with pytest.raises(BenchmarkError, match=f"{message}.*"):
        report_in(page)


# ---- plots and images ----------------------------------------------------


def test_contender_looks_the_same_in_every_plot(made):
    """Colour and marker belong to the contender, and two contenders do not share both."""
    lines = [line for plot in plots_of(made) for line in plot.lines]
    looks = {line.name: (line.colour, line.marker) for line in lines}
    assert all((line.colour, line.marker) == looks[line.name] for line in lines)
    assert len(set(looks.values())) == len(looks) == 2


def test_peers_are_dashed(made):
    """Backends are drawn solid, so that the two kinds are told apart without colour."""
    dashed = {line.name: line.dashed for line in plots_of(made)[0].lines}
    assert dashed == {made.backends[0]: False, "dict": True}


def test_rounds_are_drawn_as_bars(made):
    """A point is the median, between the least and the most of the rounds."""
    figures = tuple(attrs.evolve(each, rates=(1.0, 5.0, 2.0)) for each in made.figures)
    for line in plots_of(attrs.evolve(made, figures=figures))[0].lines:
        assert (line.xs, line.low, line.ys, line.high) == ((1, 2), (1.0,) * 2, (2.0,) * 2, (5.0,) * 2)


def test_images_are_written_for_every_plot(made, tmp_path):
    """A PNG for each plot, in a folder that is made."""
    files = write_images(made, tmp_path / "new")
    assert [file.stem for file in files] == [plot.name for plot in plots_of(made)]
    assert all(file.read_bytes().startswith(PNG) for file in files)


# ---- the command ----------------------------------------------------


def test_bench_writes_page_images_and_json_of_one_run(tmp_path):
    """All three hold the same figures."""
    page, images, figures = tmp_path / "r.html", tmp_path / "images", tmp_path / "r.json"
    result = invoke(*SMALL, "--report", str(page), "--png", str(images), "--json", str(figures))
    assert result.exit_code == 0, result.output
    report = Report.from_dict(json.loads(figures.read_text()))
    assert report == report_in(page)
    assert report.complete
    assert {file.stem for file in images.iterdir()} == {plot.name for plot in plots_of(report)}
    assert "pick here: " in result.stdout


def test_interrupted_report_is_kept_and_marked(tmp_path, monkeypatch):
    """After Ctrl-C page and images show what there is, and the page says that it is not all."""

    def interrupted(wanted):
        yield from made_up(wanted)[:5]
        raise KeyboardInterrupt

    monkeypatch.setattr(survey, "findings", interrupted)
    page, images = tmp_path / "r.html", tmp_path / "images"
    result = invoke(*SMALL, "--report", str(page), "--png", str(images))
    assert result.exit_code == 130
    assert "interrupted; this was measured so far" in result.stdout
    assert 'id="partial"' in page.read_text(encoding="utf-8")
    report = report_in(page)
    assert not report.complete
    assert [each.contender for each in report.latencies] == ["locked", "locked"]
    assert {file.stem for file in images.iterdir()} == {"threads", "latency-reads", "latency-writes"}
    shown = browser.show(page, tmp_path / "profile")
    assert (shown.errors, shown.drawn) == ("", {"threads": 2, "latency-reads": 1, "latency-writes": 1})


def test_interrupted_survey_sends_its_threads_home(monkeypatch):
    """What measures is closed, so that no thread of it goes on."""
    closed = []

    def measuring():
        try:
            yield 1
            raise KeyboardInterrupt
        finally:
            closed.append(True)

    assert gather(measuring(), 2) == (130, [1])
    assert closed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--report", "/no/such/folder/file"], "cannot write '/no/such/folder/file' for --report"),
        (["--png", "/no/such/folder/images"], "cannot write '/no/such/folder/images' for --png"),
        (["--png", __file__], "is a file; give --png a folder"),
        (["--writes", "10"], "--writes is for reports; say where with --report FILE or --png FOLDER"),
        (["--entries", "10"], "--entries is for reports"),
        (["--report", "r.html", "--writes", "10,half"], "--writes takes numbers"),
        (["--report", "r.html", "--writes", "10,-1"], "from 0 to 100 per cent; got -1"),
        (["--report", "r.html", "--entries", "0"], "at least 1; got 0"),
    ],
)
def test_bad_options_of_reports_are_one_line_and_status_2(arguments, message, capsys, tmp_path, monkeypatch):
    """Whatever is wrong is said before anything is measured, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    assert cli.run(["bench", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("option", "missing"), [("--report", "plotly"), ("--report", "jinja2"), ("--png", "matplotlib")]
)
def test_missing_extra_of_reports_is_one_line_and_status_1(option, missing, capsys, tmp_path, monkeypatch):
    """Before anything is measured the command says what to install."""
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else found(name))
    assert cli.run(["bench", option, str(tmp_path / "out")]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert (
        captured.err == f"intermodal: {option} needs {missing}; install: pip install 'intermodal[report]'\n"
    )

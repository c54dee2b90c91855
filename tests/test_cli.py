"""The command ``intermodal``: what it prints, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import attrs
import pytest
from typer.testing import CliRunner

from intermodal import _commands, backends, cli
from intermodal.bench import runner
from intermodal.bench.report import Machine, Report
from intermodal.bench.runner import Sample, SelfCheckError
from intermodal.capabilities import FIELDS

QUICK = [
    "bench",
    "--backends",
    "locked",
    "--no-peers",
    "--threads",
    "1",
    "--rounds",
    "1",
    "--seconds",
    "0.002",
]
SMALL = [*QUICK, "--size", "100"]


#: A backend whose insert() looks, and then acts.
BROKEN = """
from intermodal.maps import ConcurrentMap
from intermodal.plugins import Capabilities, MapBackend, hookimpl
from intermodal.testing.sequential import SequentialMap

class Cell:
    def __init__(self):
        self.data = ()

class BrokenMap(SequentialMap):
    def __init__(self):
        self.cell = Cell()

    @property
    def _data(self):
        return dict(self.cell.data)

    def insert(self, key, value):
        data = self._data
        if key in data:
            return False
        self.cell.data = (*data.items(), (key, value))
        return True

@hookimpl
def intermodal_map_backend():
    return MapBackend(
        name="broken",
        summary="for tests",
        capabilities=Capabilities(
            points="linearizable", iteration="weak", length="settled", length_cost="O(n)", clear="stepwise"
        ),
        open=lambda request: BrokenMap(),
    )
"""


def told_by(status, *arguments):
    """Return what the command prints in a process of its own that ends with *status*."""
    result = in_process(*arguments)
    assert result.returncode == status, result.stderr
    return result.stdout


def invoke(*arguments):
    return CliRunner().invoke(_commands.app, list(arguments))


def in_process(*arguments, code=None):
    """Run the command in a process of its own; or *code* instead of ``-m intermodal``."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = ["-c", code] if code else ["-m", "intermodal"]
    return subprocess.run(
        [sys.executable, *command, *arguments], capture_output=True, text=True, env=environment, check=False
    )


def test_version_tells_builds_and_backends():
    """``--version`` names intermodal's build, Python, the GIL's state and each backend's distribution."""
    result = invoke("--version")
    assert result.exit_code == 0
    assert f"Python {sys.version_info.major}.{sys.version_info.minor}" in result.stdout
    assert "GIL on" in result.stdout or "GIL off" in result.stdout
    assert "compiled" in result.stdout or "pure Python" in result.stdout
    for spec in backends():
        assert f"backend {spec.name}: {spec.distribution} {spec.version}" in result.stdout


def test_broken_backend_is_named_with_its_error(install):
    """A plugin that cannot be imported is in ``--version`` and in both listings, which work all the same."""
    install("broken", "import no_such_module")
    version = invoke("--version")
    assert version.exit_code == 0
    assert "backend broken: fake-broken 1.5, broken: " in version.stdout
    assert "no_such_module" in version.stdout
    (record,) = [each for each in json.loads(invoke("backends", "--json").stdout) if each["name"] == "broken"]
    assert record["capabilities"] is None
    assert "no_such_module" in record["error"]
    assert "no_such_module" in invoke("backends").stdout


def test_broken_backend_prevents_no_benchmark(install):
    """The others are measured, and a note says who is not and why; asked for by name it is an error."""
    install("broken", "import no_such_module")
    result = invoke("bench", "--no-peers", *SMALL[4:])
    assert result.exit_code == 0, result.output
    assert "no_such_module" in result.stdout
    assert cli.run([*SMALL, "--backends", "broken"]) == 2


def test_module_is_the_command():
    """``python -m intermodal`` does what ``intermodal`` does."""
    assert in_process("--version").stdout == invoke("--version").stdout


def test_without_a_command_there_is_help():
    """A bare ``intermodal`` lists the commands."""
    result = invoke()
    assert result.exit_code == 0
    assert "backends" in result.stdout
    assert "bench" in result.stdout


def test_backends_as_json_have_every_capability():
    """A script finds each capability of each backend under the name that requirements use."""
    records = json.loads(invoke("backends", "--json").stdout)
    assert [record["name"] for record in records] == [spec.name for spec in backends()]
    for record in records:
        assert record["error"] or list(record["capabilities"]) == list(FIELDS)


def test_table_of_backends_comes_from_their_specs():
    """Names, summaries and graded promises in the table are those of the specs, a line for each backend."""
    lines = invoke("backends").stdout.splitlines()
    for spec in backends():
        if spec.capabilities is not None:
            (line,) = [line for line in lines if line.startswith(f" {spec.name} ")]
            assert spec.summary in line
            assert spec.capabilities.points in line


def test_output_that_is_no_terminal_is_plain():
    """No escape sequence gets into a file or pipe."""
    assert "\x1b" not in in_process("backends").stdout


def test_bench_prints_figures_and_a_pick():
    """A run prints the machine, the workload, a table for each number of threads, and what it would pick."""
    result = invoke(*SMALL)
    assert result.exit_code == 0, result.output
    assert "mix B (95 % read, 5 % update) with 100 keys, uniform, seed 1" in result.stdout
    assert "equal to the stored keys but not identical" in result.stdout
    assert "1 thread" in result.stdout
    assert "times dict" in result.stdout
    assert "pick here: " in result.stdout
    assert "GIL " in result.stdout


def test_bench_writes_all_figures_as_json(tmp_path):
    """The file of ``--json`` is the report."""
    file = tmp_path / "figures.json"
    assert invoke(*SMALL, "--json", str(file)).exit_code == 0
    report = Report.from_dict(json.loads(file.read_text()))
    assert [figure.contender for figure in report.figures] == ["locked", "dict"]
    assert report.complete


def test_bench_takes_keys_from_a_file(tmp_path):
    """Each word of a text is the key of one operation."""
    file = tmp_path / "text.txt"
    file.write_text("to be or not to be")
    result = invoke(*QUICK, "--keys", str(file))
    assert result.exit_code == 0, result.output
    assert "every word of text.txt: 6 operations on 4 keys" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--backends", "loked"], "did you mean 'locked'?"),
        (["--mix", "Exchang"], "did you mean 'Exchange'?"),
        (["--distribution", "zip"], "did you mean 'zipf'?"),
        (["--threads", "0"], "at least 1; got 0"),
        (["--threads", "two"], "--threads takes numbers"),
        (["--rounds", "0"], "rounds must be at least 1"),
        (["--rounds", "many"], "--rounds"),
        (["--seconds", "0"], "seconds must be more than 0"),
        (["--size", "0"], "take at least 1"),
        (["--keys", "/no/such/file"], "cannot read keys from '/no/such/file'"),
        (["--keys", os.devnull], "has no words"),
        (["--keys", os.devnull, "--lines"], "has no lines"),
        (["--keys", __file__, "--size", "5"], "--size is for made-up keys"),
        (["--keys", __file__, "--mix", "Exchange"], "take one of A, B, C"),
        (["--lines"], "give one with --keys"),
        (["--json", "/no/such/folder/file"], "cannot write '/no/such/folder/file'"),
        (["--colour"], "--colour"),
        (["surplus"], "surplus"),
    ],
)
def test_bad_options_are_one_line_and_status_2(arguments, message, capsys):
    """Whatever is wrong with the options is said in one line on stderr, before anything is measured."""
    assert cli.run(["bench", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("intermodal: ")
    assert message in captured.err


@pytest.mark.parametrize("arguments", [["bench", "--threads", "0"], ["bench", "--colour"], ["banch"]])
def test_process_ends_with_status_2(arguments):
    """The exit status reaches the shell, without a traceback, whoever finds the mistake."""
    result = in_process(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_missing_extra_is_one_line_and_status_1(missing):
    """Without typer or rich the command says what to install."""
    code = f"""
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name={missing!r})
sys.meta_path.insert(0, Block())
from intermodal.cli import main
main()
"""
    result = in_process(code=code)
    assert result.returncode == 1
    assert (
        result.stderr
        == f"intermodal: the command line needs {missing}; install: pip install 'intermodal[cli]'\n"
    )


def test_importing_the_command_imports_neither_typer_nor_rich():
    """The entry point can be looked at without the extra."""
    code = "import sys, intermodal.cli; print({'typer', 'rich'} & set(sys.modules))"
    assert in_process(code=code).stdout == "set()\n"


def test_interrupted_bench_prints_what_there_is(monkeypatch):
    """After Ctrl-C the figures so far are printed, and the status is that of an interrupted command."""

    def interrupted(plan):
        yield Sample("dict", 1, 1_000, 1.0)
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "measure", interrupted)
    result = invoke(*SMALL)
    assert result.exit_code == 130
    assert "interrupted; this was measured so far" in result.stdout
    assert "1,000" in result.stdout


def test_wrong_result_is_one_line_and_status_1(monkeypatch, capsys):
    """A backend that fails the self-check gets no figures but an error."""

    def wrong(plan):
        raise SelfCheckError("locked", "key-1", "an entry", "KeyError")

    monkeypatch.setattr(runner, "measure", wrong)
    assert cli.run(SMALL) == 1
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "key 'key-1': expected an entry, got KeyError" in captured.err
    assert "pick here" not in captured.out


def test_explore_tries_every_order_of_pairs_of_calls():
    """In a process of the pure build, whichever runs."""
    text = told_by(0, "explore", "--backend=swiss", "--entries=1,2", "--calls=pop,get", "--preemptions=1")
    assert text.splitlines()[0] == "1 entries: pop(0) | pop(0): 14 runs"
    assert "12 scenarios" in text.splitlines()[-1]


def test_explore_ends_with_status_1_at_an_order_that_fails(install):
    """It prints the interleaving and the schedule."""
    install("broken", BROKEN)
    text = told_by(1, "explore", "--backend=broken", "--entries=0", "--calls=insert")
    assert "insert(0) | insert(0) returned [[True], [True]]" in text
    assert "To run this interleaving again: replay(" in text


def test_uncompiled_build_is_said_to_be_slow(monkeypatch):
    """Figures of the pure package come with a note."""
    here = Machine.here([], gil_before=True)
    monkeypatch.setattr(Machine, "here", classmethod(lambda *_, **__: attrs.evolve(here, compiled=False)))
    assert "intermodal runs uncompiled" in invoke(*SMALL).stdout

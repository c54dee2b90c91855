"""The asv benchmarks: everything registered is measured, each benchmark runs, and one that fails is seen."""

from __future__ import annotations

import importlib
import inspect
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from intermodal import backends, reclaimers, registry
from intermodal.bench import contenders, memory, workloads

FOLDER = Path(__file__).parents[1] / "asv_bench"
MODULES = sorted(path.stem for path in (FOLDER / "benchmarks").glob("[!_]*.py"))
KINDS = ("time_", "timeraw_", "track_", "peakmem_")

BACKEND = {
    "capabilities": "ordered=True, snapshot=True, handles=True, key_types=('object', 'int64'), "
    "reclaimers=('refcount', 'late-reclaimer'),",
    "options": "Option(name='publish_every', types=(int,), default=1, summary='.'), "
    "Option(name='replicas', types=(int,), default=1, summary='.'),",
}

RECLAIMER = """
from intermodal.plugins import ReclaimerBackend, hookimpl

@hookimpl
def intermodal_reclaimer():
    return ReclaimerBackend(name="late-reclaimer", summary=".", protects=True, robust=True, open=object)
"""

LOG = """
from intermodal.plugins import LogBackend, hookimpl

@hookimpl
def intermodal_log():
    return LogBackend(name="late-log", summary=".", open=print)
"""


@pytest.fixture
def load(monkeypatch):
    """Return a function that imports a module of the benchmarks anew; they are gone after the test."""
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setenv("INTERMODAL_BENCH_LARGEST", "1000")
    # What it tries in a process of its own would not find plugins that are there for one test.
    check = contenders._check_gil
    monkeypatch.setattr(
        contenders, "_check_gil", lambda name, loading: "open_map" in loading or check(name, loading)
    )

    def forget():
        for name in [name for name in sys.modules if name.partition(".")[0] == "benchmarks"]:
            module = vars(sys.modules.pop(name))
            if "_crew" in module and module["_crew"].cache_info().currsize:
                module["_crew"]().__exit__(None, None, None)
            for each in module.values():
                if hasattr(each, "cache_clear"):  # filled maps
                    each.cache_clear()

    forget()
    yield lambda name: importlib.import_module(f"benchmarks.{name}")
    forget()


@pytest.fixture
def load_small(load, monkeypatch):
    """Return one that makes maps smaller, and work shorter, than any that is worth measuring."""
    common = load("_common")
    common.SIZES = common.LARGE = [400]  # two threads of the mix Exchange need 320 keys
    common.OPERATIONS, common.PASS, common.MANY = 20, 200, 200
    monkeypatch.setattr(common, "sizes", lambda *_: [400])
    monkeypatch.setattr(memory, "_SECONDS", 0)  # for more maps than one
    return load


def classes(module):
    """Return the benchmark classes of a module, by name."""
    return {
        name: each
        for name, each in vars(module).items()
        if inspect.isclass(each) and each.__module__ == module.__name__ and hasattr(each, "params")
    }


def lists(benchmark):
    """Return the values of each parameter of a benchmark class; asv takes one list for a list of lists."""
    several = isinstance(benchmark.params[0], list)
    return list(benchmark.params) if several else [benchmark.params]


def named(module):
    """Return what each benchmark class of a module measures: the values of its first parameter."""
    return {name: {str(value) for value in lists(each)[0]} for name, each in classes(module).items()}


# ---- what is measured -------------------------------------------------------------------------------------


def test_a_new_plugin_is_measured_without_being_listed(install, load):
    """A backend, a reclaimer and a log of somebody else appear wherever their kind is measured."""
    install("late-reclaimer", RECLAIMER, group=registry.reclaimers.group)
    install("late-log", LOG, group=registry.logs.group)
    install("latecomer", **BACKEND)
    here = {module: named(load(module)) for module in MODULES}
    missing = [
        f"{module}.{name}"
        for module, measured in here.items()
        for name, values in measured.items()
        if not values & {"latecomer", "latecomer under late-reclaimer", "late-reclaimer", "late-log"}
    ]
    assert missing == ["replication.Operations"]  # of replicate() itself, which has no backend
    assert "late-reclaimer" in here["reclamation"]["Reclaimers"]
    assert "late-reclaimer" in here["imports"]["OpeningReclaimers"]
    assert "late-log" in here["replication"]["Logs"]


def test_everything_registered_is_measured(load):
    """Each backend by itself and with threads, each reclaimer that a backend takes, each log."""
    usable = {spec.name for spec in backends() if spec.error is None}
    for module, name in [
        *itertools.product(["single_operations"], ["Existing", "Coming", "Going", "Methods", "Conditional"]),
        *itertools.product(["threads"], ["Ratios", "Mixes", "Growing"]),
        ("growth", "Growth"),
        ("imports", "Opening"),
        ("memory", "Memory"),
        ("scans", "Whole"),
    ]:
        assert usable <= named(load(module))[name]
    assert {spec.name for spec in reclaimers()} == named(load("reclamation"))["Reclaimers"]
    pairs = {
        f"{spec.name} under {reclaimer}"
        for spec in backends()
        if len(spec.capabilities.reclaimers) > 1
        for reclaimer in spec.capabilities.reclaimers
    }
    assert pairs
    assert pairs == named(load("reclamation"))["Maps"] == named(load("threads"))["Reclaimed"]
    assert set(registry.logs.names()) <= named(load("replication"))["Logs"]


def test_installed_peers_are_measured(load):
    """All those of `intermodal bench`."""
    expected = {each.name for each in contenders.enter([]).contenders}
    assert {"dict", "dict + Lock"} <= expected <= named(load("threads"))["Ratios"]


def test_every_mix_is_measured(load):
    """Each mix of `intermodal bench`, and each share of writes that its reports have."""
    threads = load("threads")
    measured = list(threads.WORK.values())

    def shares(mix):
        return mix.read, mix.insert, mix.remove, mix.update

    wanted = [*workloads.MIXES.values(), *(workloads.write_mix(percent) for percent in (0, 10, 80, 100))]
    assert {shares(mix) for mix in wanted} <= {shares(mix) for mix in measured}
    assert len({shares(mix) for mix in measured}) == len(measured)


@pytest.mark.parametrize(
    ("largest", "expected"),
    [("1000", [1_000]), ("10000", [1_000, 10_000]), ("10000000", [1_000, 10_000, 1_000_000, 10_000_000])],
)
def test_sizes_end_with_the_largest(load, monkeypatch, largest, expected):
    """INTERMODAL_BENCH_LARGEST says where; the uncompiled package, a hundred times as slow, ends at 10,000."""
    import intermodal

    monkeypatch.setattr(intermodal, "__compiled__", True)
    monkeypatch.setenv("INTERMODAL_BENCH_LARGEST", largest)
    assert expected == load("_common").SIZES


@pytest.mark.parametrize("largest", ["999", "-1", "1e6", ""])
def test_a_largest_size_that_is_none_is_refused(load, monkeypatch, largest):
    """The message has the name, the value, and what to give instead."""
    monkeypatch.setenv("INTERMODAL_BENCH_LARGEST", largest)
    with pytest.raises(ValueError, match=rf"INTERMODAL_BENCH_LARGEST .* got {largest!r}.* from 1000 up"):
        load("_common")


# ---- that it works ----------------------------------------------------------------------------------------


def cases(benchmark):
    """Yield parameters so that each value of each list is there once, with the first of the other lists."""
    values = lists(benchmark)
    first = [each[0] for each in values]
    yield tuple(first)
    for position, each in enumerate(values):
        for value in each[1:]:
            yield (*first[:position], value, *first[position + 1 :])


@pytest.mark.parametrize("module", MODULES)
def test_every_benchmark_runs(load_small, module):
    """Setup, one call and teardown of each, with each value of each parameter, raise nothing."""
    called = 0
    for benchmark in classes(load_small(module)).values():
        methods = [name for name in dir(benchmark) if name.startswith(KINDS)]
        for parameters in cases(benchmark):  # in this order: a map that is filled serves all methods
            for method in methods:
                instance = benchmark()
                if hasattr(instance, "setup"):
                    instance.setup(*parameters)
                try:
                    result = getattr(instance, method)(*parameters)
                finally:
                    if hasattr(instance, "teardown"):
                        instance.teardown(*parameters)
                if method.startswith("track_"):
                    assert result >= 0
                if method.startswith("timeraw_"):
                    compile(result, method, "exec")
                called += 1
    assert called


# ---- that a failure is seen -------------------------------------------------------------------------------

GOOD_BENCHMARK = "def time_nothing():\n    pass\n"
FAILING = {
    "raises": "def time_raises():\n    raise RuntimeError('on purpose')\n",
    "raises for one parameter": "def time_some(n):\n    1 // n\n\ntime_some.params = [0, 1]\n",
    "raises in setup": "def time_late():\n    pass\n\ndef setup():\n    raise RuntimeError('on purpose')\n",
    "cannot be imported": "import a_module_that_is_not_there\n",
}
CI = ["--python=same", "--quick", "--dry-run", "--show-stderr"]


@pytest.fixture
def asv(tmp_path):
    """Return a function that runs asv, as .ci/run does, on a folder with the given benchmarks."""
    pytest.importorskip("asv")
    folder = tmp_path / "bench"
    (folder / "benchmarks").mkdir(parents=True)
    (folder / "benchmarks" / "__init__.py").touch()
    configuration = (FOLDER / "asv.conf.json").read_text(encoding="utf-8")
    (folder / "asv.conf.json").write_text(configuration, encoding="utf-8")
    who = {f"GIT_{role}_{what}": "t@t" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**os.environ, **who, "HOME": str(tmp_path)}
    for command in ("init -q -b main", "commit -q --allow-empty -m one"):
        subprocess.run(["git", *command.split()], cwd=tmp_path, env=environment, check=True)

    def asv(*arguments):
        command = [sys.executable, "-W", "ignore", "-m", "asv", *arguments]
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
        )

    def run(arguments, **benchmarks):
        for name, text in benchmarks.items():
            (folder / "benchmarks" / f"{name}.py").write_text(text)
        assert asv("machine", "--yes").returncode == 0
        return asv("run", *arguments)

    return run


@pytest.mark.parametrize("arguments", [CI, CI[:2], CI[:1], ["--python=same", "--dry-run"]], ids=" ".join)
def test_asv_says_whether_a_benchmark_failed(asv, arguments):
    """Its exit status is 0 if none failed and not 0 if one did, whatever the others do."""
    done = asv(arguments, good=GOOD_BENCHMARK)
    assert done.returncode == 0, done.stdout + done.stderr
    done = asv(arguments, bad=FAILING["raises"])
    assert done.returncode == 2
    assert "bad.time_raises" in done.stdout


@pytest.mark.parametrize("how", FAILING)
def test_ci_sees_every_kind_of_failure(asv, how):
    """In the benchmark, for some of its parameters, in its setup, in its module."""
    done = asv(CI, bad=FAILING[how], good=GOOD_BENCHMARK)
    assert done.returncode not in (0, None), done.stdout
    assert "failed" in done.stdout + done.stderr or "a_module_that_is_not_there" in done.stdout + done.stderr


def test_ci_ends_with_the_status_of_asv():
    """The commands of .ci/run are those that are tested here; the shell ends at the first that fails."""
    script = (FOLDER.parent / ".ci" / "run").read_text(encoding="utf-8")
    assert "set -euo pipefail" in script
    lines = [line for line in script.splitlines() if "asv run" in line]
    assert len(lines) == 2
    for line in lines:
        assert " ".join(CI) in line
        assert "|" not in line.partition("--bench")[0]

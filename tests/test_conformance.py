"""The public conformance kit: every backend that is installed passes it, and it tells what is wrong with others."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import attrs
import pytest
from helpers import sample
from helpers.broken import BROKEN
from helpers.minimal import MANIFOLD, MINIMAL, PUBLISHED

import intermodal
from intermodal.capabilities import Capabilities
from intermodal.testing.conformance import conformance_suite
from intermodal.testing.lifetimes import Ledger
from intermodal.testing.promises import (
    UNTESTED,
    applies,
    covered,
    every_declaration,
    exactly,
    promised,
    unpromised,
)
from intermodal.testing.subjects import subjects_of
from intermodal.testing.suite import every_test
from intermodal.testing.threads import PATIENCE, HangError, run_threads

HERE = Path(__file__).parent

# ---- the backends --------------------------------------------------------------------------------------

TestContract = conformance_suite(MINIMAL)
TestDeclarationsOfManifold = conformance_suite(MANIFOLD).TestDeclarations
TestIterationOfManifold = conformance_suite(MANIFOLD).TestIteration
TestOperationsOfPublished = conformance_suite(PUBLISHED).TestOperations
TestPublicationOfPublished = conformance_suite(PUBLISHED).TestPublication
TestMultiValuesOfPublished = conformance_suite(PUBLISHED).TestMultiValues

#: What a reclaimer may change: when objects go, and what readers find who meet writers.
RECLAIMED = ("HostileKeys", "Lifetimes", "Iteration", "Interrupts", "Forks", "Threads", "Linearizability")

for _spec in intermodal.backends():
    if _spec.error is None:
        globals()[f"Test{_spec.name.title()}"] = conformance_suite(_spec.name)
        for _reclaimer in _spec.capabilities.reclaimers[1:]:
            _direct = subjects_of(_spec.name, reclaimer=_reclaimer)[0]
            _suite = conformance_suite(attrs.evolve(_direct, kinds=("str", "colliding")))
            _name = f"Test{_spec.name.title()}By{_reclaimer.title()}"
            globals()[_name] = type(
                _name, (), {f"Test{each}": getattr(_suite, f"Test{each}") for each in RECLAIMED}
            )


def test_a_third_partys_plugin_joins_with_one_line(sample_plugin, tmp_path):
    """Its own test module has it, and all of the kit passes."""
    tests = HERE / "sample_plugin" / "tests" / "test_sample.py"
    environment = {"PYTHONPATH": str(sample_plugin), "INTERMODAL_TEST_EFFORT": "0.1"}
    outcomes, output = sample.pytest_in(tmp_path, tests, f"--rootdir={tests.parent}", **environment)
    assert len(outcomes) > 500
    bad = [name for name, outcome in outcomes.items() if outcome - {"passed", "skipped"}]
    assert not bad, output


def test_a_plugin_is_tested_without_a_line_of_its_own(sample_plugin, tmp_path):
    """pytest --pyargs intermodal.testing --backend NAME: of the names given, and no other."""
    kit = "intermodal.testing.conformance.test_handles"
    outcomes, output = sample.pytest_in(
        tmp_path, "--pyargs", kit, "--backend", "sample", PYTHONPATH=str(sample_plugin)
    )
    assert outcomes, output
    assert all(name.endswith(("[sample]", "-sample]")) or "[sample-" in name for _, name in outcomes)
    assert {"passed"} == set().union(*outcomes.values()), output


def test_an_unknown_backend_is_refused_before_any_test(tmp_path):
    """With the names of those that there are."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "--pyargs",
            "intermodal.testing",
            "--backend=nix",
            "-c",
            "/dev/null",
        ],
        cwd=tmp_path,
        env=sample.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    installed = ", ".join(spec.name for spec in intermodal.backends() if spec.error is None)
    assert f"--backend: no backend 'nix' is installed. Installed: {installed}\n" in done.stderr


def test_the_option_is_left_to_others_where_the_kit_is_not_asked_for(tmp_path):
    """pytest loads the plugin in every session, and another one may have an option of that name."""
    (tmp_path / "conftest.py").write_text("def pytest_addoption(parser): parser.addoption('--backend')")
    (tmp_path / "test_it.py").write_text(
        "import sys\n"
        "def test_it(pytestconfig):\n"
        "    assert pytestconfig.getoption('--backend') == 'theirs'\n"
        "    assert 'intermodal.capabilities' not in sys.modules\n"
        "    assert 'intermodal.testing.conformance' not in sys.modules\n"
    )
    outcomes, output = sample.pytest_in(tmp_path, "test_it.py", "--backend=theirs")
    assert list(outcomes.values()) == [{"passed"}], output


def test_without_pytest_the_kit_says_what_to_install(tmp_path):
    """And the rest of intermodal.testing works."""
    script = """
import sys

sys.modules["pytest"] = None
import intermodal.testing
from intermodal.testing import forks, keys, lifetimes, promises, pytest_plugin, subjects, threads

assert subjects.subjects_of("locked")[0].map(a=1) == {"a": 1}
try:
    from intermodal.testing.conformance import conformance_suite
except ImportError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=sample.environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    assert done.stdout == (
        "the conformance kit needs pytest and hypothesis, and pytest is not installed: "
        "pip install 'intermodal[test]'\n"
    )


# ---- it can fail ---------------------------------------------------------------------------------------

SUITES = """
from helpers.broken import BROKEN
from helpers.minimal import MINIMAL
from intermodal.testing.conformance import conformance_suite

for name, (subject, _, _) in BROKEN.items():
    globals()[f"Test{name}"] = conformance_suite(subject)
TestContract = conformance_suite(MINIMAL)
"""


def case_of(subject, test, case):
    """Return the name of one case of a test of the kit."""
    return f"Test{test}[{subject}{case and '-'}{case}]"


@pytest.fixture(scope="module")
def suites(tmp_path_factory):
    """A folder with a test module that runs the kit on every broken map and on a good one."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "test_broken.py").write_text(SUITES)
    return folder


@pytest.fixture(scope="module")
def outcomes_of_broken_maps(suites):
    """What the kit says of each broken map in the test that is expected to fail."""
    nodes = [f"test_broken.py::Test{name}::{case_of(*BROKEN[name])}" for name in BROKEN]
    # Some hang. The steps are those of the pure build: few.
    return sample.pytest_in(
        suites, *nodes, PYTHONPATH=str(HERE), INTERMODAL_TEST_PATIENCE="1", INTERMODAL_PURE="1"
    )


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_map_fails_in_the_test_that_is_about_its_defect(outcomes_of_broken_maps, name):
    """Or at its end, where the kit verifies the map."""
    outcomes, output = outcomes_of_broken_maps
    (outcome,) = [
        outcome
        for (where, case), outcome in outcomes.items()
        if f".Test{name}." in where and case == case_of(*BROKEN[name])
    ]
    assert outcome & {"failure", "error"}, output


def test_a_good_map_passes_the_tests_in_which_broken_ones_fail(suites):
    """The defects are what fails there."""
    nodes = [
        f"test_broken.py::TestContract::{case_of(MINIMAL, test, case)}"
        for subject, test, case in BROKEN.values()
        if subject.capabilities == MINIMAL.capabilities
    ]
    outcomes, output = sample.pytest_in(suites, *nodes, PYTHONPATH=str(HERE), INTERMODAL_PURE="1")
    assert len(outcomes) > 10
    assert set().union(*outcomes.values()) == {"passed"}, output


# ---- what is declared is tested ------------------------------------------------------------------------


def test_every_capability_has_tests_or_a_reason_for_having_none():
    """Every level of every field; and a reason goes when the test comes."""
    tested = {item for item in covered(every_test()) if item[0] != "handles" or item[1] is True}
    assert tested | set(UNTESTED) == every_declaration()
    assert not tested & set(UNTESTED)


def test_the_kit_runs_the_tests_that_a_backend_is_to_be_held_to():
    """Those without a mark, those of what it declares, and those of what it does not."""
    weak = Capabilities(
        points="published", iteration="weak", length="settled", length_cost="O(n)", clear="stepwise"
    )
    strong = MINIMAL.capabilities

    @promised(iteration="each_once")
    def each_once():
        pass

    @exactly(points="published")
    def published():
        pass

    @unpromised("snapshot")
    def no_snapshot():
        pass

    assert applies(len, weak)
    assert not applies(each_once, weak)
    assert applies(each_once, strong)
    assert applies(no_snapshot, strong)
    assert applies(published, weak)
    assert not applies(published, strong)
    assert not applies(no_snapshot, MANIFOLD.capabilities)


@pytest.mark.parametrize("wrong", [{"iteraton": "weak"}, {"iteration": "twice"}, {"snapshot": "yes"}])
def test_a_mark_of_a_capability_that_does_not_exist_is_refused(wrong):
    """Or the test would never run."""
    with pytest.raises(intermodal.OptionError):
        promised(**wrong)


# ---- the helpers ---------------------------------------------------------------------------------------


def test_an_exception_in_a_thread_is_raised_and_the_others_end():
    """So that a failing test fails."""
    assert PATIENCE > 1
    with pytest.raises(ZeroDivisionError):
        run_threads(lambda: 1 / 0, lambda: None)


def test_threads_that_hang_are_reported(capfd):
    """With where they are, instead of hanging the run."""
    event = threading.Event()
    with pytest.raises(HangError, match="did not end"):
        run_threads(event.wait, timeout=0.2)
    event.set()


def test_the_ledger_tells_how_many_are_alive():
    """Garbage is collected before it complains."""
    ledger = Ledger()
    value = ledger.value()
    value.itself = value
    ledger.expect(1)
    del value
    ledger.expect(0)
    with pytest.raises(AssertionError, match="0 of 1 objects are alive, not 1"):
        ledger.expect(1)

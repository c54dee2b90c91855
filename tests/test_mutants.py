"""Each deliberate defect of tests/mutants is found by the evidence that is named for it, and nothing else is."""

from __future__ import annotations

import os
import re
import sysconfig

import pytest
from helpers.compiler import compiler
from mutants import probe, run
from mutants.catalogue import HEADER, MUTANTS

import intermodal

ROOT = run.ROOT
by_name = pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)


@by_name
def test_a_mutant_still_fits_the_code(mutant):
    """Each search text occurs once in its file, and the result is another program that can be compiled."""
    source = (ROOT / mutant.file).read_text(encoding="utf-8")
    mutated = mutant.apply(source)
    assert mutated != source
    if mutant.file.endswith(".py"):
        compile(mutated, mutant.file, "exec")


@by_name
def test_a_mutant_names_its_evidence_or_why_there_is_none(mutant):
    """Nobody is listed without either, and nobody with both."""
    evidence = [mutant.test, mutant.probe]
    assert any(evidence) is not bool(mutant.equivalent)
    assert mutant.probe is None or mutant.file == HEADER
    assert mutant.test is None or mutant.file != HEADER


def test_the_readme_counts_them():
    """It says that there are more than so many, and how many nothing finds."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"more than (\d+) deliberate defects\]\(.+\), of which all but (\d+) are found", readme)
    assert found
    assert 0 <= len(MUTANTS) - int(found[1]) <= 50
    assert int(found[2]) == len([mutant for mutant in MUTANTS if mutant.equivalent])


def test_names_are_unique():
    """A name on the command line means one mutant."""
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


def verdict_of(verdicts, name):
    """Return the verdict, or fail with what the evidence said."""
    verdict, output = verdicts[name]
    assert verdict != "error", output
    return verdict


@pytest.fixture(scope="module")
def pure_verdicts(tmp_path_factory):
    """What the tests say about each mutant in the pure build."""
    if intermodal.__compiled__:
        pytest.skip("the tests of the pure build do this")
    if not hasattr(os, "fork"):
        pytest.skip("mutants are run in forks")
    return run.run_pure([each for each in MUTANTS if each.test], tmp_path_factory.mktemp("mutants"))


def test_the_sources_as_they_are_survive_every_test(pure_verdicts):
    """Otherwise the deaths of mutants would prove nothing."""
    assert pure_verdicts[""][0] == "passed", pure_verdicts[""][1]


@pytest.mark.parametrize("mutant", [each for each in MUTANTS if each.test], ids=lambda mutant: mutant.name)
def test_the_named_test_finds_the_mutant(pure_verdicts, mutant):
    """In the pure build, on a mutated copy of the sources; a loop without an end is a find, too."""
    assert verdict_of(pure_verdicts, mutant.name) in ("failed", "hangs"), f"{mutant.test} found nothing"


PROBED = [
    pytest.param(
        each,
        id=each.name,
        marks=pytest.mark.skipif(
            each.free_threaded and not sysconfig.get_config_var("Py_GIL_DISABLED"),
            reason="changes nothing here",
        ),
    )
    for each in MUTANTS
    if each.probe
]


@pytest.fixture(scope="module")
def probes(tmp_path_factory):
    """The probes of the header as it is, compiled: the module, and the program that orders are tried with."""
    if not intermodal.__compiled__:
        pytest.skip("a pure installation does not use the header")
    if compiler() is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("probes")
    orders = folder / "orders" if probe.has_thread_sanitizer(folder) else None
    return {"module": probe.compile_module(probe.HEADER, folder), "orders": orders}


def probe_for(check, probes):
    """Return the probe of the unchanged header that *check* runs on, or skip."""
    if check.startswith(probe.ORDER) and probes["orders"] is None:
        pytest.skip("the compiler's ThreadSanitizer does not work here")
    return probes["orders" if check.startswith(probe.ORDER) else "module"]


CHECKS = dict.fromkeys(each.probe for each in MUTANTS if each.probe)


@pytest.mark.parametrize("check", CHECKS)
def test_the_header_as_it_is_survives_every_check(probes, check):
    """Otherwise the deaths of mutants would prove nothing."""
    assert probe.run_check(probe_for(check, probes), check) == ("passed", "")


@pytest.mark.parametrize("pair", probe.pairs())
def test_operations_order_what_they_say(probes, pair):
    """ThreadSanitizer finds no race in a plain word that two operations hand over."""
    check = f"{probe.ORDER}{pair}"
    assert probe.run_check(probe_for(check, probes), check) == ("passed", "")


@pytest.mark.parametrize("mutant", PROBED)
def test_the_named_check_finds_the_mutant_of_the_header(probes, mutant, tmp_path):
    """By a wrong answer, a crash, a race that is reported, or by no end."""
    probe_for(mutant.probe, probes)
    ((name, verdict, _),) = probe.run_mutants([mutant], tmp_path)
    assert (name, verdict) in {(mutant.name, "failed"), (mutant.name, "hangs")}

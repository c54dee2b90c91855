"""The stress command finds what it is made to find, and says what it did."""

from __future__ import annotations

import _thread
import re
import signal
import sys
import threading

import pytest
from typer.testing import CliRunner

import intermodal
from intermodal import _commands, backends, cli
from intermodal.errors import BackendNotFound, OptionError
from intermodal.testing import StressError, StressReport, stress
from intermodal.testing._workloads import WORKLOADS, Round, fitting
from intermodal.testing.stressing import plan_stress, run_rounds

NAMES = [spec.name for spec in backends() if spec.capabilities is not None]

#: A backend of which the method {method} is wrong; everything else is the contract's own.
BROKEN = """
import threading
from intermodal import ABSENT, ConcurrentMap
from intermodal.plugins import Capabilities, MapBackend, hookimpl

class Broken(ConcurrentMap):
    def __init__(self, data=(), /, **entries):
        self._lock, self._data, self._extra = threading.RLock(), dict(), []
        self.update(data, **entries)

    def get(self, key, default=None):
        with self._lock:
            return self._data.get(key, default)

    def _compare_exchange(self, key, current, new):
        with self._lock:
            if self._data.get(key, ABSENT) is not current:
                return False
            if new is ABSENT:
                self._data.pop(key, None)
            else:
                self._data[key] = new
            return True

    def _iterate(self):
        with self._lock:
            return iter(list(self._data.items()))

    def __len__(self):
        return len(self._data)

    def clear(self):
        with self._lock:
            self._data.clear()

{method}

@hookimpl
def intermodal_map_backend():
    return MapBackend(
        name="{name}",
        summary="a backend with a defect",
        capabilities=Capabilities(
            points="linearizable", iteration="snapshot", length="exact", length_cost="O(1)", clear="atomic",
            callbacks_once={once},
        ),
        open=lambda request: Broken(),
        rank=1000,
    )
"""

#: name -> (the wrong method, the workload that must find it).
DEFECTS = {
    "forgetful": (
        (
            "    def pop(self, key, default=ABSENT):\n        value = self.get(key, default)\n"
            "        if value is ABSENT: raise KeyError(key)\n        return value"
        ),
        "own-keys",
    ),
    "unlocked": (
        (
            "    def compute(self, key, function):\n        self[key] = new = function(self.get(key, ABSENT))\n"
            "        return new\n"
            "    def _compare_exchange(self, key, current, new):\n"
            "        import time\n        if self._data.get(key, ABSENT) is not current: return False\n"
            "        time.sleep(0)\n"
            "        self._data.pop(key, None) if new is ABSENT else self._data.__setitem__(key, new)\n"
            "        return True"
        ),
        "counters",
    ),
    "doubling": (
        (
            "    def _compare_exchange(self, key, current, new):\n"
            "        import time\n        if self._data.get(key, ABSENT) is not current: return False\n"
            "        time.sleep(0)\n"
            "        self._data.pop(key, None) if new is ABSENT else self._data.__setitem__(key, new)\n"
            "        return True"
        ),
        "tokens",
    ),
    "repeating": (
        (
            "    def popitem(self):\n        for entry in self._iterate():\n            self._data.pop(entry[0], None)\n"
            "            return entry\n        raise KeyError"
        ),
        "queue",
    ),
    "generous": (
        (
            "    def setdefault(self, key, default=None):\n        self.get(key)\n"
            "        import time\n        if key not in self: time.sleep(0); self[key] = default\n"
            "        return self.get(key, default) if key in self else default"
        ),
        "winners",
    ),
    "confused": (
        (
            "    def get(self, key, default=None):\n        with self._lock:\n"
            "            last, self._last = getattr(self, '_last', default), self._data.get(key, default)\n"
            "            return last if last is not None and last is not ABSENT else self._last"
        ),
        "values-belong",
    ),
    "skipping": (
        "    def _iterate(self):\n        with self._lock:\n            return iter(list(self._data.items())[1:])",
        "iteration",
    ),
    "miscounting": ("    def __len__(self):\n        return max(len(self._data) - 1, 0)", "length"),
    "leaking": (
        (
            "    def pop(self, key, default=ABSENT):\n        value = super().pop(key, default)\n"
            "        self._extra.append(value)\n        return value\n"
            "    _kept = []\n    def __del__(self):\n        self._kept.extend(self._extra)"
        ),
        "accounting",
    ),
    "remembering": (
        (
            "    def clear(self):\n        with self._lock:\n"
            "            for key in list(self._data)[1:]:\n                del self._data[key]"
        ),
        "clearing",
    ),
    "swallowing": (
        (
            "    def __setitem__(self, key, value):\n        try:\n            super().__setitem__(key, value)\n"
            "        except Exception:\n            self._data.clear()\n            raise"
        ),
        "hostile-keys",
    ),
    "shrinking": (
        (
            "    def _compare_exchange(self, key, current, new):\n        with self._lock:\n"
            "            if self._data.get(key, ABSENT) is not current: return False\n"
            "            if new is ABSENT: self._data.pop(key, None)\n"
            "            else: self._data[key] = new\n"
            "            if len(self._data) > 140: self._data.pop(next(iter(self._data)))\n            return True"
        ),
        "resizing",
    ),
    "insistent": (
        (
            "    def compute(self, key, function):\n        function(self.get(key, ABSENT))\n"
            "        return super().compute(key, function)"
        ),
        "counters",
    ),
    "stuck": (
        (
            "    def compute(self, key, function):\n        lock = self.__dict__.setdefault('_other', threading.Lock())\n"
            "        with lock:\n            return super().compute(key, function)\n"
            "    def __setitem__(self, key, value):\n        lock = self.__dict__.setdefault('_other', threading.Lock())\n"
            "        with lock:\n            super().__setitem__(key, value)"
        ),
        "reentrant",
    ),
    "ephemeral": (
        (
            "    def __delitem__(self, key):\n        super().__delitem__(key)\n"
            "        if threading.active_count() > 2:\n            self._data.clear()"
        ),
        "short-lived",
    ),
}


def invoke(*arguments):
    return CliRunner().invoke(_commands.app, ["stress", *arguments])


@pytest.fixture
def broken(install):
    """Install a backend with the defect of that name."""

    def make(name, once=False):
        source = BROKEN.replace("{method}", DEFECTS[name][0]).replace("{name}", name)
        install(name, source.replace("{once}", str(once)))

    return make


# ---- what it finds -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_installed_backend_passes(name):
    """Each workload that fits has at least one round, with handles where there are any."""
    result = stress(name, seconds=0.5, threads=3, seed=7)
    assert isinstance(result, StressReport)
    assert all(result.rounds.values())
    (capabilities,) = [spec.capabilities for spec in backends() if spec.name == name]
    assert list(result.rounds) == [each.name for each in fitting(capabilities)]
    assert result.operations > 0


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_found_by_its_workload(name, broken, capfd):
    """The violation says what, where, and how to do it again."""
    workload = DEFECTS[name][1]
    broken(name, once=name == "insistent")
    patience = 0.5 if name == "stuck" else 60
    with pytest.raises(StressError) as raised:
        stress(name, seconds=20, threads=3, seed=1, workloads=[workload], patience=patience)
    found = raised.value
    assert (found.backend, found.workload, found.seed, found.threads) == (name, workload, 1, 3)
    assert f"intermodal stress --backend {name} --workload {workload} --threads 3 --seed 1" in str(found)
    assert found.expected != found.found
    if name == "stuck":
        assert "did not in 0.5 s" in found.found
        assert "compute" in capfd.readouterr().err, "the stacks of the threads"


def test_every_workload_is_known_to_find_a_defect():
    """None is there that cannot fail."""
    assert set(WORKLOADS) == {workload for _, workload in DEFECTS.values()}


def test_the_choices_of_a_workload_are_the_same_alone_and_among_others():
    """So the command in the report repeats them."""
    seen = []

    class Recording(Round):
        def __init__(self, *arguments, **options):
            seen.append(options["seed"])
            super().__init__(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["intermodal.testing.stressing"], "Round", Recording)
        rounds = run_rounds(
            plan_stress("locked", seconds=5, threads=2, seed=3, workloads=["tokens", "queue"])
        )
        for _ in range(4):
            next(rounds)
        rounds.close()
        alone = run_rounds(plan_stress("locked", seconds=5, threads=2, seed=3, workloads=["queue"]))
        for _ in range(2):
            next(alone)
        alone.close()
    assert seen[1:4:2] == seen[4:]


# ---- arguments -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seconds": 0}, "seconds must be more than 0"),
        ({"threads": 0}, "threads must be 1 or more"),
        ({"workloads": ["nonsense"]}, "no workload 'nonsense'; workloads are own-keys"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    """Before any thread starts, with what is allowed."""
    with pytest.raises(OptionError, match=re.escape(message)):
        stress("locked", **{"seconds": 0.01, **options})


def test_a_backend_that_is_not_there_is_not_found():
    """As open_map says it."""
    with pytest.raises(BackendNotFound, match="did you mean 'locked'"):
        stress("lokced")


def test_a_workload_that_proves_nothing_is_refused_by_name(install):
    """And is not among those taken otherwise."""
    install("inexact")
    with pytest.raises(OptionError, match="length is 'settled', not 'exact'"):
        stress("inexact", workloads=["length"])
    assert "length" not in stress("inexact", seconds=0.01, threads=2).rounds


# ---- the command ---------------------------------------------------------------------------------------


def test_the_command_reports_what_was_done():
    """Build, seed, workloads with their rounds, and the verdict."""
    result = invoke("--backend", "locked", "--seconds", "0.1", "--threads", "2", "--seed", "5")
    assert result.exit_code == 0, result.output
    assert "backend locked, 2 threads, 0.1 s, seed 5" in result.stdout
    assert ("compiled" if intermodal.__compiled__ else "pure Python") in result.stdout
    assert "no violation found" in result.stdout
    for name in WORKLOADS:
        assert f" {name} " in result.stdout


def test_the_command_ends_with_1_on_a_violation(broken):
    """The report is on the standard error output."""
    broken("skipping")
    result = invoke("--backend", "skipping", "--seconds", "5", "--seed", "1", "--workload", "iteration")
    assert result.exit_code == 1
    assert "found a violation of: iteration beside writers" in result.output
    assert "a violation was found" in result.stdout


def test_the_command_ends_with_a_report_when_it_is_interrupted(monkeypatch):
    """Threads are told to stop, and what was done so far is said."""
    rounds = 0
    original = Round.threads

    def threads(self, *functions):
        nonlocal rounds
        rounds += 1
        if rounds > 3:
            functions = (*functions, _thread.interrupt_main)
        return original(self, *functions)

    monkeypatch.setattr(Round, "threads", threads)
    before = set(threading.enumerate())
    # Ignored where the tests run in the background.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        result = invoke("--backend", "locked", "--seconds", "60", "--threads", "2")
    finally:
        signal.signal(signal.SIGINT, handler)
    assert result.exit_code == 130, result.output
    assert "interrupted; this was done so far" in result.stdout
    assert re.search(r"own-keys +1 ", result.stdout)
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
    assert set(threading.enumerate()) <= before


def test_an_interrupt_while_a_thread_is_started_is_an_interrupt(monkeypatch):
    """Also where threading makes another exception of it, between giving its lock back and its ``try``."""
    original = threading.Condition._release_save
    interrupted = []

    def release_save(self):
        saved = original(self)
        if threading.current_thread() is threading.main_thread() and not interrupted:
            interrupted.append(True)
            raise KeyboardInterrupt
        return saved

    monkeypatch.setattr(threading.Condition, "_release_save", release_save)
    result = invoke("--backend", "locked", "--seconds", "60", "--threads", "2")
    assert interrupted
    assert result.exit_code == 130, result.output
    assert "interrupted; this was done so far" in result.stdout


def test_wrong_options_are_one_line_and_status_2(capsys):
    """As in every other command."""
    assert cli.run(["stress", "--backend", "locked", "--workload", "nonsense"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert cli.run(["stress"]) == 2

"""A third party's plugin: built with pip, found through its entry point, compiled as intermodal itself is."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest
from helpers import sample
from hypothesis import example, given, settings
from hypothesis import strategies as st

import intermodal
from intermodal.memory import Block

compiled_only = pytest.mark.skipif(
    not intermodal.__compiled__, reason="nothing is inlined in a pure installation"
)


def run(folder, code, **options):
    done = sample.run(folder, code, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_plugin_is_found_through_its_entry_point(sample_plugin):
    """It is listed with what its metadata and its hook say, beside intermodal's own backends."""
    code = """
import intermodal, json, sys
listed = {spec.name: spec for spec in intermodal.backends()}
assert {"locked", "swiss", "sample"} <= set(listed), listed
assert "intermodal_sample._engine" not in sys.modules, "listing has imported the engine"
spec = listed["sample"]
capabilities = spec.capabilities
print(json.dumps([spec.error, spec.distribution, spec.version, spec.summary, capabilities.lock_free_reads]))
"""
    error, distribution, version, summary, lock_free = json.loads(run(sample_plugin, code))
    assert error is None
    assert (distribution, version) == ("intermodal-sample", "0.1.0")
    assert "64 buckets" in summary
    assert lock_free is True


def test_the_plugin_runs_as_intermodal_does(sample_plugin):
    """Its engine is an extension where intermodal is compiled, and its source where it is not."""
    code = "import intermodal_sample._engine as engine; print(engine.__file__)"
    assert run(sample_plugin, code).strip().endswith(".py") is not intermodal.__compiled__


@compiled_only
def test_a_compiled_plugin_runs_its_source_when_asked(sample_plugin):
    """INTERMODAL_PURE=1 at run time, for plugin and core alike."""
    code = """
import intermodal, intermodal_sample._engine as engine
m = intermodal.open_map("sample")
m["a"] = 1
print(intermodal.__compiled__, m, engine.__file__)
"""
    output = run(sample_plugin, code, INTERMODAL_PURE="1")
    assert output.startswith("False {'a': 1} ")
    assert output.strip().endswith("_engine.py")


def test_the_plugins_map_is_a_map(sample_plugin):
    """dict's operations and the conditional ones, with keys of every kind, against a dict."""
    code = """
import gc, pickle, weakref
from collections.abc import MutableMapping
from intermodal import ABSENT, open_map

m = open_map("sample")
assert isinstance(m, MutableMapping)
model = {}
for number in range(2000):
    key = [number, str(number), (number,), number / 7, b"%d" % number][number % 5]
    m[key] = model[key] = number
assert m == model and len(m) == len(model) == 2000
for key in list(model)[::3]:
    assert m.pop(key) == model.pop(key)
assert dict(m) == model and len(m) == len(model)
assert all(key in m and m[key] == value for key, value in model.items())
assert m.get("nothing") is None and "nothing" not in m
for call in (lambda: m["nothing"], lambda: m.pop("nothing"), lambda: m.replace("nothing", 1)):
    try:
        call()
    except KeyError as error:
        assert error.args == ("nothing",)
    else:
        raise AssertionError
assert m.insert("new", 1) and not m.insert("new", 2)
assert m.compute("new", lambda old: old + 1) == 2
assert m.compare_and_set("new", 2, ABSENT) and "new" not in m
try:
    m[[]] = 1
except TypeError:
    pass
else:
    raise AssertionError

class Hostile:
    def __hash__(self):
        return 1
    def __eq__(self, other):
        raise RuntimeError("no")

m.clear()
assert len(m) == 0 and not m
first = Hostile()
m[first] = "first"
try:
    m[Hostile()] = "second"
except RuntimeError:
    pass
else:
    raise AssertionError
assert m[first] == "first" and len(m) == 1

class Value:
    pass

value = Value()
value.map = m
m["cycle"] = value
alive = weakref.ref(value)
del value, m
gc.collect()
assert alive() is None, "the collector does not see through the map"
again = pickle.loads(pickle.dumps(open_map("sample") | {"a": 1}))
assert again == {"a": 1} and type(again).__name__ == "SampleMap"
"""
    run(sample_plugin, code)


def test_the_plugins_map_loses_no_update_of_two_threads(sample_plugin):
    """Each counts in shared keys and inserts its own; all is there in the end."""
    code = """
import sys, threading
from intermodal import ABSENT, open_map

sys.setswitchinterval(1e-6)
m = open_map("sample")
together = threading.Barrier(2)
errors = []

def work(name):
    try:
        together.wait()
        for number in range(2000):
            m.compute(number % 5, lambda old: 1 if old is ABSENT else old + 1)
            m[name, number] = number
            assert m[name, number] == number
            if number % 2:
                del m[name, number]
    except BaseException as error:
        errors.append(error)

threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not errors, errors
assert [m[key] for key in range(5)] == [800] * 5
assert len(m) == 5 + 2 * 1000 == len(dict(m))
"""
    run(sample_plugin, code)


# ---- what compiled callers get ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def loops(sample_plugin):
    if not intermodal.__compiled__:
        pytest.skip("nothing is inlined in a pure installation")
    return sample.import_from(sample_plugin, "intermodal_sample._loops")


def test_inlined_stored_hash_is_a_strs_own_and_else_the_word(loops):
    """Compiled callers get code of their own for it, which borrows the key."""
    block = Block(words=1, objects=1)
    slot, word = block.objects_address, block.address
    loops.add_many(gate(), word, 4711, 1)
    assert loops.inlined_stored_hash(slot, word) == 4711
    assert not loops.inlined_stored_key_is_str(slot)
    for key in ("a", "Ω" * 3, "\U0001f600", 10**20, b"abc", [1], type("Text", (str,), {})("a")):
        before = sys.getrefcount(key)
        loops.hand_over(gate(), slot, [key])
        assert loops.inlined_stored_hash(slot, word) == (hash(key) if type(key) is str else 4711)
        assert loops.inlined_stored_key_is_str(slot) is (type(key) is str)
        loops.hand_over(gate(), slot, [...])
        assert sys.getrefcount(key) == before


GATES = []


def gate():
    """Return the address of a word at which one thread need not wait."""
    GATES.append(Block(1))
    return GATES[-1].address


# ---- builds for debugging and for other processors --------------------------------------------------------

MATCHES = """
import sys
from intermodal import atomics
from intermodal.memory import Block
from intermodal_sample import _loops
block = Block(2)
for line in sys.stdin:
    group, wanted = line.split()
    for position, byte in enumerate(bytes.fromhex(group)):
        atomics.store_byte(block.address + position, byte)
    arguments = block.address, int(wanted)
    print(_loops.inlined_match_bytes(*arguments), _loops.inlined_match_bytes_portable(*arguments), flush=True)
"""


@pytest.fixture(scope="module")
def match_without_vectors(debug_sample_plugin):
    """A function that lets another process, without vector instructions, match."""
    command = [sys.executable, "-c", MATCHES]
    environment = sample.environment(PYTHONPATH=str(debug_sample_plugin))
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def match(group, wanted):
            process.stdin.write(f"{group.hex()} {wanted}\n")
            process.stdin.flush()
            return process.stdout.readline().split()

        yield match
        process.stdin.close()


@settings(derandomize=True, deadline=None)
@given(
    group=st.binary(min_size=16, max_size=16), wanted=st.integers(0, 255), places=st.sets(st.integers(0, 15))
)
@example(group=bytes(range(16)), wanted=0, places=set())
@example(group=b"\x80" * 16, wanted=0x80, places=set())
@example(group=b"\x7f\x80" * 8, wanted=0xFF, places={0, 15})
@example(group=b"\x01\x00" * 8, wanted=0, places=set())
def test_a_build_without_vector_instructions_matches_the_same_bytes(
    match_without_vectors, group, wanted, places
):
    """INTERMODAL_PORTABLE_MATCH=1: what other processors than x86-64 get."""
    group = bytearray(group)
    for place in places:
        group[place] = wanted
    expected = sum(1 << place for place in range(16) if group[place] == wanted)
    assert match_without_vectors(group, wanted) == [str(expected)] * 2


@pytest.mark.parametrize(
    ("call", "what"),
    [
        ("inlined_load(freed)", "8 bytes"),
        ("inlined_load(block.address + 4)", "8 bytes"),
        ("inlined_load(block.objects_address)", "8 bytes"),
        ("inlined_object_load(block.address)", "an object slot"),
        ("inlined_match_bytes(block.address + 8, 0)", "16 bytes"),
        ("inlined_match_bytes_portable(block.address + 8, 0)", "16 bytes"),
    ],
)
def test_a_debug_build_stops_at_a_bad_address(debug_sample_plugin, call, what):
    """INTERMODAL_DEBUG=1: a message that names the address, and the end of the process, not garbage."""
    code = f"""
import resource
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
from intermodal.memory import Block
from intermodal_sample import _loops
block = Block(2, 1)
assert _loops.inlined_load(block.address) == 0
assert _loops.inlined_object_load(block.objects_address) is None
freed = Block(1).address
print("so far so good", flush=True)
_loops.{call}
print("not stopped")
"""
    done = sample.run(debug_sample_plugin, code)
    assert done.stdout == "so far so good\n"
    assert done.returncode == -signal.SIGABRT
    assert f"is not that of {what} in a live block" in done.stderr
    assert "intermodal: an atomic was given an address outside every live block" in done.stderr


@pytest.mark.parametrize("words", [6, 60, 600])
def test_a_debug_build_fills_freed_memory(debug_sample_plugin, words):
    """INTERMODAL_DEBUG=1: a use after free that is not found by its address finds no plausible value."""
    code = f"""
import ctypes
from intermodal_sample import _loops
storage = _loops.own_storage({words})
address = _loops.address_of(storage) + 8 * {words // 2}
word = ctypes.c_uint64.from_address(address)
word.value = 4711
del storage
print(hex(word.value))
"""
    done = sample.run(debug_sample_plugin, code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0xdbdbdbdbdbdbdbdb\n", "")

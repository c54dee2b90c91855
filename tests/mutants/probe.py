"""Evidence about atomics.h: a module around its functions, compiled in a second or two, and checks of it.

The checks run in a process of their own (``python probe.py MODULE CHECK``), which a mutant may crash or hang.
Which stores and loads order what, ThreadSanitizer tells, by a program without an interpreter (orders.c).
"""

from __future__ import annotations

import gc
import importlib.util
import re
import shutil
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
HEADER = HERE.parents[1] / "core" / "intermodal" / "atomics.h"
PATIENCE = 60
#: What a check of the order of two operations is called: this, then the pair as orders.c has it.
ORDER = "order: "


# ---- compiling ----------------------------------------------------------------------------------------

_TYPES = {"w": "long long", "f": "double", "o": "PyObject *"}
_RESULTS = {
    "w": "return PyLong_FromLongLong({call});",
    "h": "int64_t hash = {call}; return PyErr_Occurred() ? NULL : PyLong_FromLongLong(hash);",
    "b": "return PyBool_FromLong({call});",
    "f": "return PyFloat_FromDouble({call});",
    "o": "return {call};",
    "O": "return {call};",
    "v": "{call}; Py_RETURN_NONE;",
}


def _operations() -> str:
    """Return C: a wrapper of every operation, and their table."""
    from intermodal.build import OPERATIONS

    functions, methods = [], []
    for name, signature in OPERATIONS.items():
        taken, _, given = signature.partition("->")
        parameters = [f"a{number}" for number in range(len(taken))]
        declared = "".join(f"{_TYPES[kind]} {each}; " for kind, each in zip(taken, parameters, strict=True))
        letters = taken.replace("w", "L").replace("f", "d").replace("o", "O")
        places = "".join(f", &{each}" for each in parameters)
        result = _RESULTS[given].format(call=f"im_{name}({', '.join(parameters)})")
        functions.append(
            f"static PyObject *probe_{name}(PyObject *self, PyObject *arguments) {{ {declared}"
            f'if (!PyArg_ParseTuple(arguments, "{letters}"{places})) return NULL; {result} }}'
        )
        methods.append(f'{{"{name}", probe_{name}, METH_VARARGS, NULL}},')
    lines = ["#define PROBE_OPERATIONS \\", *(f"{each} \\" for each in functions), ""]
    return "\n".join([*lines, "#define PROBE_METHODS \\", *(f"{each} \\" for each in methods), ""])


def _compile(header: Path, source: str, target: Path, *flags: str) -> Path:
    import mypyc
    from helpers.compiler import compiler

    folder = target.parent
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "operations.h").write_text(_operations(), encoding="utf-8")
    includes = [f"-I{folder}", f"-I{sysconfig.get_path('include')}"]
    includes.append(f"-I{Path(mypyc.__file__).with_name('lib-rt')}")
    called = compiler()
    assert called is not None
    command = [*called, "-O1", "-g0", "-w", *includes, "-include", str(header), str(HERE / source)]
    done = subprocess.run(
        [*command, *flags, "-pthread", "-o", str(target)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{source} does not compile:\n{done.stderr}")
    return target


def compile_module(header: Path, folder: Path) -> Path:
    """Compile the module around *header* into *folder*."""
    return _compile(header, "probe.c", folder / "probe.so", "-shared", "-fPIC")


def compile_orders(header: Path, folder: Path) -> Path:
    """Compile the program that ThreadSanitizer judges."""
    flags = ("-fsanitize=thread", "-fno-pie", "-no-pie", "-Wl,--unresolved-symbols=ignore-all")
    return _compile(header, "orders.c", folder / "orders", *flags)


def has_thread_sanitizer(folder: Path) -> bool:
    """Return whether a program with ThreadSanitizer can be compiled and run here."""
    try:
        return run_check(compile_orders(HEADER, folder), f"{ORDER}store, load")[0] == "passed"
    except RuntimeError:
        return False


# ---- running ------------------------------------------------------------------------------------------


def run_check(compiled: Path, check: str) -> tuple[str, str]:
    """Run one check of what was compiled: "passed", "failed" or "hangs", and its output."""
    if check.startswith(ORDER):
        command = [str(compiled), check.removeprefix(ORDER)]
        if shutil.which("setarch"):  # ThreadSanitizer of gcc 12 cannot place its memory under a random layout
            command = ["setarch", "-R", *command]
    else:
        command = [sys.executable, __file__, str(compiled), check]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired as expired:
        return "hangs", str(expired.stderr)
    if done.returncode == 0:
        return "passed", ""
    return "failed", f"exit status {done.returncode}\n{done.stdout}{done.stderr}"


def run(mutants, folder):
    """Yield name ("" for the header as it is), verdict and output of each check that *mutants* name."""
    unchanged = folder / "unchanged-header"
    compiled = {}
    for check in dict.fromkeys(mutant.probe for mutant in mutants):
        make = _maker(check)
        if make not in compiled:
            compiled[make] = make(HEADER, unchanged)
        yield "", *run_check(compiled[make], check)
    yield from run_mutants(mutants, folder)


def run_mutants(mutants, folder):
    """Yield name, verdict and output of each of *mutants*."""
    for number, mutant in enumerate(mutants):
        place = folder / f"header-{number}"
        place.mkdir()
        header = place / "atomics.h"
        header.write_text(mutant.apply(HEADER.read_text(encoding="utf-8")), encoding="utf-8")
        yield mutant.name, *run_check(_maker(mutant.probe)(header, place), mutant.probe)


def _maker(check):
    return compile_orders if check.startswith(ORDER) else compile_module


def pairs() -> list[str]:
    """Return the pairs of operations that orders.c can be asked about."""
    return list(
        dict.fromkeys(re.findall(r'PAIR\("(.+?)"\)', (HERE / "orders.c").read_text(encoding="utf-8")))
    )


# ---- the checks ---------------------------------------------------------------------------------------

#: Of each of four threads: enough that they meet, also where there is one core for all.
STEPS = 500_001
ROUNDS = 20
ADD, EXCHANGE, LOCK, BYTES = range(4)
RELAXED, ACQUIRE, RELEASE, ACQ_REL, SEQ_CST = range(5)


def _words(p, count=4):
    block = p.block_new(count, 0)
    return block, p.block_address(block)


def _slot(p):
    block = p.block_new(0, 1)
    return block, p.block_objects(block)


def additions_are_not_lost(p):
    for loop, steps in [(ADD, 10 * STEPS)] * 3 + [(EXCHANGE, STEPS)]:
        block, word = _words(p)
        p.meet(loop, 4, steps, word)
        assert p.load(word, RELAXED) == 4 * steps, p.load(word, RELAXED)
        p.reachability_fence(block)


def a_lock_lets_one_in(p):
    for _ in range(ROUNDS):
        block, word = _words(p)
        assert p.meet(LOCK, 4, STEPS, word) == 4 * STEPS
        p.reachability_fence(block)


def a_lock_is_taken_at_the_expected_word_only(p):
    block, word = _words(p)
    p.store(word, 8, RELAXED)
    assert not p.try_lock(word, 4)
    assert p.load(word, RELAXED) == 8
    assert p.try_lock(word, 8)
    assert not p.try_lock(word, 8)
    p.unlock(word, 12)
    assert p.load(word, RELAXED) == 12
    p.reachability_fence(block)


def an_expected_word_is_replaced(p):
    block, word = _words(p)
    for expected in (0, 1, 2, 3, -1, 2**62):
        for order in (RELAXED, ACQUIRE, RELEASE, ACQ_REL, SEQ_CST):
            p.store(word, expected, RELAXED)
            assert not p.compare_exchange(word, expected + 1, 7, order)
            assert p.compare_exchange(word, expected, 7, order)
            assert p.load(word, RELAXED) == 7
    p.reachability_fence(block)


def bytes_do_not_disturb_each_other(p):
    for _ in range(ROUNDS):
        block, word = _words(p)
        p.meet(BYTES, 4, STEPS, word)
        assert {p.load_byte(word + each) for each in range(4)} == {STEPS % 256}
        p.reachability_fence(block)


def matches_are_exact(p):
    block, word = _words(p)
    for pattern in ([0x41, 0x40] * 8, [0, 1] * 8, [0x80, 0x00, 0xFF, 0x7F] * 4, [7] * 16):
        for place, byte in enumerate(pattern):
            p.store_byte(word + place, byte)
        for wanted in {*pattern, 5}:
            expected = sum(1 << place for place, byte in enumerate(pattern) if byte == wanted)
            assert p.match_bytes(word, wanted) == expected, (pattern, wanted)
            assert p.match_bytes_portable(word, wanted) == expected, (pattern, wanted)
    p.reachability_fence(block)


class Held:
    """Counts those alive."""

    alive = 0

    def __init__(self):
        Held.alive += 1

    def __del__(self):
        Held.alive -= 1


def references_are_exact(p):
    block, slot = _slot(p)
    p.object_store(slot, Held())
    for _ in range(10):
        assert type(p.object_load(slot, None)) is Held
    assert Held.alive == 1
    replaced = p.object_exchange(slot, Held(), None)
    assert type(replaced) is Held
    del replaced
    assert Held.alive == 1
    for _ in range(3):
        current = p.object_load(slot, None)
        assert p.object_compare_exchange(slot, current, Held())
        assert not p.object_compare_exchange(slot, current, Held())
        del current
        assert Held.alive == 1
    other, target = _slot(p)
    p.object_copy(slot, target)
    p.object_forget(slot)
    assert p.object_is_empty(slot)
    assert type(p.object_take(target, None)) is Held
    assert p.object_is_empty(target)
    assert Held.alive == 0
    p.object_store(slot, Held())
    del block, other
    assert Held.alive == 0, "a block keeps its objects"


def cycles_through_a_block_are_collected(p):
    block, slot = _slot(p)
    holder = Held()
    holder.block = block
    p.object_store(slot, holder)
    del block, holder
    gc.collect()
    assert Held.alive == 0


def another_thread_may_load(p):
    """An object of this thread, in another one: it must allow references that are tried."""
    block, slot = _slot(p)
    loaded = []
    p.object_store(slot, Held())
    thread = threading.Thread(target=lambda: loaded.append(p.object_load(slot, None)))
    thread.start()
    thread.join()
    assert [type(each) for each in loaded] == [Held]
    p.reachability_fence(block)


def hashes_are_those_of_python(p):
    for number in range(50):
        fresh = "".join(["a key ", str(number)])  # its hash is not known yet
        assert p.hash_object(fresh) == hash(fresh)
    for key in (1, -1, 2**61, 1.5, None, b"x", ("a", 1)):
        assert p.hash_object(key) == hash(key)


def plain_keys_compare_as_in_python(p):
    block, slot = _slot(p)
    keys = [1, 1.0, True, 2, "a", "b", "ab", "\xe9", "\u20ac", b"a", None, 0.0, -0.0, float("nan")]
    for stored in keys:
        p.object_exchange(slot, stored, None)
        for key in keys:
            expected = stored is key or stored == key
            assert p.key_equals(slot, key) == int(expected), (stored, key)
    p.object_exchange(slot, Held(), None)
    assert p.key_equals(slot, 1) == -1
    del block


def words_are_ordered_as_keys_are(p):
    keys = [
        "",
        "\0",
        "a",
        "a\0",
        "ab",
        "abcdefg",
        "abcdefg\0",
        "abcdefgh",
        "b",
        "\xe9",
        "\uffff",
        "\U00010000",
    ]
    words = [p.key_word(key, 0) for key in keys]
    assert words == sorted(words)
    whole = [word for word in words if word & 255 == 0]
    assert len(whole) == len(set(whole)) > 5
    assert [p.key_word(key, 0) for key in (-(2**62), -1, 0, 2**40)] == [-(2**62), -1, 0, 2**40]


def places_are_found(p):
    block, order = _words(p, 32 + 256)
    words = order + 256
    for place in range(0, 256, 8):
        p.store(order + place, int.from_bytes(range(place, place + 8), "little", signed=True), RELAXED)
    for count in (0, 1, 7, 8, 9, 15, 17, 33, 57, 62, 64, 65, 255):
        for place in range(256):
            p.store(words + 8 * place, 10 * place if place < count else -1, RELAXED)
        for limit in range(-5, 10 * count + 10, 5):
            expected = len(range(0, min(limit, 10 * count), 10))
            assert p.count_below(order, words, count, limit) == expected, (count, limit)
    p.reachability_fence(block)


def main() -> None:
    """Run one check of a module."""
    file, check = sys.argv[1:]
    spec = importlib.util.spec_from_file_location("probe", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    globals()[check](module)


if __name__ == "__main__":
    main()

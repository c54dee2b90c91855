"""Run the tests on a Python without a GIL, and see that nothing turns one on.

The kit for each backend has a process of its own: without a GIL a collection visits everything there is, the
tests still to come included, and the tests of the kit collect often.
"""

import subprocess
import sys

KIT = "tests/test_conformance.py"


def suites() -> list[str]:
    sys.path.insert(0, "tests")
    import test_conformance

    return [f"{KIT}::{name}" for name, value in vars(test_conformance).items() if _is_suite(name, value)]


def _is_suite(name: str, value: object) -> bool:
    return isinstance(value, type) and name.startswith("Test")


def run_all() -> int:
    alone = suites()
    rest = [f"--deselect={each}" for each in alone]
    for arguments in (rest, *([each] for each in alone)):
        print("+ pytest", arguments[0] if len(arguments) == 1 else "(all but the kit)", flush=True)
        status = subprocess.run([sys.executable, __file__, *arguments], check=False).returncode
        if status:
            return status
    return 0


def run_here(arguments: list[str]) -> int:
    import pytest

    assert not sys._is_gil_enabled(), "the GIL is on before the tests"
    status = pytest.main(arguments)
    assert not sys._is_gil_enabled(), "the tests turned the GIL on"
    return status


if __name__ == "__main__":
    sys.exit(run_here(sys.argv[1:]) if sys.argv[1:] else run_all())

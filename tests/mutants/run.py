"""Run mutants: make each in a copy of the sources and see whether its evidence finds it.

    python tests/mutants/run.py                    in the pure build and with probes of the header, as CI does
    python tests/mutants/run.py --compiled [NAME]  build each and run threads against it: minutes for each
    python tests/mutants/run.py --list

NAME is a part of a mutant's name. Exit status 1 if one survives that should not.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import contextmanager, nullcontext
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "tests"))

from mutants import probe  # noqa: E402  (found by the line above)
from mutants.catalogue import MUTANTS, Mutant  # noqa: E402

#: Seconds after which a test counts as hanging; a hundred times what the slowest takes.
PATIENCE = 60
#: With a hook or a step limit that finds an endless loop sooner: what a mutant's test may end with.
FAILED, HANGS = "failed", "hangs"


def copy_sources(target: Path) -> Path:
    """Copy the packages that are imported into *target*, as site-packages has them."""
    for folder in ("core", "plugins"):
        for package in (ROOT / folder).glob("intermodal*"):
            if package.is_dir() and not package.name.endswith(".egg-info"):
                ignored = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd")
                shutil.copytree(package, target / package.name, ignore=ignored)
    return target


def copy_tree(target: Path, mutant: Mutant | None = None) -> Path:
    """Copy what a build needs into *target*, mutated."""
    for name in ("core", "plugins", "contrib"):
        ignored = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd", "*.egg-info")
        shutil.copytree(ROOT / name, target / name, ignore=ignored)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, target)
    if mutant is not None:
        (target / mutant.file).write_text(_mutated_source(mutant), encoding="utf-8")
    return target


def _mutated_source(mutant: Mutant) -> str:
    return mutant.apply((ROOT / mutant.file).read_text(encoding="utf-8"))


# ---- the pure build -----------------------------------------------------------------------------------


def run_pure(mutants: list[Mutant], folder: Path) -> dict[str, tuple[str, str]]:
    """Run the test of each of *mutants*, and first all these tests on the sources as they are.

    Returns: name of the mutant, or "" for the sources as they are -> "passed", "failed", "hangs" or "error",
    and the output.
    """
    tests = list(dict.fromkeys(mutant.test for mutant in mutants))
    jobs: list[tuple[str, str, str, list[str]]] = [("", "", "", tests)]
    for mutant in mutants:
        file = str(Path(*Path(mutant.file).parts[1:]))
        jobs.append((mutant.name, file, _mutated_source(mutant), [mutant.test]))
    site = copy_sources(folder / "site")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("INTERMODAL_")}
    environment |= {"INTERMODAL_PURE": "1", "PYTHONHASHSEED": "0", "INTERMODAL_TEST_PATIENCE": "20"}
    environment |= {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, __file__, "--worker", str(site)],
        input=json.dumps(jobs),
        env=environment,
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the worker ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return {name: (verdict, output) for name, verdict, output in map(json.loads, done.stdout.splitlines())}


def work(site: str) -> None:
    """Run the jobs of the standard input, each in a fork that finds pytest imported and *site* mutated and compiled.

    The bytecode is checked by the hash of its source: by the time of the last change, two mutants of the same
    second and length would be taken for each other.
    """
    jobs = json.load(sys.stdin)
    compileall.compile_dir(site, quiet=1, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
    import _hypothesis_pytestplugin  # noqa: F401
    import hypothesis.stateful  # noqa: F401
    import pytest  # noqa: F401
    import typer.testing  # noqa: F401

    sys.path[:] = [path for path in sys.path if path not in ("", str(ROOT / "tests"))]
    for name in [name for name in sys.modules if name.partition(".")[0] in ("mutants", "intermodal")]:
        del sys.modules[name]
    for name, file, mutated, nodes in jobs:
        with _mutated(Path(site, file), mutated) if file else nullcontext():
            print(json.dumps([name, *_run_forked(site, nodes)]), flush=True)  # noqa: T201


@contextmanager
def _mutated(file: Path, mutated: str) -> Iterator[None]:
    """Have *mutated* in *file* meanwhile."""
    source = file.read_bytes()
    file.write_text(mutated, encoding="utf-8")
    yield
    file.write_bytes(source)


def _run_forked(site: str, nodes: list[str]) -> tuple[str, str]:
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            code = 9
            try:
                code = _run_here(site, nodes)
            finally:
                os._exit(code)
        status = os.waitpid(child, 0)[1]
        output.seek(0)
        text = output.read().decode(errors="replace")
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGALRM:
        return HANGS, text
    return {0: "passed", 1: FAILED}.get(code, "error"), text


def _run_here(site: str, nodes: list[str]) -> int:
    import pytest

    sys.path.insert(0, site)
    os.environ["PYTHONPATH"] = site
    signal.alarm(PATIENCE * max(len(nodes) // 10, 1))
    options = ["-q", "-x", "-p", "no:cacheprovider", "--tb=short", "--no-header"]
    options += [
        "-o",
        "faulthandler_timeout=0",
        "-W",
        "ignore:Module already imported",
    ]  # hypothesis, before the fork
    code = int(pytest.main([*options, *nodes]))
    import intermodal

    here = Path(intermodal.__file__).is_relative_to(site)
    sys.stdout.flush()
    sys.stderr.flush()
    return code if here and not intermodal.__compiled__ else 9


# ---- a compiled build ---------------------------------------------------------------------------------

#: What a compiled mutant meets unless it names something narrower.
THREAD_TESTS = "tests/test_swiss.py tests/test_conformance.py tests/test_atomics_contention.py"


def run_compiled(mutant: Mutant | None, folder: Path) -> tuple[str, str]:
    """Build the mutated tree into *folder*, and run the stress command and thread tests on it."""
    tree, target = copy_tree(folder / "tree", mutant), folder / "installed"
    install = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    install += ["--no-build-isolation", "--no-deps", "--target", str(target), str(tree)]
    built = subprocess.run(install, capture_output=True, text=True, check=False)
    if built.returncode:
        return "error", built.stdout + built.stderr
    environment = os.environ | {"PYTHONPATH": str(target), "INTERMODAL_TEST_PATIENCE": "30"}
    wanted = (mutant.compiled if mutant else None) or THREAD_TESTS
    tests = ["pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", "not locked", *wanted.split()]
    for module in (["intermodal", "stress", "--backend", "swiss", "--seconds", "30"], tests):
        verdict, output = _run_module(module, environment)
        if verdict != "passed":
            break
    return verdict, output


def _run_module(arguments: list[str], environment: dict[str, str]) -> tuple[str, str]:
    try:
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            env=environment,
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=900,
            check=False,
        )
    except subprocess.TimeoutExpired as expired:
        return HANGS, str(expired.stdout)
    return ("passed" if done.returncode == 0 else FAILED), done.stdout


# ---- the command --------------------------------------------------------------------------------------


def main() -> int:
    """Run what the arguments say; return the exit status."""
    parser = argparse.ArgumentParser(description="Run mutants.")
    parser.add_argument("name", nargs="?", default="")
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if arguments.name in mutant.name]
    if arguments.list:
        for mutant in chosen:
            found = mutant.test or mutant.probe or f"survives: {mutant.equivalent}"
            print(f"{mutant.name} ({mutant.file})\n    {mutant.why}\n    {found}")  # noqa: T201
        return 0
    survivors = 0

    for name, verdict, output in _verdicts(chosen, compiled=arguments.compiled):
        print(f"{verdict:8} {name or '(unchanged)'}", flush=True)  # noqa: T201
        if (verdict == "passed") is bool(name) or verdict == "error":
            survivors += 1
            if verdict != "passed":
                print(output)  # noqa: T201
    return min(survivors, 1)


def _verdicts(chosen, *, compiled):
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        if compiled:
            for number, mutant in enumerate(chosen):
                place = Path(folder, str(number))
                yield mutant.name, *run_compiled(mutant, place)
                shutil.rmtree(place)
            return
        tested = [mutant for mutant in chosen if mutant.test]
        if tested:
            for name, (verdict, output) in run_pure(tested, Path(folder)).items():
                yield name, verdict, output
        free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
        probed = [each for each in chosen if each.probe and (free_threaded or not each.free_threaded)]
        if probed:
            yield from probe.run(probed, Path(folder))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(sys.argv[2])
    else:
        sys.exit(main())

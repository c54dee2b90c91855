"""The named environments: ``nox --list`` shows them, ``nox -s tests-3.13 -- -k compute`` runs one.

What comes after ``--`` replaces the arguments of a session's last command, or is added to pytest's.
"""

from __future__ import annotations

import sys

import nox

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["static", "pure", "docs"]

PROJECT = nox.project.load_toml("pyproject.toml")
#: Those of the classifiers; the free-threaded one has a session of its own.
PYTHONS = [python for python in nox.project.python_versions(PROJECT) if not python.endswith("t")]
PURE = {"INTERMODAL_PURE": "1"}


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The tests, against the compiled package."""
    session.install(".[test]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session
def pure(session: nox.Session) -> None:
    """The tests, against the package as it is without a compiler."""
    session.install(".[test]", env=PURE)
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(name="free-threaded", venv_backend="none")
def free_threaded(session: nox.Session) -> None:
    """The tests on python3.14t or python3.13t, whichever is on the path, with the GIL off to the end."""
    session.run("bash", ".ci/run", "free-threaded", external=True)


@nox.session(venv_backend="none")
def static(session: nox.Session) -> None:
    """Linter, formatter and type checker."""
    session.run("bash", ".ci/run", "static", external=True)


@nox.session
def bench(session: nox.Session) -> None:
    """Every asv benchmark, once; figures to compare take `asv run` without --quick, and a quiet machine."""
    session.install(".[bench]")
    session.chdir("asv_bench")
    session.run("asv", "machine", "--yes")
    session.run("asv", "run", "--python=same", *(session.posargs or ["--quick", "--show-stderr"]))


@nox.session
def docs(session: nox.Session) -> None:
    """The site, into docs/_build, with warnings as errors; and the tests of what it says."""
    session.install(".[docs]", env=PURE)
    session.run("python", "-m", "sphinx", "-W", "-n", "docs", "docs/_build")
    session.run(
        "python", "-m", "pytest", "tests/test_site.py", "tests/test_docs.py", *session.posargs, env=PURE
    )


@nox.session
def fuzz(session: nox.Session) -> None:
    """Ten minutes of atheris on swiss, from the corpus of the tests and into it."""
    session.install("atheris", ".[test]", env=PURE)
    arguments = session.posargs or ["--backend", "swiss", "tests/fuzz/corpus", "-max_total_time=600"]
    session.run("python", "-m", "intermodal.testing.fuzz", *arguments, env=PURE)


@nox.session
def stress(session: nox.Session) -> None:
    """A minute of threads that use swiss at once and check every outcome."""
    session.install(".[cli]")
    session.run("intermodal", "stress", *(session.posargs or ["--backend", "swiss", "--seconds", "60"]))


if __name__ == "__main__":
    sys.exit("noxfile.py is read by nox: nox --list")

"""The files that name environments, workflows, wheels and changes agree with each other and with the tree."""

from __future__ import annotations

import fnmatch
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from intermodal import __version__

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = SETTINGS["project"]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def command(*arguments: object, cwd: Path = ROOT, **environment: str) -> str:
    """Return what a command of this interpreter writes; it must not fail."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environment},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


# ---- versions of Python -----------------------------------------------------------------------------------


def versions() -> list[str]:
    """Return the versions of CPython that the classifiers name."""
    pattern = re.compile(r"Programming Language :: Python :: (3\.\d+)$")
    return [found[1] for each in PROJECT["classifiers"] if (found := pattern.match(each))]


def test_the_oldest_version_is_the_one_that_is_required():
    """requires-python says what the classifiers say, and there is no gap."""
    numbers = [int(version.partition(".")[2]) for version in versions()]
    assert PROJECT["requires-python"] == f">=3.{numbers[0]}"
    assert numbers == list(range(numbers[0], numbers[-1] + 1))


def test_wheels_are_built_for_every_version_and_without_the_gil():
    """cibuildwheel builds for each classifier, and for the newest version free-threaded; for nothing else."""
    tags = [f"cp{version.replace('.', '')}" for version in versions()]
    assert SETTINGS["tool"]["cibuildwheel"]["build"] == [f"{tag}-*" for tag in (*tags, f"{tags[-1]}t")]
    skipped = SETTINGS["tool"]["cibuildwheel"]["skip"]
    for tag in tags:
        assert not any(fnmatch.fnmatch(f"{tag}-manylinux_x86_64", pattern) for pattern in skipped)


def test_wheels_are_tested_with_what_the_tests_need():
    """The requirements of the wheels' tests are those of the extra, so that they need one edit, not two."""
    assert set(SETTINGS["tool"]["cibuildwheel"]["test-requires"]) <= set(
        PROJECT["optional-dependencies"]["test"]
    )
    for line in SETTINGS["tool"]["cibuildwheel"]["test-command"]:
        backend = re.search(r"--backend (\S+)", line)
        assert backend is None or backend[1] in PROJECT["entry-points"]["intermodal.maps"]


# ---- nox --------------------------------------------------------------------------------------------------

#: The sessions that the documentation promises.
SESSIONS = {"tests", "pure", "free-threaded", "static", "bench", "docs", "fuzz", "stress"}


class Session:
    """Stands for nox's: keeps what a session would run, and where."""

    def __init__(self, *posargs: str) -> None:
        self.posargs = list(posargs)
        self.folder = ROOT
        self.installed: list[str] = []
        self.commands: list[tuple[Path, list[str]]] = []

    def install(self, *requirements: str, env: dict[str, str] | None = None) -> None:
        self.installed += requirements

    def chdir(self, folder: str) -> None:
        self.folder = self.folder / folder

    def run(self, *arguments: str, env: dict[str, str] | None = None, external: bool = False) -> None:
        self.commands.append((self.folder, list(arguments)))


@pytest.fixture(scope="module")
def noxfile():
    """The noxfile as a module: session names, and the functions behind them."""
    pytest.importorskip("nox")
    spec = importlib.util.spec_from_file_location("noxfile_under_test", ROOT / "noxfile.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        spec.loader.exec_module(module)
    finally:
        os.chdir(before)
    return module


def sessions_of(noxfile) -> dict[str, object]:
    from nox.registry import get

    return {
        name: function for name, function in get().items() if function.func.__module__ == noxfile.__name__
    }


def test_nox_lists_the_named_environments(noxfile):
    """Each with a sentence on what it does; the tests for each version that the classifiers name."""
    listed = command("-m", "nox", "--list", "--nocolor")
    described = dict(re.findall(r"^[*-] (\S+) -> (.+)$", listed, re.MULTILINE))
    expected = {*(f"tests-{version}" for version in versions()), *(SESSIONS - {"tests"})}
    assert set(described) == expected
    assert all(len(words.split()) > 4 for words in described.values())
    assert set(sessions_of(noxfile)) == SESSIONS


@pytest.mark.parametrize("name", sorted(SESSIONS))
@pytest.mark.parametrize("posargs", [(), ("--help",)], ids=["default", "given"])
def test_what_a_session_runs_is_there(noxfile, name, posargs):
    """Modules, commands, extras, scripts and their parts; what is given after -- reaches a command."""
    session = Session(*posargs)
    sessions_of(noxfile)[name](session)
    assert session.commands
    for requirement in session.installed:
        if requirement.startswith("."):
            assert requirement[2:-1] in PROJECT["optional-dependencies"], requirement
    for folder, arguments in session.commands:
        runs_something_that_is_there(folder, arguments)
    if posargs and name not in {"static", "free-threaded"}:
        assert any("--help" in arguments for _, arguments in session.commands)


def runs_something_that_is_there(folder: Path, arguments: list[str]) -> None:
    program, first, *rest = arguments
    if program == "python":
        assert first == "-m"
        assert rest[0] in {"pytest", "sphinx"} or importlib.util.find_spec(rest[0]), rest[0]
    elif program == "bash":
        parts = re.search(r"only these parts: (.+)", text(first))
        assert parts
        assert set(rest) <= set(parts[1].split(", "))
    elif program == "intermodal":
        pytest.importorskip("typer")
        from intermodal.cli import run

        assert run([first, "--help"]) == 0
    else:
        assert program == "asv"
        assert (folder / "asv.conf.json").exists()
    for argument in arguments:
        if "/" in argument and "_build" not in argument:
            assert (folder / argument).exists(), argument


# ---- workflows --------------------------------------------------------------------------------------------


def workflow(name: str) -> dict:
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load(text(f".github/workflows/{name}.yml"))


def steps(job: dict, key: str) -> list[str]:
    return [step[key] for step in job["steps"] if key in step]


def test_the_workflow_tests_every_version():
    """The matrix is that of the classifiers; without the GIL the newest runs."""
    jobs = workflow("ci")["jobs"]
    assert jobs["tests"]["strategy"]["matrix"]["python"] == versions()
    newest = [step["with"]["python-version"] for step in jobs["free-threaded"]["steps"] if "with" in step]
    assert newest == [f"{versions()[-1]}t"]


def test_the_workflow_runs_sessions_that_exist():
    """Of nox, by name."""
    jobs = workflow("ci")["jobs"]
    assert set(jobs["others"]["strategy"]["matrix"]["session"]) <= SESSIONS
    called = {
        found[1].rstrip("-")
        for job in jobs.values()
        for line in steps(job, "run")
        if (found := re.search(r"nox -s ([\w-]+)", line))
    }
    assert called <= SESSIONS
    assert {"tests", "free-threaded"} <= called


def test_nothing_is_published_but_from_a_tag_and_after_everything_is_built():
    """By the one job that may ask for an identity, in the environment that the index knows."""
    found = workflow("release")
    jobs = found["jobs"]
    assert found["permissions"] == {"contents": "read"}
    assert [name for name, job in jobs.items() if "permissions" in job] == ["publish"]
    publish = jobs["publish"]
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["environment"] == "pypi"
    assert publish["if"] == "github.ref_type == 'tag'"
    assert set(publish["needs"]) == set(jobs) - {"publish"}
    assert "secrets." not in text(".github/workflows/release.yml")
    kept = [
        step["with"]["name"]
        for job in jobs.values()
        for step in job["steps"]
        if "upload" in step.get("uses", "")
    ]
    assert sorted(kept) == sorted(publish["needs"])


def test_a_tag_that_is_not_the_version_is_refused(tmp_path):
    """The release's own comparison, with the version's tag and with another one."""
    (line,) = [
        line for line in steps(workflow("release")["jobs"]["pure"], "run") if "GITHUB_REF_NAME" in line
    ]
    for tag, status in ((f"v{__version__}", 0), ("v0.0.0", 1), (__version__, 1)):
        done = subprocess.run(
            ["bash", "-c", line], check=False, cwd=ROOT, env={**os.environ, "GITHUB_REF_NAME": tag}
        )
        assert done.returncode == status, tag


# ---- changes ----------------------------------------------------------------------------------------------


def kinds() -> list[str]:
    return [kind["directory"] for kind in SETTINGS["tool"]["towncrier"]["type"]]


def test_fragments_have_names_that_towncrier_knows():
    """NUMBER.KIND.md or +WORDS.KIND.md, as docs/contributing.md says; it names all kinds."""
    for path in (ROOT / "changes").iterdir():
        if path.name != "README.md":
            assert re.fullmatch(rf"(\d+|\+[\w-]+)\.({'|'.join(kinds())})(\.\d+)?\.md", path.name), path.name
    page = text("docs/contributing.md")
    assert not [kind for kind in kinds() if f"`{kind}`" not in page]


def test_a_release_moves_its_fragments_above_the_last_one(tmp_path):
    """In the form that the changelog has: a heading for the version, one for each kind, a line each."""
    pytest.importorskip("towncrier")
    (tmp_path / "changes").mkdir()
    for name in ("pyproject.toml", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "changes" / "README.md").write_text("Not a fragment.\n")
    (tmp_path / "changes" / "12.added.md").write_text("`open_map()` takes more.\n")
    (tmp_path / "changes" / "+words.fixed.md").write_text("Nothing is lost.\n")
    build = ["-m", "towncrier", "build", "--yes", "--version", "9.9.9", "--date", "2030-01-31"]
    command(*build, "--draft", cwd=tmp_path)
    subprocess.run(["git", "init", "-q"], check=True, cwd=tmp_path)
    command(*build, cwd=tmp_path)
    changelog = (tmp_path / "CHANGELOG.md").read_text(encoding="utf-8")
    added = changelog.index("## [9.9.9] - 2030-01-31\n\n### Added\n\n- `open_map()` takes more. (#12)\n")
    fixed = changelog.index("### Fixed\n\n- Nothing is lost.\n")
    assert added < fixed < changelog.index(f"## [{__version__}]")
    assert changelog.startswith(text("CHANGELOG.md").partition("<!--")[0])
    assert [path.name for path in (tmp_path / "changes").iterdir()] == ["README.md"]


# ---- what is released -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution and the pure wheel, made of a copy of the tree."""
    pytest.importorskip("setuptools", minversion="77")
    tree = tmp_path_factory.mktemp("tree") / "intermodal"
    made = shutil.ignore_patterns(
        ".git", ".venv", ".nox", "build", "dist", "__pycache__", "*.so", "*.egg-info", "env"
    )
    shutil.copytree(ROOT, tree, ignore=made)
    target = tmp_path_factory.mktemp("dist")
    for kind in ("sdist", "wheel"):
        build = f"import sys, setuptools.build_meta as backend; backend.build_{kind}(sys.argv[1])"
        command("-W", "ignore", "-c", build, target, cwd=tree, INTERMODAL_PURE="1")
    return target


def test_the_pure_wheel_fits_every_machine(distributions):
    """It has no compiled code, and every package with what belongs to it."""
    wheel = distributions / f"intermodal-{__version__}-py3-none-any.whl"
    names = set(zipfile.ZipFile(wheel).namelist())
    assert not [name for name in names if name.endswith((".so", ".pyd"))]
    assert {"intermodal/atomics.h", "intermodal/maps.pyi", "intermodal/py.typed"} <= names
    for group in PROJECT["entry-points"].values():
        for module in group.values():
            path = module.replace(".", "/")
            assert {f"{path}/__init__.py", f"{path}.py"} & names, module
    assert not [name for name in names if name.startswith(("tests/", "docs/", "asv_bench/"))]


def test_the_source_distribution_has_what_builds_and_tests_it(distributions):
    """All that is in the repository but what belongs to it alone."""
    with tarfile.open(distributions / f"intermodal-{__version__}.tar.gz") as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = {"setup.py", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "noxfile.py"}
    folders = ("core", "plugins", "tests", "docs", "asv_bench", "changes")
    for folder in folders:
        files = (path for path in (ROOT / folder).rglob("*.*") if path.is_file())
        needed |= {
            str(path.relative_to(ROOT)) for path in files if path.suffix in {".py", ".md", ".h", ".pyi"}
        }
    made = re.compile(r"(^|/)(__pycache__|_build|_reference|env|html|build|.*\.egg-info)/")
    assert not sorted(name for name in needed - names if not made.search(name))

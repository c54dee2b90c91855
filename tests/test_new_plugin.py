"""``intermodal new-plugin``: what it writes builds, is found, and passes the conformance kit as it is."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from helpers import sample

import intermodal
from intermodal import _new_plugin
from intermodal.build import MYPY_VERSION
from intermodal.cli import run
from intermodal.testing.threads import PATIENCE

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder of a plugin that was written, as the command line does it."""
    folder = tmp_path_factory.mktemp("written")
    assert run(["new-plugin", "my_stripes", "--into", str(folder)]) == 0
    return folder / "intermodal-my-stripes"


@pytest.fixture(scope="module")
def installed(written, tmp_path_factory):
    """The folder into which pip has installed it."""
    return sample.build(tmp_path_factory.getbasetemp(), written)


def test_it_passes_the_conformance_kit_unchanged(written, installed, tmp_path):
    """By the tests that come with it, built as intermodal itself is."""
    tests = written / "tests"
    environment = {"PYTHONPATH": str(installed), "INTERMODAL_TEST_EFFORT": "0.1"}
    outcomes, output = sample.pytest_in(tmp_path, tests, f"--rootdir={tests}", **environment)
    assert len(outcomes) > 1000, output
    bad = [name for name, outcome in outcomes.items() if outcome - {"passed", "skipped"}]
    assert not bad, output


def test_its_engine_is_compiled_where_intermodal_is(installed):
    """And its sources run when asked; it is listed with what it declares."""
    code = """
import intermodal, json
import intermodal_my_stripes._engine as engine
m = intermodal.open_map("my_stripes", stripes=3)
m["a"] = 1
spec = {each.name: each for each in intermodal.backends()}["my_stripes"]
facts = [spec.error, spec.distribution, spec.version, spec.capabilities.points, type(m).__name__, dict(m)]
print(json.dumps([engine.__file__.endswith(".py"), facts]))
"""
    facts = [None, "intermodal-my-stripes", "0.1.0", "linearizable", "MyStripesMap", {"a": 1}]
    for options, pure in (({}, not intermodal.__compiled__), ({"INTERMODAL_PURE": "1"}, True)):
        done = sample.run(installed, code, **options)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == [pure, facts]


def test_every_order_of_two_of_its_calls_is_right(installed):
    """The scheduler knows its locks: what the README says about ``intermodal explore`` works."""
    arguments = ["explore", "--backend", "my_stripes", "--entries", "0,1", "--calls", "insert,pop"]
    done = sample.run(
        installed, f"from intermodal.cli import run; raise SystemExit(run({arguments}))", INTERMODAL_PURE="1"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].endswith("runs, no failure"), done.stdout


def test_an_option_of_a_wrong_value_is_refused(installed):
    """As the options of intermodal's own backends are."""
    code = """
import intermodal
for stripes in (0, "many"):
    try:
        intermodal.open_map("my_stripes", stripes=stripes)
    except intermodal.OptionError as error:
        print(error)
"""
    done = sample.run(installed, code)
    assert done.returncode == 0, done.stderr
    none, many = done.stdout.splitlines()
    assert none.endswith("stripes cannot be 0: a map needs at least 1 stripe")
    assert many.endswith("stripes must be int; got 'many'")


def test_what_is_written_is_whole(written):
    """No placeholder is left, the versions are those that build it, and each file is one that a plugin has."""
    files = {str(path.relative_to(written)): path for path in written.rglob("*") if path.is_file()}
    package = "src/intermodal_my_stripes"
    assert sorted(files) == [
        "README.md",
        "pyproject.toml",
        "setup.py",
        f"{package}/__init__.py",
        f"{package}/_engine.py",
        f"{package}/_map.py",
        f"{package}/py.typed",
        "tests/test_my_stripes.py",
    ]
    for name, path in files.items():
        text = path.read_text(encoding="utf-8")
        assert "$" not in text, name
        if name.endswith(".py"):
            assert ast.get_docstring(ast.parse(text)), name
    project = tomllib.loads(files["pyproject.toml"].read_text(encoding="utf-8"))
    assert f"mypy=={MYPY_VERSION}" in project["build-system"]["requires"]
    assert project["project"]["dependencies"] == [f"intermodal>={intermodal.__version__}"]
    assert project["project"]["entry-points"]["intermodal.maps"] == {"my_stripes": "intermodal_my_stripes"}


@pytest.mark.parametrize("name", ["q", "my_stripes", "concurrent_skip_list"])
def test_what_is_written_is_in_good_form(name, tmp_path):
    """ruff finds nothing, with rules that most projects have."""
    pytest.importorskip("ruff")
    folder = _new_plugin.write_plugin(name, tmp_path)
    rules = ["--isolated", "--line-length=110", "--no-cache"]
    for command in (["check", "--select=E,F,I,B,UP,SIM,RUF", *rules], ["format", "--check", *rules]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, str(folder)],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "name", ["", "Mine", "my-map", "1st", "_mine", "mine_", "my__map", "my map", "größe", "../mine", "mine\n"]
)
def test_a_name_that_cannot_be_one_is_refused(name, tmp_path, capsys):
    """With the name and what would be one; nothing is written."""
    assert run(["new-plugin", name, "--into", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert "such as skip_list; got " in message
    assert message.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_name_of_an_installed_backend_is_refused(install, tmp_path, capsys):
    """Of intermodal's own or of anybody's, broken ones too; so is that of any package that is there."""
    install("theirs", "raise RuntimeError('broken')")
    into = tmp_path / "into"
    into.mkdir()
    for name, owner in (("swiss", f"intermodal {intermodal.__version__}"), ("theirs", "fake-theirs 1.5")):
        assert run(["new-plugin", name, "--into", str(into)]) == 2
        assert f"a backend '{name}' is installed already ({owner})" in capsys.readouterr().err
    assert run(["new-plugin", "epoch", "--into", str(into)]) == 2
    assert "a package 'intermodal_epoch' is installed already" in capsys.readouterr().err
    assert not list(into.iterdir())


def test_nothing_is_overwritten(tmp_path, capsys):
    """Not a folder, not an empty one, not a file."""
    for make in (Path.mkdir, Path.touch):
        taken = tmp_path / "intermodal-mine"
        make(taken)
        assert run(["new-plugin", "mine", "--into", str(tmp_path)]) == 2
        assert f"{str(taken)!r} is there already, and nothing is overwritten" in capsys.readouterr().err
        assert list(tmp_path.rglob("*")) == [taken]
        taken.rmdir() if taken.is_dir() else taken.unlink()


def test_a_folder_that_is_not_there_is_refused(tmp_path, capsys):
    """It may be a typing error."""
    nowhere = tmp_path / "nowhere"
    assert run(["new-plugin", "mine", "--into", str(nowhere)]) == 2
    assert f"there is no folder {str(nowhere)!r}" in capsys.readouterr().err
    assert not nowhere.exists()


def test_what_the_system_refuses_is_told_in_a_line(tmp_path, capsys, monkeypatch):
    """By its own message, which names the file."""

    def refuse(self, *_, **__):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert run(["new-plugin", "mine", "--into", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert message == f"intermodal: [Errno 13] Permission denied: {str(tmp_path / 'intermodal-mine')!r}\n"


def test_without_a_folder_it_is_written_here(tmp_path, monkeypatch, capsys):
    """And the command says where that is, and what to read next."""
    monkeypatch.chdir(tmp_path)
    assert run(["new-plugin", "mine"]) == 0
    assert (
        capsys.readouterr().out
        == "wrote intermodal-mine; its README.md has the commands to build and test it\n"
    )
    assert (tmp_path / "intermodal-mine" / "src" / "intermodal_mine" / "_map.py").exists()


@pytest.mark.parametrize(
    ("name", "class_name"), [("mine", "MineMap"), ("skip_list", "SkipListMap"), ("hash_map", "HashMap")]
)
def test_the_class_is_named_after_the_backend(name, class_name, tmp_path):
    """In capitals, and a map."""
    package = _new_plugin.write_plugin(name, tmp_path) / "src" / f"intermodal_{name}"
    assert f"class {class_name}(ConcurrentMap[Any, Any]):" in (package / "_map.py").read_text()


def test_every_template_is_used_and_installed():
    """A file that nothing writes would be forgotten; one that is not package data would be missing."""
    folder = Path(_new_plugin.__file__).parent / "_plugin_template"
    used = {f"{template}.template" for template in _new_plugin._FILES.values() if template}
    assert {path.name for path in folder.iterdir()} == used
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    assert "*.template" in data["*"]

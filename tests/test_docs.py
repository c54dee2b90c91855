"""What is written about the package agrees with the package: examples, tables, links, layers.

``python tests/test_docs.py`` writes the table of backends into the README.
"""

from __future__ import annotations

import ast
import contextlib
import doctest
import importlib
import io
import re
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

from intermodal import __version__, backends, registry
from intermodal.capabilities import LEVELS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from intermodal import BackendSpec

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "core" / "intermodal"
PLUGINS = sorted(
    path
    for folder in ("plugins", "contrib")
    for path in (ROOT / folder).glob("intermodal_*")
    if path.is_dir()
)
PAGES = [
    *(
        ROOT / name
        for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "changes/README.md", "contrib/README.md")
    ),
    *sorted((ROOT / "docs").glob("*.md")),
    *(plugin / "README.md" for plugin in PLUGINS),
]

#: The modules of core that plugins may import.
PUBLIC_MODULES = {
    "intermodal",
    "intermodal.atomics",
    "intermodal.dispatch",
    "intermodal.errors",
    "intermodal.log",
    "intermodal.maps",
    "intermodal.memory",
    "intermodal.plugins",
    "intermodal.reclamation",
    "intermodal.statistics",
    "intermodal.tables",
    "intermodal.words",
}


#: Plugins that are built on another one, whose modules without an underscore they import.
BUILT_ON = {"intermodal_cnr": "intermodal_nr"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


# ---- examples in pages ------------------------------------------------------------------------------------

FENCE = re.compile(r"^```(\w*|\{[^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@attrs.frozen
class Block:
    """A fenced block of a page: its language, its text, and the line that the text begins at."""

    language: str
    text: str
    line: int

    @property
    def file(self) -> str | None:
        """The file that the block shows, if its first line is a comment with its name."""
        found = re.match(r"# ([\w/]+\.(?:py|toml))\n", self.text)
        return found and found[1]


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(found[1], found[2], text.count("\n", 0, found.start()) + 1) for found in FENCE.finditer(text)
    ]


def run_examples(test: doctest.DocTest) -> None:
    """Run the examples; fail with doctest's own report if one is wrong."""
    report = io.StringIO()
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    with contextlib.redirect_stdout(io.StringIO()):  # doctest replaces it; nothing may be left over
        runner.run(test, out=report.write)
    assert not runner.failures, report.getvalue()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_examples_in_pages_give_what_they_say(page: Path, tmp_path: Path, monkeypatch, request) -> None:
    """The sessions of a page run in one namespace; files that it shows are there to import."""
    blocks = blocks_of(page)
    for block in blocks:
        if block.language == "python":
            assert block.file, (
                f"line {block.line}: neither a session (pycon) nor a file named in its first line"
            )
    files = {block.file: block.text for block in blocks if block.file}
    if files:
        before = set(sys.modules)
        request.addfinalizer(lambda: forget(set(sys.modules) - before, tmp_path))
        install_files(files, tmp_path, monkeypatch)
    sessions = "\n".join(block.text for block in blocks if block.language == "pycon")
    parser = doctest.DocTestParser()
    run_examples(parser.get_doctest(sessions, {"__name__": "__main__"}, name_of(page), str(page), 0))


def forget(modules: set[str], folder: Path) -> None:
    """Let nobody find the modules of *folder* again."""
    for name in modules:
        if str(folder) in str(getattr(sys.modules.get(name), "__file__", "")):
            del sys.modules[name]
    registry.refresh()


def install_files(files: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a distribution, if it is one, on the path as an installer leaves it, with the entry points it asks for."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        if name.endswith(".py"):
            compile(text, name, "exec")
    if "pyproject.toml" not in files:
        monkeypatch.syspath_prepend(folder)
        return
    project = tomllib.loads(files["pyproject.toml"])["project"]
    metadata = folder / "src" / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {module}" for name, module in entries.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(folder / "src")
    registry.refresh()


# ---- examples in docstrings -------------------------------------------------------------------------------


def sources() -> Iterator[tuple[str, Path]]:
    """Yield the name and the source of each module of core and of the plugins in this tree."""
    for package in (CORE, *PLUGINS):
        for path in sorted(package.rglob("*.py")):
            parts = path.relative_to(package.parent).with_suffix("").parts
            if parts[-1] != "__main__":
                yield ".".join(parts).removesuffix(".__init__"), path


def docstrings() -> Iterator[tuple[str, str, str, Path, int]]:
    """Yield module, qualified name, docstring, file and line of everything with examples.

    From the sources: doctest finds nothing in compiled modules.
    """
    kinds = ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef

    def walk(node: ast.AST, inside: str) -> Iterator[tuple[str, str, int]]:
        if isinstance(node, kinds):
            text = ast.get_docstring(node)
            if text and ">>>" in text:
                yield inside, text, getattr(node, "lineno", 1)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, kinds):
                yield from walk(child, f"{inside}.{child.name}".lstrip("."))

    for module, path in sources():
        for qualified, text, line in walk(ast.parse(path.read_text(encoding="utf-8")), ""):
            yield module, qualified, text, path, line


@pytest.mark.parametrize(
    ("module", "qualified", "text", "path", "line"),
    [pytest.param(*each, id=f"{each[0]}:{each[1]}") for each in docstrings()],
)
def test_examples_in_docstrings_give_what_they_say(
    module: str, qualified: str, text: str, path: Path, line: int
) -> None:
    """They run in the namespace of the installed module, compiled or not."""
    try:
        namespace = vars(importlib.import_module(module)).copy()
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("intermodal"):
            raise
        pytest.skip(f"{error.name} is not installed")
    run_examples(doctest.DocTestParser().get_doctest(text, namespace, qualified, str(path), line))


# ---- the table of backends --------------------------------------------------------------------------------

TABLE = re.compile(r"(?<=<!-- backends -->\n).*?(?=<!-- /backends -->)", re.DOTALL)


def own_backends() -> dict[str, str]:
    """Return the packages of the backends that this distribution declares, by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["entry-points"]["intermodal.maps"]


def own_reclaimers() -> dict[str, str]:
    """Return the packages of the reclaimers that this distribution declares, by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["entry-points"]["intermodal.reclaimers"]


def also(spec: BackendSpec) -> str:
    """Return what is promised beside the graded promises, in words."""
    has = spec.capabilities
    assert has is not None
    flags = [field.name for field in attrs.fields(type(has)) if getattr(has, field.name) is True]
    return ", ".join(name.replace("_", " ") for name in flags)


def backend_table() -> str:
    graded = [name for name in LEVELS if name != "length_cost"]
    titles = ["backend", *(name.replace("_", " ") for name in graded), "cost of `len`", "also", "what it is"]
    lines = [titles, ["---"] * len(titles)]
    for spec in backends():
        if spec.name in own_backends():
            has = spec.capabilities
            assert has is not None, spec.error
            levels = [getattr(has, name) for name in graded]
            lines.append([f"`{spec.name}`", *levels, has.length_cost, also(spec), spec.summary])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def test_readme_shows_what_backends_promise() -> None:
    """The table of backends is the one that their specs give."""
    found = TABLE.search((ROOT / "README.md").read_text(encoding="utf-8"))
    assert found, "README.md has no part between <!-- backends --> and <!-- /backends -->"
    assert found[0] == backend_table(), "python tests/test_docs.py writes it anew"


def test_guarantees_explain_every_promise() -> None:
    """docs/guarantees.md names every field of Capabilities and every level."""
    from intermodal.capabilities import FIELDS

    text = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
    levels = {level for each in LEVELS.values() for level in each}
    assert not [name for name in {*FIELDS, *levels} if f"`{name}`" not in text]


# ---- the rest of the pages --------------------------------------------------------------------------------

LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, made as GitHub and MyST make them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).strip().replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file of this tree, and a heading in it."""
    broken = []
    for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert not broken


def test_every_page_of_docs_is_in_the_index() -> None:
    """docs/index.md links to every other page."""
    linked = set(LINK.findall((ROOT / "docs" / "index.md").read_text(encoding="utf-8")))
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"} <= linked


def test_tests_that_pages_name_are_there() -> None:
    """A page on the inside of a technique says which tests show that it is right."""
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("test_*.py"))
    there = set(re.findall(r"def (test_\w+)\(", tests)) | {
        path.stem for path in (ROOT / "tests").glob("test_*.py")
    }
    for page in (ROOT / "docs").glob("internals-*.md"):
        text = FENCE.sub("", page.read_text(encoding="utf-8"))
        assert set(re.findall(r"\b(test_\w+)", text)) <= there, page.name


def glossary() -> dict[str, str]:
    """Return what the glossary says, by term."""
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^### (.+)\n\n(.+)$", text, re.MULTILINE))


def test_glossary_has_one_meaning_for_each_word() -> None:
    """No word twice, none without a meaning; those of a part are in the alphabet's order."""
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    assert len(re.findall(r"^### ", text, re.MULTILINE)) == len(glossary()) > 50
    for part in text.split("\n## ")[1:]:
        words = [word.lower() for word in re.findall(r"^### (.+)$", part, re.MULTILINE)]
        assert words == sorted(words)


@pytest.mark.parametrize("term", glossary())
def test_words_of_the_glossary_are_used(term: str) -> None:
    """Each word stands in the sources, or on another page."""
    texts = [path for package in (CORE, *PLUGINS) for path in package.rglob("*.py")]
    texts += [page for page in PAGES if page.name != "glossary.md"]
    left = {word.strip() for word in term.lower().split(",")}
    for path in texts:
        left -= {word for word in left if word in path.read_text(encoding="utf-8").lower()}
        if not left:
            return
    assert not left


@pytest.mark.parametrize(("command", "option"), [("bench", "--keys"), ("choose", "--stale")])
def test_every_option_of_measuring_is_documented(
    command: str, option: str, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    """docs/benchmarks.md mentions each option that the command line shows, in the part on that command."""
    pytest.importorskip("typer")
    from intermodal.cli import run

    monkeypatch.setenv("COLUMNS", "200")
    assert run([command, "--help"]) == 0
    options = set(re.findall(r"(?<!\w)--[a-z][a-z-]*", capsys.readouterr().out)) - {"--help"}
    assert option in options
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    part = text.partition(f"## `intermodal {command}`\n")[2].partition("\n## ")[0]
    assert not [option for option in sorted(options) if f"`{option}" not in part]


def test_changelog_has_the_current_version() -> None:
    """A version that is released has a section."""
    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_readme_has_the_commands_that_ci_runs() -> None:
    """.ci/run takes the two commands for a fresh machine from the README, by what they end in."""
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    for ending in ("-m pytest", "intermodal bench --keys README.md"):
        assert len([line for line in lines if line.endswith(ending)]) == 1, ending


# ---- who imports whom -------------------------------------------------------------------------------------


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Yield module and name of every import in a file, also those inside functions; no name: all of it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((each.name, "") for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            yield from ((node.module or "", each.name) for each in node.names)


@pytest.mark.parametrize("plugin", PLUGINS, ids=name_of)
def test_plugins_use_only_what_is_public(plugin: Path) -> None:
    """A plugin of this tree imports what a stranger's may: public names of core, and its own modules."""
    wrong = []
    for path in sorted(plugin.rglob("*.py")):
        for module, name in imports(path):
            package = module.partition(".")[0]
            if package == "intermodal":
                public = module in PUBLIC_MODULES or f"{module}.{name}" in PUBLIC_MODULES
                fine = public and not name.startswith("_")
            else:
                fine = not package.startswith("intermodal_") or package == plugin.name
                if package == BUILT_ON.get(plugin.name):
                    fine = not any(part.startswith("_") for part in [*module.split("."), name])
            if not fine:
                wrong.append(f"{name_of(path)}: {module} {name}".rstrip())
    assert not wrong


#: The sections of a plugin's page, in this order; those in parentheses where there is something to say.
SECTIONS = (
    "What it gives",
    "What it costs",
    "When to take it",
    "(Reclaimers)",
    "(Typed maps)",
    "Options",
    "How it works",
)


@pytest.mark.parametrize("plugin", PLUGINS, ids=name_of)
def test_plugins_are_made_alike(plugin: Path) -> None:
    """Each has its page, its marker for type checkers, and its entry point."""
    page = (plugin / "README.md").read_text(encoding="utf-8")
    assert (plugin / "py.typed").exists()
    name = plugin.name.removeprefix("intermodal_")
    assert {**own_backends(), **own_reclaimers()}[name] == plugin.name
    assert f"`{name}`" in (ROOT / "docs" / "choosing.md").read_text(encoding="utf-8")
    found = re.findall(r"^## (.+)$", page, re.MULTILINE)
    assert found == [each.strip("()") for each in SECTIONS if each[0] != "(" or each.strip("()") in found]
    assert page.startswith(f"# {name}\n")


@pytest.mark.parametrize("name", own_backends())
def test_public_classes_of_plugins_are_found_alike(name: str) -> None:
    """The package gives its public names when asked, from ``_public``; they are named as users name them."""
    package = importlib.import_module(f"intermodal_{name}")
    for public in package.__all__:
        cls = getattr(package, public)
        assert cls is getattr(importlib.import_module(f"intermodal_{name}._public"), public)
        assert cls.__module__ == package.__name__
    message = f"module 'intermodal_{name}' has no attribute 'nonesuch'"
    with pytest.raises(AttributeError, match=message):
        _ = package.nonesuch
    assert package.__doc__.startswith(f"The ``{name}`` backend: ")


OPTION_ROW = re.compile(r"^\| `(\w+)` \| `([^`]+)` \| .+ \|$", re.MULTILINE)


@pytest.mark.parametrize("name", own_backends())
def test_pages_of_plugins_list_their_options(name: str) -> None:
    """The table has every option with its default, and no other; or the page says that there are none."""
    (spec,) = (each for each in backends() if each.name == name)
    page = (ROOT / "plugins" / f"intermodal_{name}" / "README.md").read_text(encoding="utf-8")
    part = page.partition("\n## Options\n")[2].partition("\n## ")[0]
    shown = {option: ast.literal_eval(default) for option, default in OPTION_ROW.findall(part)}
    assert shown == {option.name: option.default for option in spec.options}
    assert ("There are none." in part) is (not shown)


def layers() -> list[set[str]]:
    """Return the layers of core from the top, as the first comment of the package lists them.

    A line names modules in its first column and, in parentheses and up to a colon, more of the same layer.
    """
    found = []
    for line in (CORE / "__init__.py").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if line.startswith("#     "):
            column, _, text = line[6:].partition("  ")
            inside = re.search(r"\(([^:)]*)", text)
            names = f"{column}, {inside[1]}" if inside else column
            found.append({name.strip() for name in names.split(",")})
    return found


def test_every_module_of_core_has_a_layer() -> None:
    """The first comment of the package lists every module, and none that is not there."""
    there = {path.stem for path in CORE.glob("*.py")} | {
        path.parent.name for path in CORE.glob("*/__init__.py")
    }
    listed = [name for layer in layers() for name in layer]
    assert sorted(listed) == sorted(there - {"__init__", "build"})


def test_imports_in_core_point_downward() -> None:
    """A module imports modules of its own layer and of those below, in functions too."""
    level = {name: number for number, layer in enumerate(layers()) for name in layer}
    package = importlib.import_module("intermodal")
    wrong = []
    for path in sorted(CORE.rglob("*.py")):
        importer = path.relative_to(CORE).parts[0].removesuffix(".py")
        if importer == "__init__":
            continue
        for module, name in imports(path):
            if module.partition(".")[0] != "intermodal" or (module == "intermodal" and not name):
                continue
            imported = module.split(".")[1] if "." in module else home_of(package, name)
            if imported is not None and level.get(imported, 99) < level.get(importer, -1):
                wrong.append(f"{name_of(path)} imports {imported}, of a higher layer")
    assert not wrong


def test_imports_in_bench_point_upward() -> None:
    """The package lists its modules, and each imports only those above it."""
    package = CORE / "bench"
    listed = re.findall(r"~intermodal\.bench\.(\w+)", (package / "__init__.py").read_text(encoding="utf-8"))
    assert sorted(listed) == sorted(path.stem for path in package.glob("[!_]*.py"))
    wrong = []
    for number, importer in enumerate(listed):
        for module, name in imports(package / f"{importer}.py"):
            imported = name if module == "intermodal.bench" else module.removeprefix("intermodal.bench.")
            if imported in listed[number:]:
                wrong.append(f"{importer} imports {imported}")
    assert not wrong


def home_of(package: ModuleType, name: str) -> str | None:
    """Return the module that ``from intermodal import name`` comes from; None for the package's own names."""
    if (CORE / f"{name}.py").exists() or (CORE / name).is_dir():
        return name
    return package._HOME.get(name)


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(
        TABLE.sub(lambda _: backend_table(), readme.read_text(encoding="utf-8")), encoding="utf-8"
    )
    sys.stdout.write(backend_table())

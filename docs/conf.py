"""The documentation site: the pages of this folder, and a reference from docstrings.

``python -m sphinx -W -n docs docs/_build`` builds it, with warnings as errors; ``nox -s docs`` installs what
that needs. The pages are written for GitHub as well: what differs there is adapted here, when they are read.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

DOCS = Path(__file__).resolve().parent

# The sources of this tree: compiled functions do not tell their signatures.
os.environ["INTERMODAL_PURE"] = "1"
sys.path.insert(0, str(DOCS.parent / "core"))

import intermodal  # noqa: E402  (it is found by the lines above)
import intermodal.plugins  # noqa: E402
import intermodal.testing  # noqa: E402

project = "intermodal"
author = "the authors of intermodal"
project_copyright = f"{author}; Apache-2.0 OR MIT"
version = release = intermodal.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]
html_theme = "furo"
html_title = f"intermodal {release}"
html_copy_source = False

# ---- pages ----

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4  # made as GitHub makes them

# ---- the reference ----

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autosummary_generate = True
napoleon_numpy_docstring = False
python_use_unqualified_type_names = True

nitpick_ignore_regex = [
    # Types of other projects, whose pages are not needed to build ours.
    ("py:class", r"(collections\.abc|mypy_extensions)\..+|Extension"),
    # Type variables, aliases and helpers of annotations, which say nothing by themselves.
    (
        "py:class",
        r"(intermodal\.sets\.)?_T|intermodal\.dispatch\.Function|Scenario|Iteration|Length|Callable\[\[\]",
    ),
    ("py:class", r"(intermodal\.testing\._workloads\.)?(Workload|Round)|intermodal\._views\..+"),
]

PACKAGES = (intermodal, intermodal.testing)


def elsewhere() -> dict[str, list[str]]:
    """Return, for each module, its names that are documented as those of the package which exports them."""
    found: dict[str, list[str]] = {}
    for package in PACKAGES:
        for name, home in package._HOME.items():
            found.setdefault(f"{package.__name__}.{home}", []).append(name)
    found["intermodal.plugins"] = intermodal.plugins.__all__  # from many modules, each with its page
    found["intermodal.testing.stressing"] += ["Plan", "plan_stress"]  # the command line's
    return found


autosummary_context = {"elsewhere": elsewhere()}


def begin_attribute(app: Sphinx, what: str, *rest: object) -> None:  # noqa: ARG001  (Sphinx passes it)
    """Let napoleon not take what an attribute's first line has before a colon for its type."""
    lines = rest[-1]
    assert isinstance(lines, list)
    if what in {"attribute", "data", "property"}:
        lines[:0] = ["..", ""]  # a comment, in the place of that line


def resolve_by_last_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.TextElement
) -> nodes.reference | None:
    """Find what a docstring means by a name of its own module, though the package's page documents it."""
    if node.get("refdomain") != "py" or node.get("refspecific"):
        return None
    node["refspecific"] = True
    last = node["reftarget"].rpartition(".")[2]
    found = env.domains.python_domain.resolve_xref(
        env, node["refdoc"], app.builder, node["reftype"], last, node, contnode
    )
    del node["refspecific"]
    return found


# ---- pages as they are on GitHub, and here ----

#: Where a link leads on the site that leads out of this folder on GitHub.
ON_THE_SITE = {
    "../README.md": "index.md",
    "../README.md#backends": "backends.md",
    "../README.md#building": "first-steps.md#installing",
    "../README.md#how-it-compares": "performance.md",
    "../CHANGELOG.md": "changelog.md",
    "../CONTRIBUTING.md": "contributing.md",
}
LINK = re.compile(r"\[(?P<words>[^]]+)\]\((?P<target>[^)\s]+)\)")
SECTION = re.compile(r"^## (?P<title>.+)\n(?P<text>(?:(?!^## ).*\n)*)", re.MULTILINE)
ENTRY = re.compile(r"^- \[[^]]+\]\((?P<page>[\w-]+)\.md\)", re.MULTILINE)


def contents(index: str) -> str:
    """Return the tables of contents that the lists of the index are: one for each section, named for it."""
    trees = []
    for section in SECTION.finditer(index):
        pages = ENTRY.findall(section["text"])
        if pages:
            names = "\n".join(pages)
            trees.append(f"```{{toctree}}\n:hidden:\n:caption: {section['title']}\n\n{names}\n```\n")
    return "\n".join(trees)


def link_on(page: str, link: re.Match[str]) -> str:
    """Return a link as it is on that page of the site: the words alone if it led to the page itself."""
    target = ON_THE_SITE.get(link["target"], link["target"])
    return link["words"] if target == f"{page}.md" else f"[{link['words']}]({target})"


def adapt(app: Sphinx, page: str, source: list[str]) -> None:  # noqa: ARG001  (Sphinx passes it)
    """Make a page of the site of one that is meant for GitHub."""
    text = LINK.sub(lambda link: link_on(page, link), source[0])
    source[0] = f"{text}\n{contents(text)}" if page == "index" else text


def setup(app: Sphinx) -> None:
    """Be the extension that does all this."""
    app.connect("source-read", adapt)
    app.connect("autodoc-process-docstring", begin_attribute, priority=400)  # napoleon has 500
    app.connect("missing-reference", resolve_by_last_name)

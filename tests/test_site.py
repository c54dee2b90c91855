"""The documentation site: it is built without a warning, and says what the package says."""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_docs import ROOT, backend_table

import intermodal

pytest.importorskip("sphinx")
pytest.importorskip("furo")
pytest.importorskip("myst_parser")

DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site, built with warnings as errors from a copy of what it is made of."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, tree)
    for name in ("asv_bench", "core", "docs"):
        made = shutil.ignore_patterns("_build", "_reference", "__pycache__", "env", "results", "html")
        shutil.copytree(ROOT / name, tree / name, ignore=made)
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "-n", "--keep-going", "-q", "-d", tree / "doctrees"]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [*command, tree / "docs", target], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    return target


def text_of(site: Path, page: str) -> str:
    return (site / f"{page}.html").read_text(encoding="utf-8")


def test_every_page_is_on_the_site(site):
    """Also those that are listed, and those that are made."""
    pages = {page.stem for page in DOCS.glob("*.md")}
    assert pages <= {page.stem for page in site.glob("*.html")}


def test_every_page_is_in_the_table_of_contents(site):
    """Under the heading of its list in the index, in the same order."""
    sidebar = re.search(r'<div class="sidebar-tree">(.*?)</div>', text_of(site, "index"), re.DOTALL)
    assert sidebar
    captions = re.findall(r'<span class="caption-text">(.*?)</span>', sidebar[1])
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    assert captions == re.findall(r"^## (.+)$", index, re.MULTILINE)
    listed = re.findall(
        r'class="toctree-l1[^"]*"><a class="reference internal" href="([\w-]+)\.html', sidebar[1]
    )
    assert listed == re.findall(r"^- \[.+?\]\(([\w-]+)\.md\)", index, re.MULTILINE)


def cells(row: str, tag: str) -> list[str]:
    found = re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", row, re.DOTALL)
    return [html.unescape(re.sub(r"<[^>]+>", "", cell)).strip() for cell in found]


def test_the_table_of_backends_is_what_they_declare(site):
    """Row by row, as the specs of the installed backends have it."""
    table = re.search(r"<table.*?</table>", text_of(site, "backends"), re.DOTALL)
    assert table
    rows = re.findall(r"<tr.*?</tr>", table[0], re.DOTALL)
    shown = [cells(rows[0], "th"), *(cells(row, "td") for row in rows[1:])]
    lines = [line.strip("| \n").split(" | ") for line in backend_table().splitlines()]
    declared = [[cell.replace("`", "").strip() for cell in line] for line in lines if "---" not in line]
    assert shown == declared


@pytest.mark.parametrize("name", sorted(set(intermodal.__all__) - {"__compiled__", "__version__"}))
def test_public_names_are_in_the_reference(site, name):
    """Each name that the package exports has an entry that can be linked to."""
    assert f'id="intermodal.{name}"' in text_of(site, "_reference/intermodal")


def test_the_reference_has_every_module_that_plugins_may_import(site):
    """And the pages of modules say what is in them."""
    from test_docs import PUBLIC_MODULES

    for module in PUBLIC_MODULES:
        assert f'id="module-{module}"' in text_of(site, f"_reference/{module}")
    assert 'id="intermodal.atomics.compare_exchange"' in text_of(site, "_reference/intermodal.atomics")
    assert 'id="intermodal.ConcurrentMap.compute"' in text_of(site, "_reference/intermodal")


def test_links_out_of_the_folder_stay_on_the_site(site):
    """Where a page links to the README or the changelog, the site has a page for it."""
    assert 'href="changelog.html"' in text_of(site, "contributing")
    assert 'href="backends.html"' in text_of(site, "guarantees")
    assert "it is that of the README," in text_of(site, "backends")  # which is this very page here
    for page in site.glob("*.html"):
        assert 'href="../' not in page.read_text(encoding="utf-8"), page.name

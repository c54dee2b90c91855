"""A page as a real browser shows it: what its document has become when its scripts have run."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import attrs
import pytest

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")

OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Until nothing is left to do, in the browser's own time, of which there is plenty.
    "--virtual-time-budget=10000",
)


@attrs.define
class Shown(HTMLParser):
    """What a page shows.

    Attributes:
        drawn: the name of each plot, and how many traces were drawn; None if it was not.
        errors: what the page says went wrong.
        scripts: the text of each script with an identifier.
        titles: what the buttons of the plots say.
    """

    drawn: dict[str, int | None] = attrs.field(factory=dict)
    errors: str = ""
    scripts: dict[str, str] = attrs.field(factory=dict)
    titles: set[str] = attrs.field(factory=set)
    _inside: str = ""

    def __attrs_pre_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if "data-plot" in given:
            drawn = given.get("data-drawn")
            self.drawn[given["data-plot"]] = None if drawn is None else int(drawn)
        if "data-title" in given:
            self.titles.add(given["data-title"])
        if tag in ("div", "script"):
            self._inside = given.get("id") or ""

    def handle_endtag(self, tag):
        if tag in ("div", "script"):
            self._inside = ""

    def handle_data(self, data):
        if self._inside == "errors":
            self.errors += data
        elif self._inside:
            self.scripts[self._inside] = self.scripts.get(self._inside, "") + data


def show(page: Path, profile: Path) -> Shown:
    """Open the file *page* with a new *profile*; skip the test where there is no browser."""
    browser = next(filter(None, map(shutil.which, NAMES)), None)
    if browser is None:
        pytest.skip("chromium is not installed")
    done = subprocess.run(
        [browser, *OPTIONS, f"--user-data-dir={profile}", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert re.match("<!DOCTYPE html>", done.stdout), done.stderr
    shown = Shown()
    shown.feed(done.stdout)
    shown.close()
    return shown

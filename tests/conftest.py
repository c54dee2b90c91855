"""Fixtures that several modules share."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from helpers import sample

import intermodal
from intermodal import registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

#: Has tests of its own, for where it is installed.
collect_ignore = ["sample_plugin"]

GOOD = """
from intermodal.plugins import Capabilities, MapBackend, Option, hookimpl

def opened(request):
    from intermodal import open_map
    opened.request = request
    return open_map("locked")

@hookimpl
def intermodal_map_backend():
    return MapBackend(
        name="{name}",
        summary="a backend for tests",
        capabilities=Capabilities(
            points="linearizable", iteration="weak", length="settled", length_cost="O(n)", clear="stepwise",
            {capabilities}
        ),
        open=opened,
        options=({options}),
        rank={rank},
    )
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Install a distribution with one plugin, as pip would leave it on disk; gone after the test.

    Without a *source* for the plugin it is a good backend of maps, with what *fields* says.
    """
    modules = set(sys.modules)

    def install(
        name: str,
        source: str | None = None,
        *,
        distribution: str = "",
        group: str = registry.maps.group,
        **fields: object,
    ) -> Path:
        distribution = distribution or f"fake-{name}"
        module = distribution.replace("-", "_")
        folder = tmp_path / distribution
        metadata = folder / f"{module}-1.5.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n")
        (metadata / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}\n")
        if source is None:
            source = GOOD.format(name=name, **{"capabilities": "", "options": "", "rank": 1000, **fields})
        (folder / f"{module}.py").write_text(source)
        monkeypatch.syspath_prepend(folder)
        registry.refresh()
        return folder

    yield install
    monkeypatch.undo()
    for added in set(sys.modules) - modules:
        if added.startswith("fake_"):
            del sys.modules[added]
    registry.refresh()


@pytest.fixture(scope="session")
def sample_plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the third-party plugin of tests/sample_plugin is installed, built once."""
    return sample.build(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def debug_sample_plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same plugin, built to check every address and to do without vector instructions."""
    if not intermodal.__compiled__:
        pytest.skip("there is nothing to compile in a pure installation")
    return sample.build(tmp_path_factory.getbasetemp(), INTERMODAL_DEBUG="1", INTERMODAL_PORTABLE_MATCH="1")

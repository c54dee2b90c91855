"""Writes the distribution of a new backend, from the templates in ``_plugin_template``.

What it writes works, passes the conformance kit, and is there to be changed.

Writes files; builds and imports nothing of what it writes.
"""

from __future__ import annotations

import importlib.util
import re
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Final

from intermodal import __version__, registry
from intermodal.build import MYPY_VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# What can be part of the names of a distribution, a package and a file on every system.
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")

# file of the plugin -> its template; no template: the file is empty.
_FILES: Final[Mapping[str, str | None]] = {
    "pyproject.toml": "pyproject.toml",
    "setup.py": "setup.py",
    "README.md": "README.md",
    "src/$package/__init__.py": "init.py",
    "src/$package/_map.py": "map.py",
    "src/$package/_engine.py": "engine.py",
    "src/$package/py.typed": None,
    "tests/test_$name.py": "test.py",
}


def write_plugin(name: str, into: Path) -> Path:
    """Write the distribution of a backend into a new folder in *into* and return that folder.

    Raises:
        ValueError: the name cannot be a backend's, or is taken; *into* is no folder, or has one of that name.
        OSError: the files cannot be written.
    """
    _check_name(name)
    words = _words(name)
    if not into.is_dir():
        raise ValueError(f"there is no folder {str(into)!r}; make it, or give another with --into")
    folder = into / words["distribution"]
    contents = {
        Template(path).substitute(words): _filled(template, words) for path, template in _FILES.items()
    }
    try:
        folder.mkdir()
    except FileExistsError:
        raise ValueError(
            f"{str(folder)!r} is there already, and nothing is overwritten; take it away, or give another "
            "name or folder"
        ) from None
    for path, text in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(
            "the name of a backend is one or more words of small letters and digits, the first letter not a "
            f"digit, with _ between them, such as skip_list; got {name!r}"
        )
    if name in registry.maps.names():
        raise ValueError(f"a backend {name!r} is installed already ({_origin(name)}); take another name")
    package = f"intermodal_{name}"
    if importlib.util.find_spec(package) is not None:
        raise ValueError(f"a package {package!r} is installed already; take another name than {name!r}")


def _origin(name: str) -> str:
    _, distribution, version, _ = registry.maps.examine(name)
    return f"{distribution} {version}"


def _words(name: str) -> dict[str, str]:
    """Return what stands for each placeholder of the templates."""
    capitals = "".join(word.capitalize() for word in name.split("_"))
    return {
        "name": name,
        "distribution": f"intermodal-{name.replace('_', '-')}",
        "package": f"intermodal_{name}",
        "class_name": capitals if capitals.endswith("Map") else f"{capitals}Map",
        "mypy": MYPY_VERSION,
        "intermodal": __version__,
    }


def _filled(template: str | None, words: Mapping[str, str]) -> str:
    if template is None:
        return ""
    source = files("intermodal") / "_plugin_template" / f"{template}.template"
    return Template(source.read_text(encoding="utf-8")).substitute(words)

"""Compile packages that use :mod:`intermodal.atomics`: intermodal's own, and those of plugin authors.

``setup.py`` of a plugin distribution::

    from setuptools import setup
    from intermodal.build import mypycify

    setup(ext_modules=mypycify({"intermodal_mine": ["src/intermodal_mine/_map.py"]}))

with ``intermodal`` and ``mypy`` (of the version :data:`MYPY_VERSION`) in ``build-system.requires``.

Every function of ``intermodal.atomics`` is registered with mypyc as an operation of its own, so that a call
in compiled code becomes a call of the inlined C function in ``atomics.h``. That interface of mypyc is
private: the version of mypy is pinned, and another one is refused here rather than miscompiled.

Imported only while building; needs mypy and setuptools, which are not runtime dependencies.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import os
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from intermodal._mode import COMPILED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from setuptools import Extension  # type: ignore[import-untyped, unused-ignore]  # some install stubs for it

#: The version of mypy whose private interface this module uses.
MYPY_VERSION: Final = "2.4.1"

# name in intermodal.atomics: argument types -> result. w: 64-bit word or address, f: float, o: object,
# b: bool, h: word, or an exception; O: new reference, or an exception; v: nothing. The C function is called
# im_<name>.
OPERATIONS: Final[Mapping[str, str]] = {
    "load": "ww->w",
    "store": "www->v",
    "exchange": "www->w",
    "compare_exchange": "wwww->b",
    "fetch_add": "www->w",
    "fetch_and": "www->w",
    "fetch_or": "www->w",
    "fence": "w->v",
    "light_fence": "->v",
    "heavy_fence": "->v",
    "try_lock": "ww->b",
    "unlock": "ww->v",
    "load_byte": "w->w",
    "store_byte": "ww->v",
    "compare_exchange_byte": "www->b",
    "match_bytes": "ww->w",
    "match_bytes_portable": "ww->w",
    "count_trailing_zeros": "w->w",
    "count_ones": "w->w",
    "mix": "w->w",
    "fast_range": "ww->w",
    "range_start": "ww->w",
    "prefetch": "w->v",
    "thread_token": "->w",
    "thread_word": "w->w",
    "set_thread_word": "ww->v",
    "pause": "->v",
    "yield_thread": "->v",
    "gil_release": "->w",
    "gil_acquire": "w->v",
    "float_word": "f->w",
    "word_float": "w->f",
    "object_load": "wo->o",
    "object_store": "wo->v",
    "object_exchange": "woo->o",
    "object_take": "wo->o",
    "object_exchange_into": "wow->v",
    "object_take_into": "ww->v",
    "object_compare_exchange": "woo->b",
    "object_copy": "ww->v",
    "object_share": "ww->v",
    "object_forget": "w->v",
    "object_load_guarded": "wwwo->o",
    "object_is": "wo->b",
    "object_is_empty": "w->b",
    "object_prefetch": "w->v",
    "hash_object": "o->h",
    "key_equals": "wo->w",
    "key_equals_guarded": "woww->w",
    "key_equals_kept": "wo->w",
    "key_is_str": "o->b",
    "key_kind": "o->w",
    "key_word": "ow->w",
    "key_compare": "wo->w",
    "count_below": "wwww->w",
    "stored_hash": "ww->w",
    "stored_key_is_str": "w->b",
    "stored_dict_get": "woo->O",
    "reachability_fence": "o->v",
    "cell_new": "www->O",
    "cell_address": "o->w",
    "cell_of": "w->w",
    "block_new": "ww->O",
    "block_address": "o->w",
    "block_objects": "o->w",
    "block_abandon_objects": "o->v",
    "buffer_new": "o->O",
    "buffer_address": "o->w",
}

_HEADER: Final = Path(__file__).with_name("atomics.h")


def pure_requested() -> bool:
    """Return whether ``INTERMODAL_PURE=1`` asks for a package without compiled extensions."""
    return os.environ.get("INTERMODAL_PURE", "") not in ("", "0")


def _register_operations() -> None:
    from mypyc.ir.ops import ERR_MAGIC, ERR_MAGIC_OVERLAPPING, ERR_NEVER
    from mypyc.ir.rtypes import (
        bool_rprimitive,
        float_rprimitive,
        int64_rprimitive,
        object_rprimitive,
        void_rtype,
    )
    from mypyc.primitives.registry import function_op, function_ops

    arguments = {"w": int64_rprimitive, "f": float_rprimitive, "o": object_rprimitive}
    results = {
        "w": (int64_rprimitive, ERR_NEVER),
        "f": (float_rprimitive, ERR_NEVER),
        "o": (object_rprimitive, ERR_NEVER),
        "b": (bool_rprimitive, ERR_NEVER),
        "h": (int64_rprimitive, ERR_MAGIC_OVERLAPPING),
        "O": (object_rprimitive, ERR_MAGIC),
        "v": (void_rtype, ERR_NEVER),
    }
    for name, signature in OPERATIONS.items():
        full_name = f"intermodal.atomics.{name}"
        if full_name not in function_ops:
            taken, _, given = signature.partition("->")
            result, error_kind = results[given]
            function_op(
                name=full_name,
                arg_types=[arguments[kind] for kind in taken],
                return_type=result,
                c_function_name=f"im_{name}",
                error_kind=error_kind,
            )


def _check_mypy() -> None:
    try:
        found = importlib.metadata.version("mypy")
    except importlib.metadata.PackageNotFoundError:
        found = "(none)"
    if found != MYPY_VERSION:
        raise RuntimeError(
            f"intermodal.build needs mypy {MYPY_VERSION}, whose private mypyc interface it uses, and found "
            f"mypy {found}: put mypy=={MYPY_VERSION} into build-system.requires"
        )


def _check_bases(groups: Mapping[str, Sequence[str]]) -> None:
    """Raise TypeError for a class that would be compiled with a base of intermodal's.

    mypyc does not know how the objects of another distribution's native classes are laid out: the class would
    compile, and crash the interpreter when it is used.
    """
    for path in (path for paths in groups.values() for path in paths):
        tree = ast.parse(Path(path).read_text(encoding="utf-8"), path)
        foreign = set(_imported(tree, groups))
        for each in ast.walk(tree):
            if not isinstance(each, ast.ClassDef) or any(map(_keeps_interpreted, each.decorator_list)):
                continue
            for base in each.bases:
                if ast.unparse(base).split("[")[0].split(".")[0] in foreign:
                    raise TypeError(
                        f"{path}, line {each.lineno}: {each.name} cannot be compiled, its base "
                        f"{ast.unparse(base)} is of another distribution: leave the class interpreted, and "
                        "compile an engine that it uses"
                    )


def _imported(tree: ast.Module, groups: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield the names that a module imports from intermodal, where that is not compiled with it."""
    for each in ast.walk(tree):
        if not isinstance(each, (ast.Import, ast.ImportFrom)):
            continue
        for alias in each.names:
            module = alias.name if isinstance(each, ast.Import) else each.module or ""
            package = module.partition(".")[0]
            foreign = package.startswith("intermodal") and package not in groups
            if foreign and module != "intermodal.errors":  # exceptions are laid out as Python's
                yield (alias.asname or alias.name).partition(".")[0]


def _keeps_interpreted(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Call) and any(
        keyword.arg == "native_class" and isinstance(keyword.value, ast.Constant) and not keyword.value.value
        for keyword in decorator.keywords
    )


def _compile_flags() -> list[str]:
    flags = ["-include", str(_HEADER)]
    if sys.platform != "win32":
        # Without this a call inside the extension could be redirected by another library, and so not inlined.
        flags.append("-fno-semantic-interposition")
    if os.environ.get("INTERMODAL_DEBUG", "") not in ("", "0"):
        flags.append("-DINTERMODAL_DEBUG")
    if os.environ.get("INTERMODAL_PORTABLE_MATCH", "") not in ("", "0"):
        flags.append("-DINTERMODAL_PORTABLE_MATCH")
    if sysconfig.get_config_var("Py_GIL_DISABLED") and sys.version_info < (3, 14):
        flags.append("-D_PyObject_XDecRefDelayed=Py_DECREF")  # mypyc's runtime wants what 3.14 brought
    return flags


def mypycify(groups: Mapping[str, Sequence[str]], *, mypy_options: Sequence[str] = ()) -> list[Extension]:
    """Compile the modules of each package into one shared library, with inlined atomics.

    Args:
        groups: import package -> paths of its modules to compile, relative to the current folder.
        mypy_options: further command-line options for mypy.

    Returns:
        What ``setuptools.setup`` takes as ``ext_modules``. Empty if ``INTERMODAL_PURE=1``, or if the
        installed intermodal is itself pure: compiled code cannot use the memory that the pure one simulates.

    Raises:
        RuntimeError: the installed mypy is not the pinned version.
        TypeError: a class to be compiled has a base of intermodal's, which mypyc cannot do.

    Environment:
        INTERMODAL_PURE=1 compiles nothing. INTERMODAL_DEBUG=1 checks every address.
        INTERMODAL_PORTABLE_MATCH=1 leaves the vector instructions out.

    >>> sorted(OPERATIONS)[:3]
    ['block_abandon_objects', 'block_address', 'block_new']
    """
    if pure_requested() or not (COMPILED or "intermodal" in groups):
        return []
    _check_mypy()
    _check_bases(groups)
    _register_operations()
    import mypyc
    from mypyc.build import mypycify as compile_modules

    arguments = [*mypy_options]
    if importlib.util.find_spec("ast_serialize") is None:
        arguments.append("--no-native-parser")
    arguments += [path for paths in groups.values() for path in paths]
    separate = [(list(paths), f"{package}._native") for package, paths in groups.items()]
    # A cache of its own each time: with a warm one, mypyc 2.4.1 forgets which attributes of a cached group
    # need a bit of their own, and fails.
    with tempfile.TemporaryDirectory(prefix="intermodal-mypy-") as cache:
        extensions: list[Extension] = compile_modules(
            ["--cache-dir", cache, *arguments],
            separate=separate,  # type: ignore[arg-type]
        )
    for extension in extensions:
        extension.include_dirs.append(str(Path(mypyc.__file__).with_name("lib-rt")))
        extension.extra_compile_args = [*extension.extra_compile_args, *_compile_flags()]
        extension.depends.append(str(_HEADER))
    return extensions

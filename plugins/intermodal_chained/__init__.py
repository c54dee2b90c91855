"""The ``chained`` backend: buckets of chains; readers take no lock, a value is replaced by one store.

Imports nothing of the technique: whoever lists the backends imports this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from intermodal.plugins import Capabilities, MapBackend, MapRequest, Option, check_word_types, hookimpl

if TYPE_CHECKING:
    from intermodal.maps import AnyMap
    from intermodal_chained._public import ChainedFloats, ChainedIntegers, ChainedKeys, ChainedMap

__all__ = ["ChainedFloats", "ChainedIntegers", "ChainedKeys", "ChainedMap"]


def _open(request: MapRequest) -> AnyMap:
    from intermodal import OptionError
    from intermodal_chained._public import TYPED, ChainedMap

    if check_word_types("chained", request):
        if request.options["fixed"]:
            raise OptionError(
                "backend 'chained': fixed=True is for maps of objects; one with keys of type "
                f"{request.key_type!r} grows and shrinks: leave it out, or the types"
            )
        typed: AnyMap = TYPED[request.value_type].with_capacity(request.capacity or 0)
        return typed
    if request.options["fixed"]:
        return ChainedMap.with_buckets(request.capacity)
    return ChainedMap.with_capacity(request.capacity or 0)


@hookimpl
def intermodal_map_backend() -> MapBackend:
    return MapBackend(
        name="chained",
        summary="buckets of chains: a value is replaced by one store, resizes in small steps or never",
        capabilities=Capabilities(
            points="linearizable",
            iteration="each_once",
            length="settled",
            length_cost="O(1)",
            clear="stepwise",
            lock_free_reads=True,
            handles=True,
            key_types=("object", "int64"),
            value_types=("object", "int64", "float64", "none"),
        ),
        open=_open,
        options=(
            Option(
                name="fixed",
                types=(bool,),
                default=False,
                summary="never resize: `capacity` is the number of buckets, 524,288 without it",
            ),
        ),
        rank=50,
    )


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from intermodal_chained import _public

    return getattr(_public, name)

"""What a user's type checker makes of the public names; checked by test_typing.py, never run."""

from collections.abc import ItemsView, Iterator, KeysView, Mapping, MutableMapping, ValuesView
from typing import Any, assert_type

from intermodal import (
    ABSENT,
    BackendSpec,
    Capabilities,
    ConcurrentMap,
    MapStatistics,
    backends,
    int64,
    open_map,
)
from intermodal._absent import AbsentType

hits: ConcurrentMap[str, int] = open_map("swiss", capacity=100)
any_map = open_map(ordered=True, key_type=int64, value_type="float64")
assert_type(any_map, ConcurrentMap[Any, Any])


def takes_a_mutable_mapping(mapping: MutableMapping[str, int]) -> None: ...


takes_a_mutable_mapping(hits)

# dict's operations
assert_type(hits["a"], int)
assert_type(hits.get("a"), int | None)
assert_type(hits.get("a", None), int | None)
assert_type(hits.get("a", 0), int)
assert_type(hits.get("a", "none"), int | str)
assert_type(hits.pop("a"), int)
assert_type(hits.pop("a", None), int | None)
assert_type(hits.popitem(), tuple[str, int])
assert_type(hits.setdefault("a", 1), int)
assert_type(len(hits), int)
assert_type("a" in hits, bool)
assert_type(iter(hits), Iterator[str])
assert_type(dict(hits), dict[str, int])
assert_type(hits == {"a": 1}, bool)
hits["a"] = 1
hits[1] = 1  # type: ignore[index]
hits["a"] = "one"  # type: ignore[assignment]
hits.get(1)  # type: ignore[call-overload]
del hits["a"]
hits.update({"a": 1}, b=2)
hits.update([("a", 1)])
hits.clear()

keys: KeysView[str] = hits.keys()
values: ValuesView[int] = hits.values()
items: ItemsView[str, int] = hits.items()
for key, value in hits.items():
    assert_type(key, str)
    assert_type(value, int)

# conditional updates
assert_type(hits.insert("a", 1), bool)
assert_type(hits.replace("a", 1), int)
assert_type(hits.compare_and_set("a", ABSENT, 1), bool)
assert_type(hits.compare_and_set("a", 1, ABSENT), bool)
hits.insert("a", "one")  # type: ignore[arg-type]
hits.compare_and_set("a", "one", 1)  # type: ignore[arg-type]


def add_one(old: int | AbsentType) -> int:
    return 1 if old is ABSENT else old + 1


def halve(old: int | AbsentType) -> int | AbsentType:
    return ABSENT if old is ABSENT or old < 2 else old // 2


assert_type(hits.compute("a", add_one), int)
assert_type(hits.compute("a", halve), int | AbsentType)
assert_type(hits.get_or_insert_with("a", lambda: 1), int)
assert_type(hits.remove_if("a", lambda value: value > 1), bool)
assert_type(hits.retain(lambda key, value: key.isdigit() and value > 1), int)

# batches
assert_type(hits.get_many(["a"]), list[int | None])
assert_type(hits.get_many(["a"], 0), list[int])
assert_type(hits.pop_many(["a"], default="none"), list[int | str])
hits.set_many({"a": 1})
hits.set_many([("a", 1)])
hits.set_many(["a", "b"], [1, 2])
hits.set_many(["a"], ["one"])  # type: ignore[list-item]

# the whole map
assert_type(hits | {"b": 2}, ConcurrentMap[str, int])
assert_type(hits.copy(), ConcurrentMap[str, int])
assert_type(hits.snapshot(), Mapping[str, int])
assert_type(hits.statistics(), MapStatistics)
hits |= {"b": 2}

# handles
with hits.handle() as mine:
    assert_type(mine, ConcurrentMap[str, int])
    assert_type(mine["a"], int)
hits.handle().close()

# backends
for spec in backends():
    assert_type(spec, BackendSpec)
    assert_type(spec.capabilities, Capabilities | None)


class Counter(ConcurrentMap[str, int]):
    """Maps can be subclassed with their parameters."""

    def total(self) -> int:
        return sum(self.values())


assert_type(Counter()["a"], int)

"""Timelines: operations of threads beside one another, in plain text.

A row for each thread, an operation from its call to its return in brackets, on an axis that has room for what
is written and none for what is not. May import only histories.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from intermodal._absent import ABSENT
from intermodal.testing.histories import Operation, Raised, value_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: The longest text of an operation; of longer ones the middle is left out.
_LONGEST: Final = 48


def label(operation: Operation, *, with_key: bool = True) -> str:
    """Return *operation* in a few words: its arguments, what its function saw and gave, and its outcome.

    >>> label(Operation(thread=0, name="insert", key="a", arguments=(1,), called=0, returned=1, result=True))
    "insert('a', 1): True"
    """
    key = [repr(operation.key)] if with_key and operation.key is not ABSENT else []
    if operation.name == "found":
        return f"{operation.arguments[0]} found {' = '.join((*key, value_text(operation.result)))}"
    arguments = [] if operation.name == "get" else map(value_text, operation.arguments)
    functions = (f"{value_text(saw)} -> {value_text(gave)}" for saw, gave in operation.callbacks)
    text = f"{operation.name}({', '.join((*key, *arguments, *functions))})"
    result = operation.result
    if result == Raised("KeyError", (operation.key,)):
        text += ": KeyError"
    elif not (operation.pending or result is None):
        text += f": {value_text(result)}"
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST - 18]}...{text[-15:]}"
    return text


def timeline(
    operations: Iterable[Operation],
    *,
    width: int = 110,
    marked: Iterable[Operation] = (),
    with_keys: bool = True,
) -> str:
    """Return a drawing of *operations*, a row for each thread, no line longer than *width*.

    Args:
        operations: in any order; those of one thread that overlap, as those done in callbacks do, get rows
            of their own.
        width: in columns; what is longer goes on below.
        marked: those to point out, with a line of ``#``.
        with_keys: whether to write the keys.

    What never returned ends in ``>``. Complexity: O(n log n + r c), for r rows of c columns.

    >>> print(
    ...     timeline(
    ...         [
    ...             Operation(
    ...                 thread=0,
    ...                 name="setitem",
    ...                 key="a",
    ...                 arguments=(1,),
    ...                 called=10,
    ...                 returned=400,
    ...                 result=None,
    ...             ),
    ...             Operation(thread=1, name="get", key="a", called=20, returned=30, result=1),
    ...             Operation(thread=1, name="pop", key="a", called=500),
    ...         ]
    ...     )
    ... )
    ticks     10           30  500
    thread 0  [setitem('a', 1)]
    thread 1   [get('a'): 1]   [pop('a')->
    """
    drawn = sorted(operations, key=lambda each: each.called)
    if not drawn:
        return "(no operations)"
    chosen = set(map(id, marked))
    rows = _rows(drawn)
    texts = [label(each, with_key=with_keys) + "#" * (id(each) in chosen) for each in drawn]
    places, end = _places(drawn, texts)
    names = [f"thread {drawn[row[0]].thread}" for row in rows]
    margin = max(len("ticks"), *map(len, names)) + 2
    lines = [_ticks(drawn, places, end)]
    for row in rows:
        line = [" "] * (end + 1)
        for index in row:
            each = drawn[index]
            start, stop = places[index]
            fill = "#" if id(each) in chosen else "-"
            body = texts[index].ljust(stop - start - 1, fill)
            line[start : stop + 1] = f"[{body}{'>' if each.pending else ']'}"
        lines.append("".join(line))
    pieces = _wrapped(lines, max(width - margin, _LONGEST + 2))
    blocks = [
        "\n".join(
            f"{name:<{margin}}{line}".rstrip() for name, line in zip(["ticks", *names], piece, strict=True)
        )
        for piece in pieces
    ]
    return "\n\n".join(blocks)


def _rows(operations: Sequence[Operation]) -> list[list[int]]:
    """Return the indices of the operations in each row: a thread's, on as many rows as overlap."""
    threads: defaultdict[int | str, list[list[int]]] = defaultdict(list)
    for index, each in enumerate(operations):
        for row in threads[each.thread]:
            last = operations[row[-1]]
            if last.returned is not None and last.returned < each.called:
                row.append(index)
                break
        else:
            threads[each.thread].append([index])
    order = sorted(threads, key=lambda name: (isinstance(name, str), name))
    return [row for name in order for row in threads[name]]


def _places(operations: Sequence[Operation], texts: list[str]) -> tuple[list[tuple[int, int]], int]:
    """Return the columns of the brackets of each operation, and the last column.

    From left to right, each call and return is as far to the left as the order and the texts leave room for.
    """
    events = [(each.called, False, index) for index, each in enumerate(operations)]
    events += [
        (each.returned, True, index) for index, each in enumerate(operations) if each.returned is not None
    ]
    begins: dict[int, int] = {}
    ends: dict[int, int] = {}
    column, tick, returning = 0, events[0][0], False
    for at, returned, index in sorted(events):
        if (at, returned) != (tick, returning) or returned:
            column += 1
        tick, returning = at, returned
        if returned:
            column = max(column, begins[index] + len(texts[index]) + 1)
            ends[index] = column
        else:
            begins[index] = column
    end = column
    for index in begins.keys() - ends.keys():
        end = max(end, begins[index] + len(texts[index]) + 2)
    return [(begins[index], ends.get(index, end)) for index in range(len(operations))], end


def _ticks(operations: Sequence[Operation], places: list[tuple[int, int]], end: int) -> str:
    """Return the axis: the tick of each call, then of each return, if there is room to write it."""
    calls = [(start, str(each.called)) for each, (start, _) in zip(operations, places, strict=True)]
    returns = [
        (stop, str(each.returned))
        for each, (_, stop) in zip(operations, places, strict=True)
        if each.returned is not None
    ]
    length = max(column + len(text) for column, text in (*calls, *returns))
    line = [" "] * max(length, end + 1)
    for column, text in (*sorted(calls), *sorted(returns)):
        if set(line[max(column - 1, 0) : column + len(text) + 1]) == {" "}:
            line[column : column + len(text)] = text
    return "".join(line)


def _wrapped(lines: list[str], width: int) -> list[list[str]]:
    """Return *lines* cut into pieces of at most *width* columns, where possible not through a word."""
    length = max(map(len, lines))
    lines = [line.ljust(length) for line in lines]
    pieces = []
    start = 0
    while start < length:
        stop = min(start + width, length)
        if stop < length:
            for column in range(stop, start + width // 3, -1):
                if all(line[column] in " -#[" and (line[column - 1] in " -#]") for line in lines[1:]):
                    stop = column
                    break
        pieces.append([line[start:stop] for line in lines])
        start = stop
    return pieces

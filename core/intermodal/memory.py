"""Blocks and buffers: the memory that the addresses of :mod:`intermodal.atomics` point into.

A :class:`Block` is a Python object that owns zeroed 64-bit words and, after them, object slots. It keeps the
objects in its slots alive, shows them to the cyclic garbage collector and drops them when it dies. Whoever
uses an address keeps the block alive; nobody hands an address to a caller of the library.

A :class:`Buffer` is somebody else's array of 64-bit numbers, exported through the buffer protocol.

Every live block and buffer is known to a registry, so that debug builds and interpreted callers can have each
address checked. May import only atomics and errors.
"""

from __future__ import annotations

import itertools
import sys
from typing import Final, final

from mypy_extensions import i64

from intermodal.atomics import (
    block_abandon_objects,
    block_address,
    block_new,
    block_objects,
    buffer_address,
    buffer_new,
)
from intermodal.errors import AddressError

_WORD: Final = 8
_ALIGNMENT: Final = 64
# Of words and of object slots, each, as many as fit into an address.
_MOST: Final = 1 << 58

# The registry: a range of 2**k bytes or more, but less than twice that, is entered under each window of 2**k
# bytes that it touches, at most three. Ranges are disjoint and none is smaller than its windows, so at most
# one begins inside a given window and at most one holds the window's first byte: every entry has a place of
# its own. A look-up asks two places for each k that ever was in use, however many blocks there are.  There is
# no lock: each step is one operation on a dict or list, so a block made or freed at any moment, by another
# thread, a signal handler or the GC in the middle of these functions, is in nobody's way.
_Place = tuple[bool, bool, int, int]  # of object slots?, begins inside the window?, k, window
_ranges: Final[dict[_Place, tuple[int, int]]] = {}
_used: Final = ([False] * 64, [False] * 64)  # of words, of object slots: by k

# Buffers may overlap, and there are few at a time: number -> range.
_buffers: Final[dict[int, tuple[int, int]]] = {}
_buffer_numbers: Final = itertools.count()


def _places(slots: bool, start: int, end: int) -> list[_Place]:
    if start == end:
        return []
    k = (end - start).bit_length() - 1
    return [(slots, start > window << k, k, window) for window in range(start >> k, ((end - 1) >> k) + 1)]


def _register(slots: bool, start: int, end: int) -> None:
    for place in _places(slots, start, end):
        _ranges[place] = (start, end)
        _used[slots][place[2]] = True


def _unregister(slots: bool, start: int, end: int) -> None:
    for place in _places(slots, start, end):
        del _ranges[place]


def _check(slots: bool, address: int, size: int) -> None:
    for k, used in enumerate(_used[slots]):
        if used:
            for inside in (False, True):
                found = _ranges.get((slots, inside, k, address >> k))
                if found is not None:
                    start, end = found
                    if start <= address and address + size <= end and (address - start) % size == 0:
                        return
    for start, end in [] if slots else list(_buffers.values()):
        if start <= address and address + size <= end and (address - start) % size == 0:
            return
    what = "an object slot" if slots else f"{size} bytes" if size > 1 else "a byte"
    raise AddressError(f"address {address:#x} is not that of {what} in a live block")


def check_words(address: int, size: int) -> None:
    """Raise AddressError unless the aligned *size* bytes at *address* are words of a live block."""
    _check(False, address, size)


def check_slot(address: int) -> None:
    """Raise AddressError unless *address* is that of an object slot of a live block."""
    _check(True, address, _WORD)


def register_cell(address: int, words: int, objects: int, more_words: int) -> None:
    """Enter a cell; debug builds do, so that addresses in it can be checked."""
    slots = address + words * _WORD
    end = slots + objects * _WORD
    _register(False, address, slots)
    _register(True, slots, end)
    _register(False, end, end + more_words * _WORD)


def unregister_cell(address: int, words: int, objects: int, more_words: int) -> None:
    """Undo :func:`register_cell`."""
    slots = address + words * _WORD
    end = slots + objects * _WORD
    _unregister(False, address, slots)
    _unregister(True, slots, end)
    _unregister(False, end, end + more_words * _WORD)


@final
class Block:
    """Zeroed, 64-byte-aligned memory of *words* 64-bit words and *objects* object slots.

    Args:
        words: the number of words; their first address is ``address``.
        objects: the number of object slots; their first address is ``objects_address``.

    Raises:
        ValueError: a number is negative or absurdly large.
        MemoryError: the memory is not to be had.

    Complexity: O(1); pages of a large block cost memory when they are first touched.
    Thread-safety: the attributes never change; what the addresses point to is shared memory.

    >>> from intermodal import atomics
    >>> block = Block(words=2, objects=1)
    >>> atomics.fetch_add(block.address, 41, atomics.RELAXED)
    0
    >>> atomics.object_exchange(block.objects_address, "new", None) is None
    True
    """

    def __init__(self, words: int, objects: int = 0) -> None:
        if not (0 <= words < _MOST and 0 <= objects < _MOST):
            raise ValueError(f"a block cannot have {words} words and {objects} object slots")
        self._storage: Final = block_new(words, objects)
        #: Address of the first word, a multiple of 64.
        self.address: Final[i64] = block_address(self._storage)
        #: Address of the first object slot, a multiple of 64.
        self.objects_address: Final[i64] = block_objects(self._storage)
        #: Number of words.
        self.words: Final[i64] = words
        #: Number of object slots.
        self.objects: Final[i64] = objects
        _register(False, self.address, self.address + self.words * _WORD)
        _register(True, self.objects_address, self.objects_address + self.objects * _WORD)

    def __del__(self) -> None:
        if hasattr(self, "objects"):
            _unregister(False, self.address, self.address + self.words * _WORD)
            _unregister(True, self.objects_address, self.objects_address + self.objects * _WORD)

    def abandon_objects(self) -> None:
        """Declare that every slot is empty and stays so: nobody, the GC included, looks at them again."""
        block_abandon_objects(self._storage)

    def __sizeof__(self) -> int:
        return _ALIGNMENT + (self.words + self.objects) * _WORD


# ---- somebody else's words ---------------------------------------------------------------------------------

_NUMBERS: Final = {"q": "signed 64-bit integers", "d": "64-bit floating-point numbers"}
#: What the buffer protocol calls them: `l` where a long has eight bytes.
_FORMATS: Final = {"q": ("q", "l"), "d": ("d",)}
_NATIVE: Final = ("q", "l", "d")
_FOREIGN: Final = ">!" if sys.byteorder == "little" else "<"


def is_array(source: object) -> bool:
    """Return whether *source* has the buffer protocol and is no scalar: whether :class:`Buffer` is for it."""
    try:
        with memoryview(source) as view:  # type: ignore[arg-type]  # that is the question
            return view.ndim > 0
    except TypeError:
        return False


def _fault(view: memoryview, code: str) -> str:
    """Return why *view* is no array of the numbers that *code* names, or an empty str."""
    form = view.format
    kinds = form.lstrip("@=<>!")
    if view.itemsize != _WORD or kinds not in _FORMATS[code]:
        return f"has items of format {form!r}, {view.itemsize} bytes each; convert it, with numpy's astype()"
    if form[0] in _FOREIGN:
        return f"has items in the other byte order, {form!r}; convert it, with numpy's astype()"
    if view.ndim != 1:
        return f"has {view.ndim} dimensions; pass a flat one, with numpy's ravel()"
    return ""


def _view(source: object, code: str, name: str, writable: bool) -> memoryview:
    """Return a view of *source*, whose items are what *code* names; raise TypeError if they are not."""
    kind = type(source).__name__
    try:
        view = memoryview(source)  # type: ignore[arg-type]  # that is the question
    except TypeError as error:
        raise TypeError(f"{name} must be an array of {_NUMBERS[code]}; got {kind}") from error
    fault = _fault(view, code)
    if fault:
        raise TypeError(f"{name} must be an array of {_NUMBERS[code]}; the {kind} given {fault}")
    if writable and view.readonly:
        raise TypeError(f"{name} must be writable; the {kind} given is read-only")
    return view


@final
class Buffer:
    """The words of an array of somebody else's: of numpy, array.array, a memoryview.

    The array cannot be resized while the buffer lives. What is not contiguous, or not in whole words, is
    copied, unless it is to be written to.

    Args:
        source: an object with the buffer protocol, one-dimensional.
        code: ``"q"`` for signed 64-bit integers, ``"d"`` for doubles.
        name: what messages call the array.
        writable: whether it is to be written to.

    Raises:
        TypeError: *source* has no buffer, or items of another type, or cannot be written to.
        ValueError: it is a memoryview that has been released.

    Complexity: O(1); O(n) if it is copied. Thread-safety: that of a Block. Of an array that somebody changes
    meanwhile each word is read as it was before or after.

    >>> from array import array
    >>> from intermodal import atomics
    >>> words = Buffer(array("q", [7, 8]), "q", "keys")
    >>> words.length, atomics.load(words.address + 8, atomics.RELAXED)
    (2, 8)
    """

    def __init__(self, source: object, code: str, name: str, writable: bool = False) -> None:
        view = _view(source, code, name, writable)
        #: Number of words.
        self.length: Final[i64] = view.nbytes // _WORD
        address: i64 = 0
        storage: object = None
        if self.length:
            in_place = view.contiguous and view.format in _NATIVE
            if in_place:
                storage = buffer_new(view)
                address = buffer_address(storage)
            if not in_place or address % _WORD != 0:
                if writable:
                    kind = type(source).__name__
                    raise TypeError(f"{name} must be contiguous and aligned; the {kind} given is not")
                storage = buffer_new(memoryview(view.tobytes()))
                address = buffer_address(storage)
        self._storage: Final = storage
        #: Address of the first word; 0 if there is none.
        self.address: Final[i64] = address
        self._number: Final[int] = next(_buffer_numbers)
        _buffers[self._number] = (self.address, self.address + self.length * _WORD)

    def __del__(self) -> None:
        if hasattr(self, "_number"):
            _buffers.pop(self._number, None)

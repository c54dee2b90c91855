"""What the conformance kit tests: the maps of one backend, used directly and through handles.

May import the registry and the facade; needs nothing but intermodal.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs

import intermodal
from intermodal import registry
from intermodal.capabilities import Capabilities
from intermodal.facade import open_map, open_reclaimer
from intermodal.testing.keys import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from intermodal.maps import AnyMap
    from intermodal.reclamation import Reclaimer

#: By how much the kit multiplies the number of its steps: more for long runs, less for quick ones.
EFFORT = float(os.environ.get("INTERMODAL_TEST_EFFORT", "1"))


@attrs.frozen(eq=False)
class Subject:
    """Maps to test: how they are made, what they promise, and whether tests use them through handles.

    Maps that :meth:`map` and :meth:`shared` return are kept until :meth:`check` has verified them.

    Attributes:
        name: what stands in the names of tests.
        capabilities: what the maps promise.
        open: returns a new, empty map; takes the keywords of ``open_map``.
        by_handle: tests use handles of the maps.
        reclaimers: those that ``open`` has given to its maps.
        kinds: names of the :data:`~intermodal.testing.keys.KINDS` of keys that tests are repeated with.
    """

    name: str
    capabilities: Capabilities
    open: Callable[..., AnyMap]
    by_handle: bool = False
    kinds: tuple[str, ...] = tuple(KINDS)
    _reclaimers: list[Reclaimer] = attrs.field(factory=list, repr=False, alias="reclaimers")
    _made: list[AnyMap] = attrs.field(factory=list, init=False, repr=False)

    def __str__(self) -> str:
        return f"{self.name}-handle" if self.by_handle else self.name

    @property
    def type(self) -> Any:
        """The class of the maps."""
        return type(self.open())

    def map(self, data: Any = (), /, **entries: Any) -> Any:
        """Return a map with these entries for one thread to use, or a handle of one."""
        return self.view(self.shared(data, **entries))

    def shared(self, data: Any = (), /, **entries: Any) -> Any:
        """Return a map with these entries, of which each thread is to use a :meth:`view`."""
        made = self.open()
        self._made.append(made)
        made.update(data, **entries)
        return made

    def loose(self, data: Any = (), /, **entries: Any) -> Any:
        """Return what :meth:`map` does, but keep no reference: for tests of what happens when a map goes."""
        made = self.open()
        made.update(data, **entries)
        return self.view(made)

    def view(self, shared: Any) -> Any:
        """Return what the calling thread is to use of a map: a handle of it, or the map itself."""
        return shared.handle() if self.by_handle else shared

    def effort(self, count: int, pure: int = 0) -> int:
        """Return *count*, :func:`scale`-d, ten times as much where no lock slows threads or writers down."""
        quick = self.capabilities.lock_free_reads and self.capabilities.points != "published"
        return scale(count * (10 if quick else 1), pure)

    def check(self) -> None:
        """Verify every map made since the last time, for its invariants, and forget them.

        Raises: AssertionError, of the first ``_check()`` that does.
        """
        made = self._made.copy()
        self._made.clear()
        for each in made:
            each._check()
        self._reclaimers.clear()

    def settle(self) -> None:
        """Let what the maps' reclaimers, or readers of what was published before, hold back be freed."""
        for reclaimer in self._reclaimers:
            reclaimer.flush()
        if self.capabilities.points == "published":
            for each in self._made.copy():
                each.publish()


def subjects_of(backend: str | Subject, **options: Any) -> tuple[Subject, ...]:
    """Return the subjects by which *backend* is tested: its maps and, if it declares handles, their handles.

    Args:
        backend: the name of an installed backend, or a subject for maps that no plugin provides.
        options: keywords of ``open_map`` with which every map is opened.

    Raises: BackendNotFound, BackendLoadError.
    """
    if isinstance(backend, Subject):
        direct = backend
    else:
        reclaimers: list[Reclaimer] = []

        def open_reclaimed(*, reclaimer: str = options.get("reclaimer", ""), **more: Any) -> AnyMap:
            reclaimers.append(open_reclaimer(reclaimer))
            return open_map(backend, reclaimer=reclaimers[-1], **{**options, **more})

        capabilities = registry.maps.load(backend).capabilities
        opener = open_reclaimed if options.pop("reclaimer", None) else partial(open_map, backend, **options)
        direct = Subject(backend, capabilities, opener, reclaimers=reclaimers)
    if not direct.capabilities.handles:
        return (direct,)
    return direct, attrs.evolve(direct, by_handle=True)


def scale(count: int, pure: int = 0) -> int:
    """Return *count* steps, or what the pure build, a thousand times slower, can do in the same time."""
    least = pure or max(count // 50, 1)
    return max(round(EFFORT * (count if intermodal.__compiled__ else least)), least)

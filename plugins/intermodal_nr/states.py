"""What a replica has a copy of: a :class:`State`, whose operations have *outcomes*, results or
:class:`Raised`.

May import only core's public names.
"""

from __future__ import annotations

from collections.abc import Callable
from types import GeneratorType
from typing import Any, Final, cast, final

from mypy_extensions import mypyc_attr

from intermodal.dispatch import ITSELF


@final
class Raised:
    """The outcome of an operation that raised."""

    def __init__(self, error: BaseException) -> None:
        self.error: Final = error


def result_of(outcome: object) -> object:
    """Return the result, or raise what the operation raised."""
    if isinstance(outcome, Raised):
        # Several threads may have got the same exception, if it is the log's; the traceback is nobody's.
        raise outcome.error.with_traceback(None)
    return outcome


@mypyc_attr(allow_interpreted_subclasses=True)
class State:
    """One copy of the structure, as its replica sees it."""

    def trusted(self) -> bool:
        """Return whether it runs no user code, and allocates nothing that the GC tracks in ``apply``.

        Else the GC could run a destructor that uses the same structure, and would wait for its own thread.
        """
        return False

    def damaged(self) -> bool:
        """Return whether an operation was broken off by something that the other copies do not know."""
        return False

    def apply(self, operation: object, dropped: list[object]) -> object:
        """Execute a change; return its outcome. Runs alone. What it lets go of it appends to *dropped*."""
        raise NotImplementedError

    def query(self, operation: object) -> object:
        """Execute a read; return its outcome. Other reads may run beside it."""
        raise NotImplementedError

    def copy(self) -> State:
        """Return an independent copy."""
        raise NotImplementedError

    def adopt(self, other: State, dropped: list[object]) -> bool:  # noqa: ARG002
        """Take over what *other* has, which nobody else has; return False to be replaced by it."""
        return False


@final
class PlanState(State):
    """A structure with the methods that a :class:`intermodal.dispatch.Plan` names, or a Dispatch.

    Args:
        structure: the structure.
        copy: returns an independent copy of it.
        reads, writes: as in the plan; empty for a Dispatch.
        shared: whether it is that of several logs, so that one of them alone cannot begin again with a copy.
    """

    def __init__(
        self,
        structure: Any,
        copy: Callable[[Any], Any],
        reads: dict[str, Any],
        writes: dict[str, Any],
        shared: bool = False,
    ) -> None:
        self.structure: Final[Any] = structure
        self._copy: Final = copy
        self._reads: Final = reads
        self._writes: Final = writes
        self._has_methods: Final = bool(reads) or bool(writes)
        self._shared: Final = shared
        self._damaged = False

    def damaged(self) -> bool:
        return self._damaged

    def apply(self, operation: object, dropped: list[object]) -> object:  # noqa: ARG002
        try:
            if self._has_methods:
                return self._call(operation, self._writes)
            return self.structure.dispatch_mut(operation)
        except BaseException as error:  # noqa: BLE001  (a result; its issuer gets it)
            if not isinstance(error, Exception) or isinstance(error, MemoryError | RecursionError):
                self._damaged = not self._shared
            return Raised(error)

    def query(self, operation: object) -> object:
        try:
            if self._has_methods:
                return self._call(operation, self._reads)
            return self.structure.dispatch(operation)
        except BaseException as error:  # noqa: BLE001
            return Raised(error)

    def _call(self, operation: object, known: dict[str, Any]) -> object:
        name, arguments, keywords = cast("tuple[str, tuple[Any, ...], dict[str, Any]]", operation)
        function = known[name]
        if function is None:
            result: Any = getattr(self.structure, name)(*arguments, **keywords)
        else:
            result = function(self.structure, *arguments, **keywords)
        if result is self.structure:
            return ITSELF
        if type(result) is GeneratorType:  # it would run later, beside others' changes
            return iter(list(result))
        return result

    def copy(self) -> State:
        return PlanState(self._copy(self.structure), self._copy, self._reads, self._writes)

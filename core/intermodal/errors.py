"""Exceptions of intermodal, each also the built-in exception that callers may already catch.

May import nothing of intermodal: every other module may raise them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Tells which backends have an operation; the registry puts itself here, since errors may not import it.
backends_with: Callable[[str], list[str]] | None = None


class IntermodalError(Exception):
    """Base class of everything that only intermodal raises."""


class AddressError(IntermodalError, IndexError):
    """An atomic operation was given an address outside every live block."""


class BackendNotFound(IntermodalError, LookupError):
    """No installed backend has the name, or meets the requirements, that were asked for."""


class BackendLoadError(IntermodalError, ImportError):
    """A backend is installed, but its plugin cannot be imported or does not keep the contract."""


class OptionError(IntermodalError, TypeError):
    """An option is unknown to the backend, or its value is not one that the backend takes."""


class NotSupported(IntermodalError, NotImplementedError):
    """A backend does not have an operation; the message names those that do.

    Args:
        operation: name of the method that was called.
        map_type: name of the class that does not have it.
        capability: name of the field of Capabilities that says who has it.
    """

    def __init__(self, operation: str, map_type: str, capability: str) -> None:
        super().__init__(operation, map_type, capability)
        self.operation = operation
        self.map_type = map_type
        self.capability = capability

    def __str__(self) -> str:
        having = backends_with(self.capability) if backends_with is not None else []
        instead = f"; backends that have it: {', '.join(having)}" if having else ""
        return f"{self.map_type} has no {self.operation}(){instead}"

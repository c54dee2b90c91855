"""The sentinel for "no such key".

Apart from the contract of maps, since the contract, its views and its users all need it. May import nothing
of intermodal.
"""

from __future__ import annotations

import enum
from typing import Final, Literal, TypeAlias


class AbsentType(enum.Enum):
    """The type of :data:`ABSENT`; an enum, so that type checkers can tell the sentinel from a value."""

    ABSENT = enum.auto()

    def __repr__(self) -> str:
        return "intermodal.ABSENT"

    def __bool__(self) -> bool:
        raise TypeError("ABSENT is neither true nor false; compare with 'is ABSENT' instead")


#: Stands for "no entry" where a value may be expected or given. It cannot be stored in a map.
ABSENT: Final = AbsentType.ABSENT

#: The type of ABSENT for annotations: ``V | Absent``.
Absent: TypeAlias = Literal[AbsentType.ABSENT]

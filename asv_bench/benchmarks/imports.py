"""What a program pays before its first operation: importing, and opening the first map."""

from __future__ import annotations

from ._common import BACKENDS, RECLAIMERS


def timeraw_import() -> str:
    return "import intermodal"


class Opening:
    """Of the first map of a backend, in a process that has imported nothing yet."""

    params = BACKENDS
    param_names = ("backend",)
    number = 1

    def timeraw_open_map(self, backend: str) -> str:
        return f"import intermodal; intermodal.open_map({backend!r})"


class OpeningReclaimers:
    """The same of the first reclaimer."""

    params = RECLAIMERS
    param_names = ("reclaimer",)
    number = 1

    def timeraw_open_reclaimer(self, reclaimer: str) -> str:
        return f"import intermodal; intermodal.open_reclaimer({reclaimer!r})"


timeraw_import.number = 1  # type: ignore[attr-defined]  # asv's own convention; a second import does nothing

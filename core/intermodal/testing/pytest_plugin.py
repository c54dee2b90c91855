"""pytest's option ``--backend``, which exists only where pytest is asked to run the conformance kit.

pytest imports this module in every session, so it imports nothing. A conftest.py cannot do its work: pytest
reads the command line before it finds the one of a package given with ``--pyargs``. And ``--backend`` is an
option that others have too.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pytest


def pytest_load_initial_conftests(parser: pytest.Parser, args: list[str]) -> None:
    """Add the option if the command line names a module of the kit."""
    if any(str(argument).startswith("intermodal.testing") for argument in args):
        parser.getgroup("intermodal").addoption(
            "--backend",
            action="append",
            dest="intermodal_backends",
            metavar="NAME",
            help="hold the backend NAME to the conformance kit; can be given several times; without, every "
            "installed backend",
        )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse the name of a backend that cannot be used."""
    for name in getattr(config.option, "intermodal_backends", None) or ():
        from intermodal import registry
        from intermodal.errors import BackendLoadError, BackendNotFound

        try:
            registry.maps.load(name)
        except (BackendNotFound, BackendLoadError) as error:
            import pytest

            raise pytest.UsageError(f"--backend: {error}") from error

"""``python -m intermodal`` is the command ``intermodal``."""

from intermodal.cli import main

main()

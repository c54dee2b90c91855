"""The C compiler that setuptools would call."""

from __future__ import annotations

import os
import shlex
import shutil
import sysconfig


def compiler() -> list[str] | None:
    """Return its command, such as ``ccache gcc``; None if there is none."""
    command = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    return command if shutil.which(command[0]) else None

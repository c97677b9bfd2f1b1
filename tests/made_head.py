"""A head of a cluster that is this machine: its "ssh" runs each command in a shell here."""

import sys
from pathlib import Path

from syndet_ray.clusters.head import Head

SSH = """#!/bin/sh
shift
exec sh -c "$*"
"""


def made_head(folder, home, ssh=SSH):
    """A head, whose ssh is written into a folder.

    home  the home folder that the environment names, which gets a profile that finds this Python
    """
    (home / ".bashrc").write_text(f"export PATH={Path(sys.executable).parent}:$PATH\n")
    program = folder / "ssh"
    program.write_text(ssh)
    program.chmod(0o755)
    return Head(file=Path("c.yaml"), ssh=(str(program),), target="here")

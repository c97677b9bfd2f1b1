"""Sitter: runs a program, and ends it with all that it started when our process is gone.

A worker that is killed cannot end its program, which would go on training for hours. So the program
is a child of this script, in one process group with it. It needs nothing but the standard library.
"""

import json
import os
import signal
import subprocess
import sys

ORDER = "SYNDET_SITTER"  # the environment variable with the parent's id and the program, as JSON
CANNOT_START = 126  # exit code, as a shell's
_EVERY_S = 0.5  # between looks at the parent: a program may live that much longer
_SIGNALLED = 128  # added to the number of the signal that ended the program, as a shell does


def main() -> int:
    """Runs the program to its end; returns its exit code."""
    order = json.loads(os.environ.pop(ORDER))
    try:
        program = subprocess.Popen(order["words"])
    except OSError as error:
        sys.stderr.write(f"cannot be started ({error.strerror})\n")
        return CANNOT_START
    while True:
        try:
            code = program.wait(_EVERY_S)
        except subprocess.TimeoutExpired:
            if os.getppid() != order["parent"]:
                os.killpg(0, signal.SIGKILL)  # this process too
            continue
        return code if code >= 0 else _SIGNALLED - code


if __name__ == "__main__":
    sys.exit(main())

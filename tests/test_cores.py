"""Cores: a process counts those that it may use."""

import os
import subprocess
import sys


def test_only_the_cores_that_a_process_may_use_are_counted():
    one = min(os.sched_getaffinity(0))
    code = (
        f"import os; os.sched_setaffinity(0, {{{one}}}); "
        "from syndet_ray.cores import usable_cores; print(usable_cores())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"

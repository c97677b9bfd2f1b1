"""Cores: a process counts those that it may use."""

import os
import subprocess
import sys

from syndet_ray.cores import usable_cores


def test_only_the_cores_that_a_process_may_use_are_counted():
    one = min(os.sched_getaffinity(0))
    code = (
        f"import os; os.sched_setaffinity(0, {{{one}}}); "
        "from syndet_ray.cores import usable_cores; print(usable_cores())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


def test_a_limit_that_is_no_number_is_no_limit(monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "auto")
    assert usable_cores() == len(os.sched_getaffinity(0))

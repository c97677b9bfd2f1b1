"""Cores: how many of them this process may use."""

import os

from joblib.externals.loky import cpu_count


def usable_cores() -> int:
    """Returns the number of cores that this process may use, at least 1.

    They may be fewer than the machine has: a scheduler binds a job to some of them (`taskset`,
    Slurm), a container has a quota of their time (cgroups), and LOKY_MAX_CPU_COUNT limits them.
    """
    try:
        return cpu_count()
    except ValueError:  # LOKY_MAX_CPU_COUNT is no number
        return len(os.sched_getaffinity(0))

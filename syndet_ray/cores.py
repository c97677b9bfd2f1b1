"""Cores: how many of them this process may use."""

import joblib


def usable_cores() -> int:
    """Returns the number of cores that this process may use, at least 1.

    They may be fewer than the machine has: a scheduler binds a job to some of them (`taskset`,
    Slurm), a container has a quota of their time (cgroups), and LOKY_MAX_CPU_COUNT limits them.
    """
    return joblib.cpu_count()

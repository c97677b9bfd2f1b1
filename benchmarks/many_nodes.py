"""How soon does a free slot of a large cluster begin its first trial, and what does a trial cost
the driver when many run at once? Runs 1 000 trials that train nothing on 64 slots.

    python benchmarks/many_nodes.py [--trials 1000] [--slots 64]

ours   a whole search without the training: see scheduling.py
plain  Tune with OptunaSearch, first in, first out

64 raylets do not fit on a small machine: one raylet has 64 cores that do not exist, and a process
for each slot. On two cores the start of 64 processes takes most of a minute, whoever asks for them:
it is shown apart.

handed    from the moment when the nodes are up until a trial is handed to Tune for the last slot
process   from the first trial that is handed to Tune until a process has begun on the last slot
between   on one slot, from the first step of a trial to that of the next one
"""

import argparse
from itertools import pairwise
from statistics import median
from typing import Any

from scheduling import run_arm, show


def show_slots(figures: dict[str, Any], slots: int) -> None:
    handed, steps = figures["handed"], figures["steps"]
    firsts = sorted(times[0] for times in steps)
    between = [later - earlier for times in steps for earlier, later in pairwise(times)]
    print(f"  slots that had a trial: {len(steps)} of {slots}")
    print(f"  s handed   {handed[min(slots, len(handed)) - 1] - figures['connected']:.2f}")
    print(
        f"  s process  median {median(firsts) - handed[0]:.1f}, last {firsts[-1] - handed[0]:.1f}"
    )
    print(f"  s between  median {median(between):.2f}, longest {max(between):.1f}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--arm", choices=("ours", "plain"), help="only this one")
    given = parser.parse_args()
    for arm in [given.arm] if given.arm else ["ours", "plain"]:
        figures = run_arm(arm, given.trials, given.slots)
        show(arm, figures, given.trials)
        show_slots(figures, given.slots)


if __name__ == "__main__":
    main()

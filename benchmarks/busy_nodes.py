"""Are two nodes kept busy? Runs a sweep on a cluster of a head without trials and two nodes of one
core each, and prints the share of their hours that no trial took.

    python benchmarks/busy_nodes.py PHOTOS [--trials 8] [--images 200] [--work /tmp/busy]

start    until the first trial trains: Ray, the checks of the nodes, the first process
between  from then until the last trial begins: what the search and the pruner leave unused
end      from then until the end of the run: the last trials have no successor, and then
         the test set is scored
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from kills import child_environment, only_run
from ray.cluster_utils import Cluster

from syndet_ray.analysis.usage import Hours, usage

SWEEP = """
from syndet_ray import *

SWEEP = Sweep(
    question="How much synthetic data?",
    recipe=Recipe(
        mix=Mix(synthetic_images=64),
        training=Training(images={images}),
    ),
    space=(SearchSpace({{
        "mix.synthetic": Float(low=0.0, high=0.8),
        "training.learning_rate": Float(low=1e-3, high=1e-2, log=True),
    }}),),
    trials={trials},
    rungs=4,
    confirm=Confirmation(top=1, seeds=0),
)
"""


def run_sweep(work: Path, photos: Path, text: str) -> Path:
    """Runs the sweep on two nodes; returns the folder in which it was started."""
    shutil.rmtree(work, ignore_errors=True)
    (work / "sweeps").mkdir(parents=True)
    (work / "sweeps" / "busy.py").write_text(text, encoding="utf-8")
    head = {"num_cpus": 0, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        command = [sys.executable, "-m", "syndet_ray", "sweep", "busy", "--real", str(photos)]
        command += ["--seed", "5", "--address", cluster.address]
        subprocess.run(command, cwd=work, check=True)
    finally:
        cluster.shutdown()
    return work


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("photos", type=Path)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--work", type=Path, default=Path("/tmp/busy"))
    given = parser.parse_args()
    os.environ |= child_environment(RAY_AUTH_MODE="disabled")
    text = SWEEP.format(trials=given.trials, images=given.images)
    folder = only_run(run_sweep(given.work.resolve(), given.photos.resolve(), text))
    assert folder is not None
    hours = usage(folder.read())
    assert hours is not None
    offered = hours.for_trials.cores
    parts = {
        "start": hours.idle_at_start,
        "between": hours.idle_between,
        "end": hours.idle_at_end,
    }
    print(f"{offered * 60:.1f} core minutes for trials, {hours.trained.cores * 60:.1f} trained")
    for name, idle in parts.items():
        print(f"idle, {name:8} {idle.cores * 60:.2f} core minutes")
    print(f"idle share between: {_share(hours.idle_between, hours.trained):.3f}")


def _share(idle: Hours, trained: Hours) -> float:
    return idle.cores / (idle.cores + trained.cores)


if __name__ == "__main__":
    main()

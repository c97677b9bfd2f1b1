"""How long a worker is idle between two trials: from the end of one to the first training step of
the next.

    python benchmarks/turnaround.py runs/obstruction-...

Reads the ledger of a run that used one worker, or several: a trial is asked for when a worker has
become free. Trials that had to render their scenes first, and the first of each worker (which
imports torch), are told apart.
"""

import statistics
import sys
from pathlib import Path

from syndet_ray.runs.folder import RunFolder


def main() -> None:
    trials = [trial for trial in RunFolder.open(Path(sys.argv[1])).trials() if trial.effective]
    workers = int(RunFolder.open(Path(sys.argv[1])).about.get("parallel", 1))
    waits = {trial.number: trial.effective["first_step"] - trial.started for trial in trials}
    rendered: set[tuple[int, int]] = set()
    cold: list[float] = []
    warm: list[float] = []
    for trial in trials:
        mix = trial.recipe.mix
        scenes = (trial.recipe.scene.objects, mix.synthetic_images)
        draws = mix.synthetic > 0
        known = not draws or scenes in rendered
        (warm if known and trial.number >= workers else cold).append(waits[trial.number])
        if draws:
            rendered.add(scenes)
    print(
        f"{len(warm)} trials on a warm worker: median {statistics.median(warm):.2f} s, longest {max(warm):.2f} s"
    )
    print(
        f"{len(cold)} that imported torch or rendered scenes first: median {statistics.median(cold):.2f} s"
    )


if __name__ == "__main__":
    main()

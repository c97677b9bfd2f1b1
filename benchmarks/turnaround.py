"""How long is a worker idle between two trials? From the end of one to the first training step of
the next.

    python benchmarks/turnaround.py runs/obstruction-...

Reads the ledger of a run with one worker or several: a trial is proposed when a worker becomes
free. Trials that had to render their scenes first, and the first of each worker (which imports
torch), are counted apart.
"""

import statistics
import sys
from pathlib import Path

from syndet_ray.runs.folder import RunFolder


def main() -> None:
    folder = RunFolder.open(Path(sys.argv[1]))
    trials = [trial for trial in folder.trials() if trial.effective]
    workers = int(folder.about.get("parallel", 1))
    waits = {trial.number: trial.effective["first_step"] - trial.started for trial in trials}
    rendered: set[tuple[int, int]] = set()
    cold: list[float] = []
    warm: list[float] = []
    for trial in trials:
        mix = trial.recipe.mix
        scenes = (trial.recipe.scene.objects, mix.synthetic_images)
        needs_scenes = mix.synthetic > 0
        is_rendered = not needs_scenes or scenes in rendered
        is_warm = is_rendered and trial.number >= workers
        (warm if is_warm else cold).append(waits[trial.number])
        if needs_scenes:
            rendered.add(scenes)
    times = f"median {statistics.median(warm):.2f} s, longest {max(warm):.2f} s"
    print(f"{len(warm)} trials on a warm worker: {times}")
    median_s = f"{statistics.median(cold):.2f} s"
    print(f"{len(cold)} that imported torch or rendered scenes first: median {median_s}")


if __name__ == "__main__":
    main()

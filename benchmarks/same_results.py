"""Does a change of the code leave results as they were? What small sweeps put into their ledger,
test.json and figures, compared.

    python benchmarks/same_results.py write BEFORE.json      # on the code as it was
    python benchmarks/same_results.py compare BEFORE.json    # on the code as it is

Two sweeps run in one process (`--local`), so that training is bit-identical: `smoke` on the
stand-in set, and a tiny one with variants, a simplex of three sources, several schedules and
confirmations. Clocks, paths and what names a machine are left out.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import syndet_ray

ROOT = Path(syndet_ray.__file__).parents[1]
# Says when, where or how fast, and nothing of what was computed.
CLOCKS = {
    "time",
    "images_per_second",
    "opened",
    "first_step",
    "machine/host",
    "machine/versions",
    "checkpoint",
    "path",
}
TINY = """
from syndet_ray import *

SWEEP = Sweep(
    question="Is it the same?",
    recipe=Recipe(
        mix=Mix(
            synthetic_images=4,
            sources={"few": Scenes(changes={"scene.objects": 4}), "many": Scenes(changes={"scene.objects": 8})},
        ),
        scene=SceneParameters(image_px=128, size_px=(26, 34)),
        detector=Detector(backbone="test_efficientnet", weights="none"),
        training=Training(images=32, batch_size=4, crop_px=128),
    ),
    space=(
        SearchSpace({
            "mix.shares": Simplex(sources=("real", "few", "many")),
            "mix.schedule": Choice(values=("mixed", "staged", "annealed")),
            "training.learning_rate": Float(low=1e-3, high=1e-2, log=True),
        }),
    ),
    variants={"all": {}, "no blur": {"scene.blur": 0.0}},
    trials=5,
    rungs=4,
    pruning=Pruning(name="percentile", percentile=60, startup_trials=2),
    confirm=Confirmation(top=1, seeds=2),
)
"""


def results(folder: Path) -> dict[str, Any]:
    """What a run came to: events of the ledger, scores on the test set, and the rows of every
    figure.
    """
    ledger = [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]
    events = [_timeless(event) for event in ledger]
    figures = {path.name: _rows(path) for path in sorted((folder / "figures").glob("*.csv"))}
    return {
        "ledger": events,
        "test": _timeless(json.loads((folder / "test.json").read_text())),
        "figures": figures,
    }


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _timeless(held) for name, held in value.items() if name not in CLOCKS}
    return [_timeless(held) for held in value] if isinstance(value, list) else value


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [
            {name: value for name, value in row.items() if name not in CLOCKS}
            for row in csv.DictReader(file)
        ]


def run_all(work: Path) -> dict[str, Any]:
    """The results of both sweeps, run anew."""
    (work / "sweeps").mkdir()
    (work / "sweeps" / "same.py").write_text(TINY)
    found = {}
    for name in ("smoke", "same"):
        command = [sys.executable, "-m", "syndet_ray", "sweep", name, "--local"]
        environment = os.environ | {
            "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        }
        subprocess.run(command, cwd=work, env=environment, check=True, stdout=subprocess.DEVNULL)
        (folder,) = [
            path for path in (work / "runs").glob(f"{name}-*") if (path / "sweep.json").exists()
        ]
        found[name] = results(folder)
    return found


def differences(before: Any, after: Any, place: str = "") -> list[str]:
    """Where two results differ, each place once."""
    if isinstance(before, dict) and isinstance(after, dict):
        names = dict.fromkeys([*before, *after])
        return [
            text
            for name in names
            for text in differences(before.get(name), after.get(name), f"{place}/{name}")
        ]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        return [
            text for k, (one, other) in pairs for text in differences(one, other, f"{place}[{k}]")
        ]
    return [] if before == after else [f"{place}: {str(before)[:200]} is now {str(after)[:200]}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=("write", "compare"))
    parser.add_argument("file", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="syndet-") as work:
        found = json.loads(json.dumps(run_all(Path(work))))
    if arguments.what == "write":
        arguments.file.write_text(json.dumps(found, indent=1))
        return
    different = differences(json.loads(arguments.file.read_text()), found)
    print("\n".join(different) or "equal")
    raise SystemExit(bool(different))


if __name__ == "__main__":
    main()

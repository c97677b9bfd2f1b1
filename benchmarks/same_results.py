"""Does a change of the code change results? Compares what small sweeps write to their ledger,
test.json and figures.

    python benchmarks/same_results.py write BEFORE.json      # with the old code
    python benchmarks/same_results.py compare BEFORE.json    # with the new code

Two sweeps run in one process (`--local`), so that training is bit-identical: `smoke` on the
stand-in set, and a tiny one with variants, a simplex of three sources, several schedules and
confirmations. Clocks, paths and names of machines are left out.
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
from syndet_ray import metrics

ROOT = Path(syndet_ray.__file__).parents[1]
# Facts of when, where or how fast, not of what was computed.
CLOCKS = {
    *metrics.CLOCKS,
    "time",
    "opened",
    metrics.FIRST_STEP,
    metrics.SCENES_WAIT,
    metrics.HOST,
    metrics.VERSIONS,
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
            sources={
                "few": Scenes(changes={"scene.objects": 4}),
                "many": Scenes(changes={"scene.objects": 8}),
            },
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
    """The results of a run: events of the ledger, scores on the test set, rows of every figure."""
    ledger = [
        json.loads(line)
        for line in (folder / "ledger.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    events = [_timeless(event) for event in ledger]
    figures = {path.name: _rows(path) for path in sorted((folder / "figures").glob("*.csv"))}
    return {
        "ledger": events,
        "test": _timeless(json.loads((folder / "test.json").read_text(encoding="utf-8"))),
        "figures": figures,
    }


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _timeless(item) for name, item in value.items() if name not in CLOCKS}
    if isinstance(value, list):
        return [_timeless(item) for item in value]
    return value


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [_timeless(row) for row in csv.DictReader(file)]


def run_all(work: Path) -> dict[str, Any]:
    """Runs both sweeps; returns their results by name."""
    (work / "sweeps").mkdir()
    (work / "sweeps" / "same.py").write_text(TINY, encoding="utf-8")
    by_sweep = {}
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": paths}
    for name in ("smoke", "same"):
        command = [sys.executable, "-m", "syndet_ray", "sweep", name, "--local"]
        subprocess.run(command, cwd=work, env=environment, check=True, stdout=subprocess.DEVNULL)
        (sweep_file,) = (work / "runs").glob(f"{name}-*/sweep.json")
        by_sweep[name] = results(sweep_file.parent)
    return by_sweep


def differences(before: Any, after: Any, place: str = "") -> list[str]:
    """The places where two results differ, each once."""
    texts: list[str] = []
    if isinstance(before, dict) and isinstance(after, dict):
        for name in dict.fromkeys([*before, *after]):
            texts += differences(before.get(name), after.get(name), f"{place}/{name}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for k, (one, other) in enumerate(zip(before, after, strict=True)):
            texts += differences(one, other, f"{place}[{k}]")
    elif before != after:
        texts.append(f"{place}: {str(before)[:200]} is now {str(after)[:200]}")
    return texts


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("action", choices=("write", "compare"))
    parser.add_argument("file", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="syndet-") as work:
        after = json.loads(json.dumps(run_all(Path(work))))
    if arguments.action == "write":
        arguments.file.write_text(json.dumps(after, indent=1), encoding="utf-8")
        return
    different = differences(json.loads(arguments.file.read_text(encoding="utf-8")), after)
    print("\n".join(different) or "equal")
    raise SystemExit(bool(different))


if __name__ == "__main__":
    main()

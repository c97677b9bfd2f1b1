"""Provenance: what is recorded of how a run was made."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from syndet_ray import wording
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.recipe import Detector
from syndet_ray.definitions.space import SearchSpace
from syndet_ray.metrics import BATCH_PARTS
from syndet_ray.report.words import compute
from syndet_ray.runs import machine, names
from syndet_ray.runs.origins import command_of, origins_of, replace_paths
from syndet_ray.runs.results import Trial
from syndet_ray.runs.run import Run

_DAY = "%Y-%m-%d %H:%M %Z"
_HASH_DIGITS = 12  # enough to tell data apart, few enough for a line


def facts(run: Run) -> list[tuple[str, str]]:
    """Returns (name, text) of how the run was made, as far as run.json and the sweep have it.

    Files that were sent to a cluster have the paths from which they were sent.
    """
    about = run.about
    test = run.test
    origins = origins_of(about)
    code = {name: machine.commit_words(state) for name, state in about.get("code", {}).items()}
    texts = {
        "command": _command(about),
        "stopped": about.get("stopped"),
        **_search(run.sweep, about.get("seed", run.sweep.seed)),
        "test set": names.openings(test) if test else "not opened",
        "detector": _detector(run.sweep.recipe.detector),
        **_data(run),
        "versions": _list_words(about.get("versions")),
        "machine": _list_words(about.get("machine")),
        "code": _list_words(code),
        "started": _moment(about.get("started")),
        "last attempt ended" if run.halt else "finished": _moment(about.get("finished")),
        "time": _time(run),
        "GPU memory": _divided_batches(run.trials),
        "compute": compute(run.trials, about.get("gpus_per_trial") or 0),
    }
    shown = {name: str(value) for name, value in texts.items() if value not in (None, "")}
    return [(name, replace_paths(origins, text)) for name, text in shown.items()]


def _command(about: Mapping[str, Any]) -> str | None:
    """The command that started a run; None if run.json does not have it."""
    command = command_of(about)
    return "started from Python" if command == "" else command


def _search(sweep: LoadedSweep, seed: Any) -> dict[str, Any]:
    goals = [f"{goal} {way}d" for goal, way in zip(sweep.objective, sweep.goals, strict=True)]
    parts = [
        f"{wording.counted(sweep.trials, 'trial')} by {sweep.sampler}",
        *_comparison_counts(sweep),
        f"{wording.counted(sweep.rungs, 'rung')}",
    ]
    several = "none, for there are several goals"
    return {
        "seed": seed,
        "varied": _space(sweep.space),
        "goals": " and ".join(goals),
        "search": ", ".join(parts),
        "pruner": several if len(goals) > 1 else sweep.pruning.name,
        "confirmation": _confirmation(sweep),
    }


def _comparison_counts(sweep: LoadedSweep) -> list[str]:
    """The numbers of controls and of variants, without those of which there are none."""
    counts = {"control": len(sweep.controls), "variant": len(sweep.variants)}
    return [wording.counted(count, kind) for kind, count in counts.items() if count]


def _data(run: Run) -> dict[str, Any]:
    real = run.about.get("real") or {}
    hashes = {split: name[:_HASH_DIGITS] for split, name in real.get("hashes", {}).items()}
    return {
        "real data": "stand-in set" if run.stand_in else real.get("path"),
        "classes": ", ".join(run.about.get("classes", ())),
        "images": _list_words(real.get("counts")),
        "objects": _list_words(real.get("objects")),
        "data hashes": _list_words(hashes),
        "notes": "; ".join(real.get("notes", ())),
    }


def _detector(detector: Detector) -> str:
    """ "faster_rcnn with resnet50_fpn_v2, starting weights coco, frozen stages 2"."""
    if detector.program:
        return f"a training program, {detector.program}"
    beginning = {
        "detector.weights": detector.weights,
        "detector.frozen_stages": detector.frozen_stages,
    }
    return f"{detector.architecture} with {detector.backbone}, {names.settings(beginning)}"


def _space(space: tuple[str | SearchSpace, ...]) -> str:
    """The varied settings and their bounds; only the name of a space that was not looked up."""
    return "; ".join(part if isinstance(part, str) else _bounds(part) for part in space)


def _bounds(space: SearchSpace) -> str:
    return "; ".join(f"{path}: {names.bounds(parameter)}" for path, parameter in space.items())


def _confirmation(sweep: LoadedSweep) -> str:
    if not sweep.confirm.seeds or not sweep.proposals:
        return ""
    recipes = [f"the best {sweep.confirm.top}"]
    if sweep.controls:
        recipes.append("the controls")
    if sweep.variants:
        recipes.append("the variants")
    seeds = wording.counted(sweep.confirm.seeds, "seed")
    return f"{' and '.join(recipes)}, {seeds} each"


def _divided_batches(trials: Iterable[Trial]) -> str:
    """The trials that had too little GPU memory for whole batches, by the number of their parts."""
    numbers = defaultdict[int, list[str]](list)
    for trial in trials:
        parts = trial.effective.get(BATCH_PARTS, 1)
        if parts > 1:
            numbers[parts].append(str(trial.number))
    phrases = []
    for parts, trial_numbers in sorted(numbers.items()):
        noun = "trial" if len(trial_numbers) == 1 else "trials"
        phrases.append(f"batches in {parts} parts in {noun} {', '.join(trial_numbers)}")
    return f"too little for whole batches: {'; '.join(phrases)}" if phrases else ""


def _list_words(values: dict[str, Any] | None) -> str:
    return ", ".join(f"{name} {value}" for name, value in (values or {}).items())


def _moment(seconds: float | None) -> str:
    return "" if seconds is None else time.strftime(_DAY, time.localtime(seconds))


def _time(run: Run) -> str:
    """The time that counts against a budget of hours, and that a comparison of runs shows; from
    start to end for a ledger without attempts.
    """
    if run.elapsed_s:
        return f"{wording.duration(run.elapsed_s)}, without pauses between attempts"
    started, finished = run.about.get("started"), run.about.get("finished")
    return "" if started is None or finished is None else wording.duration(finished - started)

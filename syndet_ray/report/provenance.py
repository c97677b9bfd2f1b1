"""Provenance: how a run was made, as far as it is known."""

import time
from typing import Any

from syndet_ray import wording
from syndet_ray.analysis.compute import compute
from syndet_ray.definitions.recipe import Detector
from syndet_ray.definitions.space import SearchSpace
from syndet_ray.definitions.sweep import Sweep
from syndet_ray.runs import machine, names
from syndet_ray.runs.run import Run

_DAY = "%Y-%m-%d %H:%M %Z"
_HASH_DIGITS = 12


def facts(run: Run) -> list[tuple[str, str]]:
    """How the run was made, as far as run.json and the sweep tell; what is not known is left out."""
    about, sweep = run.about, run.sweep
    real, test = about.get("real") or {}, run.test
    found = {
        "command": about.get("command"),
        "stopped": about.get("stopped"),
        "seed": about.get("seed", sweep.seed),
        "varied": _space(sweep.space),
        "goals": " and ".join(
            f"{goal} {way}d" for goal, way in zip(sweep.objective, sweep.goals, strict=True)
        ),
        "search": f"{sweep.trials} trials by {sweep.sampler}, {len(sweep.fixed)} controls and variants, {sweep.rungs} rungs",
        "pruner": sweep.pruning.name
        if len(sweep.goals) == 1
        else "none, for there are several goals",
        "confirmation": _confirmation(sweep),
        "test set": names.opened(test) if test else "not opened",
        "detector": _detector(sweep.recipe.detector),
        "real data": "stand-in set" if run.stand_in else real.get("path"),
        "classes": ", ".join(about.get("classes", ())),
        "images": _listed(real.get("counts")),
        "objects": _listed(real.get("objects")),
        "data hashes": _listed(
            {split: name[:_HASH_DIGITS] for split, name in real.get("hashes", {}).items()}
        ),
        "notes": "; ".join(real.get("notes", ())),
        "versions": _listed(about.get("versions")),
        "machine": _listed(about.get("machine")),
        "code": _listed(
            {name: machine.commit(state) for name, state in about.get("code", {}).items()}
        ),
        "started": _moment(about.get("started")),
        "finished": _moment(about.get("finished")),
        "time": _between(about.get("started"), about.get("finished")),
        "compute": compute(run.trials, about.get("gpus_per_trial") or 0),
    }
    return [(name, str(value)) for name, value in found.items() if value not in (None, "")]


def _detector(detector: Detector) -> str:
    """ "faster_rcnn with resnet50_fpn_v2, starting weights coco, frozen stages 2"."""
    beginning = {
        "detector.weights": detector.weights,
        "detector.frozen_stages": detector.frozen_stages,
    }
    return f"{detector.architecture} with {detector.backbone}, {names.settings(beginning)}"


def _space(space: tuple[str | SearchSpace, ...]) -> str:
    """What the search varied and within which bounds; the name where a space was never looked up."""
    return "; ".join(part if isinstance(part, str) else _bounds(part) for part in space)


def _bounds(space: SearchSpace) -> str:
    return "; ".join(f"{path}: {names.bounds(parameter)}" for path, parameter in space.items())


def _confirmation(sweep: Sweep) -> str:
    if not sweep.confirm.seeds or not sweep.proposals:
        return ""
    fixed = "the controls and the variants" if sweep.variants else "the controls"
    return f"the best {sweep.confirm.top} and {fixed}, {wording.counted(sweep.confirm.seeds, 'seed')} each"


def _listed(values: dict[str, Any] | None) -> str:
    return ", ".join(f"{name} {value}" for name, value in (values or {}).items())


def _moment(seconds: float | None) -> str:
    return "" if seconds is None else time.strftime(_DAY, time.localtime(seconds))


def _between(started: float | None, finished: float | None) -> str:
    return "" if started is None or finished is None else wording.duration(finished - started)

"""Facts: what verbs show to people, as values for programs that read --json."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from syndet_ray.metrics import AP_VISIBLE, CLASS_AP, ERROR, RECALL_VISIBLE

if TYPE_CHECKING:
    from pathlib import Path

    from syndet_ray.analysis.compare import ComparedRun, Comparison, Entry
    from syndet_ray.analysis.tables import TestLine
    from syndet_ray.data.pool import Pool
    from syndet_ray.data.real import RealData
    from syndet_ray.definitions.loaded_sweep import LoadedSweep
    from syndet_ray.deploy.evaluate import SplitEvaluation
    from syndet_ray.inspection.class_sizes import SizeTest
    from syndet_ray.inspection.distance import Distance
    from syndet_ray.inspection.inspect import DuplicatePair, Inspection, Subject
    from syndet_ray.inspection.statistics import Measurements
    from syndet_ray.runs.prices import Prices
    from syndet_ray.search.replay import Replay
    from syndet_ray.tuning.cost import Cost
    from syndet_ray.tuning.disk import Room
    from syndet_ray.tuning.options import Options


def sweep_facts(name: str, sweep: "LoadedSweep") -> dict[str, Any]:
    """The search of a sweep. Parameters are as its definition has them."""
    from syndet_ray.definitions.space_check import effects_of_numbers

    return {
        "name": name,
        "question": sweep.question,
        "trials": sweep.proposals,
        "controls": list(sweep.controls),
        "variants": sweep.variants,
        "fixed_trials": len(sweep.fixed),
        "parameters": dict(sweep.parameters.items()),
        "without_effect": effects_of_numbers(sweep.parameters, sweep.recipe),
        "sampler": sweep.sampler,
        "objective": sweep.objective,
        "pruner": "none" if len(sweep.goals) > 1 else sweep.pruning.name,
        "rungs": sweep.rungs,
        "first_pruned_rung": sweep.first_pruned_rung,
        "confirm": {"top": sweep.confirm.top, "seeds": sweep.confirm.seeds},
    }


def data_facts(data: "RealData") -> dict[str, Any]:
    """The photos of a sweep; the path is null for the stand-in set."""
    return {
        "path": data.path,
        "stand_in": data.stand_in,
        "images": _lengths(data.pools),
        "classes": data.pools["train"].classes,
        "others": _lengths(data.others),
        "near_copies": data.near_copies,
        "memory_bytes": data.memory_bytes,
    }


def machine_facts(cores: int, gpus: int) -> dict[str, int]:
    """The machine on which the check runs."""
    return {"cores": cores, "gpus": gpus}


def cost_facts(cost: "Cost", prices: "Prices", *, has_nodes: bool = True) -> dict[str, Any]:
    """Time, images and money: at most, and at least if pruning is as early as possible.

    GPU hours, core hours and money are of what trials hold; money is null without prices. All that
    depends on the speed of the nodes is null where this is not known.

    has_nodes  whether it is known what the nodes have; if not, what trials get is null
    """
    use, rates = cost.use, cost.rates
    measured: dict[str, float | None] = {
        "hours": cost.hours,
        "least_hours": cost.least_hours,
        "scoring_hours": cost.scoring_hours,
        "seconds_per_training_image": rates.train_s,
        "seconds_per_scored_image": rates.score_s,
        "seconds_per_scene": rates.scene_s,
        "images_per_second": 1 / rates.train_s,
        "gpu_hours": cost.gpu_hours(cost.trial_hours),
        "least_gpu_hours": cost.gpu_hours(cost.least_trial_hours),
        "core_hours": cost.core_hours(cost.trial_hours),
        "least_core_hours": cost.core_hours(cost.least_trial_hours),
        "money": cost.money(cost.trial_hours, prices),
        "least_money": cost.money(cost.least_trial_hours, prices),
    }
    if not cost.speed_is_known:
        measured = dict.fromkeys(measured)
    return {
        "trainings": cost.trials,
        "parallel": cost.parallel if has_nodes else None,
        "images": cost.images,
        "least_images": cost.least_images,
        "gpus_per_trial": use.gpus_per_trial if has_nodes else None,
        "cores_per_trial": use.cpus_per_trial if has_nodes else None,
        **vars(prices),
        **measured,
    }


def disk_facts(cost: "Cost", room: "Room") -> dict[str, int]:
    """Bytes that a sweep takes at most, and that there are."""
    return {
        "checkpoint_bytes": cost.disk.checkpoints,
        "scene_bytes": cost.disk.scenes,
        "free_bytes": room.free,
        "cache_limit_bytes": room.cache,
    }


def place_facts(
    options: "Options", experiment: str, cluster: "Path | None" = None
) -> dict[str, Any]:
    """Folders, stores and clusters that a run uses, without passwords.

    experiment  what MLflow's store has of the sweep, in words
    cluster     file of the cluster on which the sweep is to run; then MLflow's store is null unless
                it was named, because it lies there
    """
    from syndet_ray.tracking.address import mask
    from syndet_ray.tracking.store import REGISTRY_VARIABLE, store_address, store_file

    uri = options.tracking or (store_address(options.runs) if cluster is None else None)
    address = options.address or cluster or "new"
    return {
        "runs": options.runs,
        "cache": options.cache,
        "storage": None if options.storage is None else mask(options.storage),
        "mlflow": None if uri is None else store_file(uri) or mask(uri),
        "experiment": experiment,
        "registry_variable_ignored": REGISTRY_VARIABLE in os.environ,
        "ray": None if options.local else address,
    }


def inspection_facts(inspection: "Inspection", page: "Path", numbers: "Path") -> dict[str, Any]:
    """The sources, the first of which is the reference, their distances from it, and copies."""
    from syndet_ray.inspection import differences

    return {
        "reference": inspection.reference.name,
        "stand_in": inspection.stand_in,
        "classes": inspection.classes,
        "sources": [_source(subject) for subject in inspection.subjects],
        "distances": [_distance(distance) for distance in inspection.distances],
        "size_tells_class": [_size_test(test) for test in inspection.size_tests],
        "duplicates": [_duplicate(pair) for pair in inspection.duplicates],
        "notes": inspection.notes,
        "answer": differences.headline(inspection),
        "page": page,
        "numbers": numbers,
    }


def evaluation_facts(scores: "SplitEvaluation", out: "Path | None") -> dict[str, Any]:
    """All scores of a model on a split.

    out  the folder that was written; None if none was
    """
    pool = scores.pool
    metrics = scores.evaluation.metrics
    inner = (CLASS_AP, ERROR, AP_VISIBLE, RECALL_VISIBLE)
    return {
        "model": scores.model,
        "data": scores.data,
        "split": scores.split,
        "images": len(pool),
        "trained_on": scores.trained_on,
        "objects": int((~pool.crowd).sum()),
        "metrics": {name: _score(scores, name) for name in metrics if not name.startswith(inner)},
        "classes": _class_scores(scores),
        "visibility": _visibility(scores),
        "errors_ap50": {
            name.removeprefix(ERROR): value
            for name, value in metrics.items()
            if name.startswith(ERROR)
        },
        "absent_classes": scores.evaluation.absent,
        "notes": scores.notes,
        "out": out,
    }


def comparison_facts(comparison: "Comparison", page: "Path | None") -> dict[str, Any]:
    """The compared runs with all their tested recipes; the first run is the reference.

    page  the page that was written; None if none was
    """
    from syndet_ray.report.comparison import sentences

    letters = [run.letter for run in comparison.runs]
    return {
        "test_set": comparison.where,
        "too_few_images": comparison.too_few,
        "stand_in": comparison.stand_in,
        "runs": [_compared_run(run) for run in comparison.runs],
        "settings": {
            setting.name: dict(zip(letters, setting.values, strict=True))
            for setting in comparison.settings
        },
        "answer": sentences(comparison),
        "page": page,
    }


def replay_facts(
    replayed: Sequence[tuple[str, "Replay"]], curves: int, truncated: int, idle: Iterable[str]
) -> dict[str, Any]:
    """The savings and losses of each pruner; arguments as in `listing.replay_table`.

    idle  the pruners that can prune no trial
    """
    unable = set(idle)
    return {
        "curves": curves,
        "pruned_trials_left_out": truncated,
        "orders": replayed[0][1].orders,
        "pruners": [_pruner(name, replay, name not in unable) for name, replay in replayed],
    }


def _pruner(name: str, replay: "Replay", can_prune: bool) -> dict[str, Any]:
    return {
        "name": name,
        "settings": replay.pruning,
        "can_prune": can_prune,
        "saved": replay.saved,
        "best_pruned": replay.best_pruned,
        "top3_pruned": replay.top3_pruned,
        "regret": replay.regret,
        "worst_regret": replay.worst_regret,
    }


def _lengths(pools: Mapping[str, "Pool"]) -> dict[str, int]:
    return {name: len(pool) for name, pool in pools.items()}


def _source(subject: "Subject") -> dict[str, Any]:
    from syndet_ray.inspection.statistics import SHARES, STATISTICS

    measured = subject.measurements
    splits = {split: subject.splits.count(split) for split in dict.fromkeys(subject.splits)}
    counts = measured.class_counts(measured.classes).sum(axis=0)
    return {
        "name": subject.name,
        "images": measured.images,
        "splits": splits,
        "images_without_objects": measured.empty,
        "objects": measured.objects,
        "crowds": measured.crowds,
        "classes": measured.classes,
        "objects_by_class": dict(zip(measured.classes, counts.tolist(), strict=True)),
        "visibility": measured.visibility_kind,
        "statistics": {one.name: _middle(measured, one.name) for one in STATISTICS},
        "shares": {name: measured.share(name) for name in SHARES},
    }


def _middle(measured: "Measurements", name: str) -> dict[str, float] | None:
    """The median and the range of the middle 90 % of the values; None if there are none."""
    import numpy as np

    values, _ = measured.valid(name)
    if not len(values):
        return None
    low, median, high = np.percentile(values, [5, 50, 95], method="nearest")
    return {"median": median, "low": low, "high": high}


def _distance(distance: "Distance") -> dict[str, Any]:
    """A distance; its value is null if it is infinite, because the reference is constant."""
    means = distance.means or (None, None)
    return {
        "source": distance.source,
        "statistic": distance.statistic,
        "value": distance.value,
        "is_infinite": distance.value == float("inf"),
        "low": distance.low,
        "high": distance.high,
        "by_chance": distance.floor,
        "ks": distance.ks,
        "reference_mean": means[0],
        "mean": means[1],
    }


def _size_test(test: "SizeTest") -> dict[str, Any]:
    """A test of whether size tells the class; the reference has no difference."""
    difference = None
    if test.difference is not None:
        difference = {
            "value": test.difference.value,
            "low": test.difference.low,
            "high": test.difference.high,
            "matters": test.difference.matters,
        }
    return {
        "source": test.source,
        "classes": test.classes,
        "value": test.value,
        "low": test.low,
        "high": test.high,
        "by_chance": test.floor,
        "tells": test.tells,
        "difference": difference,
    }


def _duplicate(pair: "DuplicatePair") -> dict[str, Any]:
    places = {
        name: {"source": place.source, "split": place.split, "image": place.image_id}
        for name, place in (("first", pair.first), ("second", pair.second))
    }
    return {**places, "exact": pair.exact, "copy": pair.copy, "bits": pair.bits}


def _score(scores: "SplitEvaluation", name: str) -> dict[str, Any]:
    """A metric and its 95 % interval; null where it has none."""
    low, high = scores.intervals.get(name, (None, None))
    return {"value": scores.evaluation.metrics.get(name), "low": low, "high": high}


def _class_scores(scores: "SplitEvaluation") -> dict[str, Any]:
    pool, classes = scores.pool, {}
    for label, name in enumerate(pool.classes):
        objects = int(((pool.labels == label) & ~pool.crowd).sum())
        classes[name] = {"objects": objects, "ap": _score(scores, CLASS_AP + name)}
    return classes


def _visibility(scores: "SplitEvaluation") -> dict[str, Any]:
    bins = [
        {
            "low": part.low,
            "high": part.high,
            "objects": part.objects,
            "ap": _score(scores, f"{AP_VISIBLE}/{part.name}"),
            "recall": _score(scores, f"{RECALL_VISIBLE}/{part.name}"),
        }
        for part in scores.visibility.bins
    ]
    kind, minimum = scores.visibility.kind, scores.visibility.minimum
    return {"kind": kind, "least_objects": minimum, "bins": bins}


def _compared_run(run: "ComparedRun") -> dict[str, Any]:
    return {
        "letter": run.letter,
        "name": run.name,
        "question": run.question,
        "trials": run.trials,
        "images": run.images,
        "seconds": run.seconds,
        "test_set_opened": run.opened,
        "above_first": run.above_first,
        "p_best": run.p_best,
        "recipes": [_recipe(entry) for entry in run.entries],
    }


def _recipe(entry: "Entry") -> dict[str, Any]:
    line: TestLine = entry.line
    return {
        "name": line.trial_name or line.name,
        "role": line.trial_role,
        "trial": line.trial,
        "best": line.best,
        "simplest": line.simplest,
        "recipe": line.recipe,
        "validation": line.validation,
        "validation_error": line.error,
        "scores": line.scores,
        "test_map_by_seed": line.seeds,
        "diverged": line.diverged,
        "images": entry.images,
        "seconds": entry.seconds,
    }

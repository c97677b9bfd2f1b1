"""Page: the report of a run as one HTML file that needs nothing else."""

import base64
import os
import time
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape

from syndet_ray.report import figures, tables
from syndet_ray.results import OBJECTIVE, RunFolder, Trial

_CAPTIONS = {
    "test_scores": "Test scores with 95 % bootstrap intervals over images.",
    "accuracy_vs_objects": "Validation accuracy against objects per synthetic scene: every searched trial.",
    "learning_curves": "Learning curves of all trials; a cross ends a pruned one.",
    "sheet_training": "What the best recipe was trained on.",
    "predictions": "What the best model finds in the test set.",
}


def write(folder: RunFolder) -> Path:
    """Draws the figures and writes report.html, whole; returns its path."""
    drawn = {path.stem: path for path in figures.draw_all(folder)}
    html = _template().render(**_content(folder, drawn))
    unfinished = folder.report.with_suffix(".unfinished")
    unfinished.write_text(html)
    os.replace(unfinished, folder.report)
    return folder.report


def _template() -> Any:
    environment = Environment(loader=PackageLoader("syndet_ray.report", "."), autoescape=select_autoescape(), trim_blocks=True)
    return environment.get_template("page.html.j2")


def _content(folder: RunFolder, drawn: dict[str, Path]) -> dict[str, Any]:
    about, test, trials = folder.about, folder.test(), folder.trials()
    class_names, class_rows = tables.per_class(test) if test else ([], [])
    return {
        "name": about.get("name", folder.path.name),
        "question": folder.sweep.question,
        "answer": tables.answer(folder),
        "stand_in": about.get("stand_in", False),
        "metrics": tables.MAIN_METRICS,
        "test": test,
        "test_rows": _test_rows(test, trials) if test else [],
        "where": tables.where(test) if test else "",
        "figures": {name: _embedded(path) for name, path in drawn.items()},
        "captions": _CAPTIONS,
        "trials": [_trial_row(trial) for trial in trials],
        "objective": OBJECTIVE,
        "class_names": class_names,
        "class_rows": class_rows,
        "facts": _facts(folder, about),
    }


def _test_rows(test: Any, trials: tuple[Trial, ...]) -> list[dict[str, Any]]:
    by_number = {trial.number: trial for trial in trials}
    return [
        {
            "name": tables.role_name(row.role),
            "trial": row.trial,
            "recipe": tables.recipe_words(by_number[row.trial]) if row.trial in by_number else "",
            "cells": [tables.with_interval(row, metric) for metric in tables.MAIN_METRICS],
        }
        for row in test.rows
    ]


def _trial_row(trial: Trial) -> dict[str, Any]:
    last = trial.rungs[-1].metrics if trial.rungs else {}
    return {
        "number": trial.number,
        "recipe": tables.recipe_words(trial),
        "state": trial.state,
        "reason": trial.reason,
        "images": trial.images,
        "value": last.get(OBJECTIVE),
        "ap50": last.get("val/AP50"),
        "seconds": None if trial.ended is None else round(trial.ended - trial.started),
    }


def _facts(folder: RunFolder, about: dict[str, Any]) -> list[tuple[str, str]]:
    """How the run was made, as far as run.json tells."""
    sweep, real = folder.sweep, about.get("real", {})
    found: list[tuple[str, Any]] = [
        ("seed", sweep.seed),
        ("detector", sweep.recipe.detector.name),
        ("pruner", sweep.pruning.name),
        ("real data", real.get("path") or "stand-in set"),
        ("images", _listed(real.get("counts"))),
        ("data hashes", _listed({split: digest[:12] for split, digest in real.get("hashes", {}).items()})),
        ("notes", "; ".join(real.get("notes", []))),
        ("versions", _listed(about.get("versions"))),
        ("machine", _listed(about.get("machine"))),
    ]
    if about.get("finished") and about.get("started"):
        found.append(("time", f"{(about['finished'] - about['started']) / 60:.1f} minutes, "
                              f"ended {time.strftime('%Y-%m-%d %H:%M', time.localtime(about['finished']))}"))  # fmt: skip
    return [(name, str(value)) for name, value in found if value not in (None, "")]


def _listed(values: dict[str, Any] | None) -> str:
    return ", ".join(f"{name} {value}" for name, value in (values or {}).items())


def _embedded(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()

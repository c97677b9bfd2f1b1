"""Catalogue: all figures of a run. Each is a PNG, with its numbers as CSV and Parquet."""

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl

from syndet_ray.files import make_folder
from syndet_ray.progress import Progress
from syndet_ray.report.figures import (
    agreement,
    comparisons,
    exchange,
    importance,
    learning,
    mistakes,
    obstruction,
    pareto,
    responses,
    sheets,
    usage,
)
from syndet_ray.report.figures.plot import STYLE, Plot, SavedPlot, save
from syndet_ray.runs.run import Run

_FIGURES: dict[str, Callable[[Run], Plot | None]] = {
    "test_scores": comparisons.test_scores,
    "accuracy_vs_obstruction": obstruction.accuracy_vs_obstruction,
    "recall_vs_obstruction": obstruction.recall_vs_obstruction,
    "exchange": exchange.exchange,
    "importance": importance.importance,
    "parallel_coordinates": importance.parallel_coordinates,
    "variants": comparisons.variants,
    "validation_vs_test": agreement.validation_vs_test,
    "pareto": pareto.pareto,
    "learning_curves": learning.learning_curves,
    "trials_at_once": usage.trials_at_once,
    "sheet_training": sheets.training_sheet,
    "best_predictions": sheets.best_predictions,
    "worst_predictions": sheets.worst_predictions,
    "error_kinds": mistakes.error_kinds,
    "confusion": mistakes.confusion,
    "class_obstruction": mistakes.class_obstruction,
}


def plot_all(run: Run, folder: Path, progress: Progress | None = None) -> dict[str, SavedPlot]:
    """Plots every figure that the run has numbers for into a folder, which is made.

    Returns the figures by name. `progress` gets (figures plotted, figures in all) after each.
    """
    make_folder(folder)
    with mpl.rc_context(STYLE):
        plots = {name: plot(run) for name, plot in _FIGURES.items()} | responses.responses(run)
        present = {name: plot for name, plot in plots.items() if plot is not None}
        saved = {}
        for name, plot in present.items():
            saved[name] = save(plot, folder / name)
            if progress is not None:
                progress(len(saved), len(present))
        return saved

"""Page: the report of a run as one HTML file that needs nothing else."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from syndet_ray.analysis import (
    five_rows,
    importance,
    obstruction,
    response,
    selection,
    tables,
    varied,
)
from syndet_ray.analysis.spending import spending
from syndet_ray.analysis.usage import usage
from syndet_ray.definitions.program import program_name
from syndet_ray.files import write_whole
from syndet_ray.metrics import MAIN_METRICS
from syndet_ray.progress import Progress
from syndet_ray.report import answer, document, findings, provenance, words
from syndet_ray.report.figures import importance as importance_figures
from syndet_ray.report.figures import learning, responses
from syndet_ray.report.figures.catalogue import plot_all
from syndet_ray.report.figures.plot import SavedPlot
from syndet_ray.report.usage import sentences
from syndet_ray.runs import names
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.results import Trial
from syndet_ray.runs.run import Run
from syndet_ray.search import search


def write(run: Run, folder: RunFolder, progress: Progress | None = None) -> Path:
    """Plots the figures and writes report.html into a folder; returns its path.

    folder  that of the run, or another one for its report alone

    `progress` is called with (figures plotted, figures in all).
    """
    text = html(run, plot_all(run, folder.figures, progress))
    path = write_whole(folder.report, text.encode())
    folder.report_error.unlink(missing_ok=True)  # of an earlier attempt
    return path


def html(run: Run, figures: Mapping[str, SavedPlot]) -> str:
    """Returns the page with `figures` by their names; a sentence stands for a missing one."""
    return document.html("page.html.j2", figures, **content(run))


def programs(trials: Iterable[Trial]) -> str:
    """The training programs of the user that trained some of the trials, by name."""
    commands = {trial.recipe.detector.program for trial in trials} - {""}
    return ", ".join(sorted(map(program_name, commands)))


def content(run: Run) -> dict[str, Any]:
    """Everything on the page except its figures."""
    trials, test, sweep = run.trials, run.test, run.sweep
    best = tables.best_number(trials, test)
    lines = tables.test_lines(test, trials) if test else ()
    important = importance.importances_of(run)
    used = usage(run)
    spent = spending(run, used)
    return {
        "name": run.about.get("name", run.path.name),
        "programs": programs(trials),
        "question": sweep.question,
        "answer": answer.answer(run),
        "stand_in": run.stand_in,
        "unfinished": "unfinished" if run.halt else "running",
        "where": names.test_set_name(test) if test else "",
        "opened": names.openings(test) if test else "",
        "too_few": "Too few images for intervals. " if test and test.is_too_small else "",
        "shown": words.shown_recipes(len(lines)),
        "retrained": any(line.scored != (line.trial,) for line in lines),
        "scored_once": words.SCORED_ONCE,
        "metrics": MAIN_METRICS,
        "test": lines,
        "winner": tables.has_winner(trials, test),
        "confirmed": any(line.confirmed for line in lines),
        "against": list(dict.fromkeys(control for line in lines for control in line.differences)),
        "variants": tables.variant_lines(run),
        "five": five_rows.five_rows(run),
        "responses": _responses(run),
        "exchange": findings.exchange_sentences(run),
        "importance": important,
        "curves_shown": learning.plotted_words(run),
        "lines_shown": importance_figures.plotted_words(run),
        "without_pruned": words.survivors(important.pruned, "so shares may be too small"),
        "costs": names.COSTS,
        "front": response.front(trials, sweep),
        "obstruction": findings.obstruction_sentences(run),
        "groups": obstruction.groups(run),
        "limits": words.limits(test) if test else "",
        "trials": tables.trial_table(trials, best),
        "usage": sentences(used, spent),
        "spent": spent,
        "schedules": words.SCHEDULES if any(_changes(trial) for trial in trials) else "",
        "others_photos": words.others_photos([sweep.recipe, *sweep.fixed.values()]),
        "twins": [search.twins_message(*pair) for pair in selection.twins(trials)],
        "failures": tables.failures(trials),
        "classes": tables.class_table(test, trials) if test else None,
        "facts": provenance.facts(run),
        "sweep": sweep.model_dump_json(indent=1),
    }


def _responses(run: Run) -> list[tuple[str, str, str]]:
    """The name of the figure, the setting and the caption of each response curve."""
    is_only = len(varied.settings(run.sweep)) == 1
    entries = []
    for curve in responses.curves(run):
        caption = responses.caption(curve, is_only=is_only)
        entries.append((f"response_{curve.setting.key}", curve.setting.name, caption))
    return entries


def _changes(trial: Trial) -> bool:
    """True if the mix of a trial changed during training."""
    return trial.recipe.mix.schedule in ("staged", "annealed")

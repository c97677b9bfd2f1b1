"""Terminal: a search as one quiet live display, or as plain lines where the output is no terminal."""

import sys
import time
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from syndet_ray.results import OBJECTIVE, TestRow, TestScores, Trial, best_trial
from syndet_ray.sweep import CONTROL_CHANGES

_STYLE = {"COMPLETE": "green", "PRUNED": "yellow", "FAILED": "red", "RUNNING": ""}
_SHOWN_METRICS = ("mAP", "AP50", "AP75")  # with their intervals as many as fit into 100 columns
_SHORT = {"mix.synthetic": "synthetic", "scene.objects": "objects", "training.learning_rate": "lr"}


def display(console: Console) -> "Plain | Bar":
    """The live display on a terminal, plain lines elsewhere."""
    return Bar(console) if console.is_terminal else Plain(console)


class Plain:
    """One line an event, for logs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._seen: dict[int, tuple[str, int]] = {}

    def note(self, text: str) -> None:
        self._line(text)

    def begin(self, trials: int, images: int) -> None:
        self._line(f"{trials} trials of {images} images each, controls and variants included")

    def trial(self, trial: Trial) -> None:
        if self._seen.get(trial.number) == (trial.state, trial.images):
            return  # a checkpoint or a retry: nothing a reader waits for
        self._seen[trial.number] = trial.state, trial.images
        if trial.state != "RUNNING":
            self._line(f"trial {trial.number} {trial.state}: {trial.reason}")
        elif trial.rungs:
            self._line(f"trial {trial.number}: {trial.images} images, {OBJECTIVE} {trial.value:.4f}")
        else:
            self._line(f"trial {trial.number} starts: {settings(trial)}")

    def progress(self, what: str, done: int, total: int) -> None:
        if done == total:
            self._line(f"{what}: {total} done")

    def end(self) -> None:
        """Nothing is left open."""

    def _line(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class Bar:
    """One live block: a bar, the best so far, and the running trials."""

    def __init__(self, console: Console) -> None:
        self._trials: dict[int, Trial] = {}
        self._total, self._images, self._inherited = 0, 0, 0
        self._since = time.monotonic()
        self._note = ""
        self._task: tuple[str, int, int, float] | None = None  # what, done, of how many, since when
        self._live = Live(console=console, get_renderable=self._draw, refresh_per_second=2, transient=True)
        self._live.start()

    def note(self, text: str) -> None:
        self._note = text

    def begin(self, trials: int, images: int) -> None:
        self._total, self._images, self._since, self._note = trials, images, time.monotonic(), ""
        self._inherited = self._seen_images()  # by an earlier attempt, in no time of ours

    def trial(self, trial: Trial) -> None:
        self._trials[trial.number] = trial

    def progress(self, what: str, done: int, total: int) -> None:
        if self._task is None or self._task[0] != what:
            self._task = what, done, total, time.monotonic()
        self._task = None if done == total else (what, done, total, self._task[3])

    def end(self) -> None:
        self._live.stop()

    def _draw(self) -> Group:
        parts: list[Any] = []
        if self._total:
            ended = [trial for trial in self._trials.values() if trial.state != "RUNNING"]
            bar = Table.grid()  # a bar alone does not end its line
            bar.add_row(ProgressBar(total=self._total * self._images, completed=self._progress_images(), width=60))
            parts += [bar, self._summary(ended), self._best(), self._running()]
        if self._task is not None:
            parts.append(_task_line(*self._task))
        if self._note:
            parts.append(Text(self._note, style="dim"))
        return Group(*parts)

    def _summary(self, ended: list[Trial]) -> Text:
        counts = [f"{len(ended)}/{self._total} trials"]
        for state in ("PRUNED", "FAILED"):
            if count := sum(trial.state == state for trial in ended):
                counts.append(f"{count} {state.lower()}")
        elapsed = time.monotonic() - self._since
        counts.append(f"{_clock(elapsed)} gone")
        trained = self._progress_images() - self._inherited
        if trained > 0:
            left = (self._total * self._images - self._progress_images()) * elapsed / trained
            counts.append(f"about {_clock(left)} left")
        return Text(" · ".join(counts))

    def _best(self) -> Text:
        best = best_trial(list(self._trials.values()))
        if best is None:
            return Text("no trial has finished yet", style="dim")
        return Text.assemble(
            "best so far  ", (f"{OBJECTIVE} {best.value:.3f}", "bold"), f"  trial {best.number}: {settings(best)}"
        )

    def _running(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in ("trial", "images", OBJECTIVE, "recipe"):
            table.add_column(name, justify="left" if name == "recipe" else "right", no_wrap=True)
        for trial in self._trials.values():
            if trial.state == "RUNNING":
                value = "" if trial.value is None else f"{trial.value:.3f}"
                table.add_row(str(trial.number), f"{trial.images}/{self._images}", value, settings(trial))
        return table

    def _seen_images(self) -> int:
        return sum(trial.images for trial in self._trials.values())

    def _progress_images(self) -> int:
        """Images of the whole budget that are behind us: a pruned or failed trial leaves the rest of its share unused."""
        return sum(trial.images if trial.state == "RUNNING" else self._images for trial in self._trials.values())


def _task_line(what: str, done: int, total: int, since: float) -> Table:
    """A bar of its own for what is not training: rendering, decoding, cutting out."""
    line = Table.grid(padding=(0, 1))
    line.add_column(width=24, no_wrap=True)
    left = (total - done) * (time.monotonic() - since) / done if done else None
    told = f"{done}/{total}" if left is None else f"{done}/{total} · about {_clock(left)} left"
    line.add_row(what, ProgressBar(total=total, completed=done, width=36), Text(told, style="dim"))
    return line


def settings(trial: Trial) -> str:
    """What makes this trial different, in one line."""
    if not trial.params:
        return trial.kind.replace("_", " ") + (" (control)" if trial.kind in CONTROL_CHANGES else "")
    return ", ".join(f"{_SHORT.get(path, path)} {_brief(value)}" for path, value in trial.params.items())


def test_table(scores: TestScores) -> Table:
    """Best recipe and controls on the real test set, with 95 % bootstrap intervals over its images."""
    where = "stand-in images" if scores.stand_in else "real photos"
    title = f"On the test set ({scores.images} {where}, opened once)"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for name in ("", "trial", *_SHOWN_METRICS):
        table.add_column(name, justify="left" if not name else "right", no_wrap=bool(name))
    top = max(row.metrics["mAP"] for row in scores.rows)
    for name, row in _told_once(scores.rows):
        cells = [f"{row.metrics[key]:.3f}{_interval(row.intervals.get(key))}" for key in _SHOWN_METRICS]
        style = "bold" if row.metrics["mAP"] == top else ""
        table.add_row(name, str(row.trial), *cells, style=style)
    return table


def _told_once(rows: Sequence[TestRow]) -> list[tuple[str, TestRow]]:
    """The rows and their names; where the best is a control or a variant, it stands there once."""
    best = {row.trial for row in rows if row.role == "best"}
    fixed = {row.trial for row in rows if row.role != "best"}
    names = [
        row.role.replace("_", " ") + (" (best)" if row.role != "best" and row.trial in best else "") for row in rows
    ]
    return [(name, row) for name, row in zip(names, rows, strict=True) if row.role != "best" or row.trial not in fixed]


def console() -> Console:
    """Standard output; a hundred columns where it is no terminal."""
    return Console(width=None if sys.stdout.isatty() else 100)


def _interval(bounds: tuple[float, float] | None) -> str:
    return "" if bounds is None else f" [{bounds[0]:.2f}, {bounds[1]:.2f}]"


def _brief(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"

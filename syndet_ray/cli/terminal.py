"""Terminal: the progress of a run as a live display, or as lines if the output is a file."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TextIO, cast

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from syndet_ray import wording
from syndet_ray.analysis.selection import search_ranking, winner
from syndet_ray.cli.marks import ShowLine, show_always
from syndet_ray.cli.options import with_flags
from syndet_ray.cli.stream import lasting
from syndet_ray.metrics import OBJECTIVE
from syndet_ray.runs import names
from syndet_ray.runs.results import Trial

Clock = Callable[[], float]  # seconds from some moment on

# columns of the bar of what is counted: a name and the time left fit with it into 80 columns
_WORK_WIDTH = 18
WIDTH = 100  # columns of a file or a pipe
_MOST_COUNTS = 4  # lines of what is counted at one time, such as the scenes of several trials
# characters that begin each line of `check`, as listing.py writes it: what the line is about
LABEL_WIDTH = 9


def display(
    console: Console, clock: Clock = time.monotonic, show_line: ShowLine = show_always
) -> "Plain | Bar":
    """The live display on a terminal that can move its cursor, plain lines elsewhere.

    clock      the seconds of the present; of what is shown later than it happens, those of that
               time
    show_line  prints a line that stays, or leaves it out
    """
    kind = Bar if console.is_interactive else Plain
    return kind(console, clock, show_line)


class Plain:
    """One line an event, for logs."""

    def __init__(
        self, console: Console, clock: Clock = time.monotonic, show_line: ShowLine = show_always
    ) -> None:
        self._console, self._clock, self._show_line = _lasting(console), clock, show_line
        self._seen: dict[int, tuple[str, int]] = {}
        self._last = ""
        self._earlier: dict[int, Trial] = {}  # trials of an earlier attempt, see `begin`
        self._total = 0
        self._has_controls = False

    def note(self, text: str) -> None:
        self._line(text)

    def begin(self, trials: int, images: int) -> None:
        """Prints how many trials there are. Those that came before are of an earlier attempt: one
        line has their number.
        """
        earlier = list(self._earlier.values())
        if not self._total and not _is_all_done(earlier, trials):
            length = f"of {images} images unless a recipe has its own number"
            count = wording.counted(trials, "trial")
            self._line(f"{count} in all, {length}")
        if not self._total and earlier:
            self._line(_earlier_words(earlier, trials))
        elif self._total and trials > self._total:
            more = wording.counted(trials - self._total, "more trial")
            controls = " and the controls" if self._has_controls else ""
            self._line(f"the best recipes{controls} are trained again: {more}")
        self._total = trials

    def trial(self, trial: Trial) -> None:
        if self._seen.get(trial.number) == (trial.state, trial.images):
            return  # a checkpoint or a retry: nothing a reader waits for
        self._seen[trial.number] = trial.state, trial.images
        self._has_controls |= trial.role == "control"
        if not self._total:
            self._earlier[trial.number] = trial
        elif trial.state != "RUNNING":
            reason = " ".join(trial.reason.split())  # a library's message may have several lines
            self._line(f"trial {trial.number} {trial.state}: {reason}")
        elif trial.rungs:
            self._line(
                f"trial {trial.number}: {trial.images} images, {OBJECTIVE} {trial.value:.4f}"
            )
        else:
            self._line(f"trial {trial.number} starts: {names.trial_words(trial)}")

    def progress(self, what: str, done: int, total: int) -> None:
        line = f"{what}: {total} done"
        if done == total and line != self._last:  # such as a search that is done again and again
            self._line(line)

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Prints what begins; the next line shows that it is over."""
        self._line(what)
        yield

    def end(self) -> None:
        """Does nothing: every line is complete."""

    def _line(self, text: str) -> None:
        self._last = text
        line = partial(
            self._console.print, with_flags(text), markup=False, highlight=False, soft_wrap=True
        )
        self._show_line(self._clock(), line)


def _is_all_done(trials: Sequence[Trial], total: int) -> bool:
    return sum(trial.state != "RUNNING" for trial in trials) == total


def _earlier_words(trials: Sequence[Trial], total: int) -> str:
    """Says how far an earlier attempt came: "3 of 8 trials are done; 1 was interrupted and
    continues".
    """
    done = sum(trial.state != "RUNNING" for trial in trials)
    words = f"{done} of {wording.counted(total, 'trial')} {'is' if done == 1 else 'are'} done"
    if not done:
        words = "no trial is done yet"
    interrupted = len(trials) - done
    if interrupted == 1:
        words += "; 1 was interrupted and continues"
    elif interrupted:
        words += f"; {interrupted} were interrupted and continue"
    return words


@dataclass(frozen=True, eq=False, kw_only=True)
class _Work:
    """Work other than training: its name, its start, and its progress.

    total  None for a step, which has no parts to count
    """

    what: str
    since: float
    done: int = 0
    total: int | None = None


class Bar:
    """One live block: a bar, the best so far, the running trials, and other work.

    A run has two phases, each with a separate bar: the search, and from the second `begin` on the
    trainings that confirm its best recipes.
    """

    def __init__(
        self, console: Console, clock: Clock = time.monotonic, show_line: ShowLine = show_always
    ) -> None:
        self._clock, self._show_line = clock, show_line
        self._trials: dict[int, Trial] = {}
        self._total, self._images, self._inherited = 0, 0, 0
        self._confirming = False
        self._since = clock()
        self._steps: list[_Work] = []  # each within the one before it
        self._counts: dict[str, _Work] = {}  # what is counted meanwhile, by its name
        self._live = Live(
            console=_lasting(console),
            get_renderable=self._draw,
            refresh_per_second=2,
            transient=True,
        )
        self._live.start()

    def note(self, text: str) -> None:
        """Stays: it is printed above the block, which is gone when the run is over."""
        line = partial(self._live.console.print, with_flags(text), markup=False, highlight=False)
        self._show_line(self._clock(), line)

    def begin(self, trials: int, images: int) -> None:
        if not self._total and self._trials:
            self.note(_earlier_words(list(self._trials.values()), trials))
        self._confirming = self._total > 0
        self._total, self._images, self._since = trials, images, self._clock()
        self._inherited = self._trained_images()  # by an earlier attempt, in no time of ours

    def trial(self, trial: Trial) -> None:
        self._trials[trial.number] = trial

    def progress(self, what: str, done: int, total: int) -> None:
        before = self._counts.pop(what, None)
        if done < total:
            since = self._clock() if before is None else before.since
            self._counts[what] = _Work(what=what, since=since, done=done, total=total)

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Shows the work of the block and its duration until its end; counted work in the block is
        shown in its place.
        """
        step = _Work(what=what, since=self._clock())
        self._steps.append(step)
        try:
            yield
        finally:
            self._steps.remove(step)

    def end(self) -> None:
        self._live.stop()

    def _draw(self) -> Group:
        parts: list[Any] = []
        if self._total:
            total = max(1, self._to_train())
            bar = Table.grid()  # a bar alone does not end its line
            bar.add_row(ProgressBar(total=total, completed=self._trained_images(), width=60))
            parts += [bar, self._summary(), self._best()]
            running = self._running()
            parts += [running] if running.row_count else []
        return Group(*parts, *(_work_line(work, self._clock()) for work in self._work()))

    def _work(self) -> list[_Work]:
        """The work that is shown: counted work, or else the innermost step."""
        counts = list(self._counts.values())
        return counts[-_MOST_COUNTS:] or self._steps[-1:]

    def _phase(self) -> list[Trial]:
        """The trials so far of the phase that the bar is about."""
        return [
            trial
            for trial in self._trials.values()
            if (trial.role == "confirmation") == self._confirming
        ]

    def _expected_trials(self) -> int:
        """The number of trials of this phase in all."""
        return self._total - (len(self._trials) - len(self._phase()))

    def _summary(self) -> Text:
        ended = [trial for trial in self._phase() if trial.state != "RUNNING"]
        done = f"{len(ended)}/{self._expected_trials()}"
        counts = [f"confirming: {done} trainings" if self._confirming else f"{done} trials"]
        for state in ("PRUNED", "FAILED"):
            if count := sum(trial.state == state for trial in ended):
                counts.append(f"{count} {state.lower()}")
        elapsed = self._clock() - self._since
        counts.append(f"{_clock(elapsed)} elapsed")
        images = self._trained_images()
        trained, missing = images - self._inherited, self._to_train() - images
        if trained > 0 and missing > 0:
            counts.append(f"about {_clock(missing * elapsed / trained)} left")
        return Text(" · ".join(counts))

    def _best(self) -> Text:
        """The best recipe when all confirmations are over; before, the best single training.

        Before that, luck would decide which recipe has a mean already.
        """
        trials = list(self._trials.values())
        over = (
            self._confirming
            and all(trial.state != "RUNNING" for trial in trials)
            and len(trials) >= self._total
        )
        best = winner(trials) if over else None
        if best is not None and best.error is not None:
            value = f"{OBJECTIVE} {best.mean:.3f} ± {best.error:.3f}"
            seeds = wording.counted(len(best.trainings), "seed")
            origin = f"  {seeds} of trial {best.trial.number}: "
            return Text.assemble("best  ", (value, "bold"), origin, names.trial_words(best.trial))
        ahead = next(iter(search_ranking(trials)), None)
        if ahead is None:
            return Text("no trial has finished yet", style="dim")
        name = "best of the search" if self._confirming else "best so far"
        recipe = f"  trial {ahead.trial.number}: {names.trial_words(ahead.trial)}"
        return Text.assemble(f"{name}  ", (f"{OBJECTIVE} {ahead.mean:.3f}", "bold"), recipe)

    def _running(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name, width in (("trial", 5), ("images", 11), (OBJECTIVE, 7)):
            table.add_column(name, justify="right", no_wrap=True, min_width=width)
        table.add_column("recipe")  # which alone gives way
        for trial in self._trials.values():
            if trial.state == "RUNNING":
                value = "" if trial.value is None else f"{trial.value:.3f}"
                images = f"{trial.images}/{self._budget(trial)}"
                recipe = Text(names.trial_words(trial), no_wrap=True, overflow="ellipsis")
                table.add_row(str(trial.number), images, value, recipe)
        return table

    def _budget(self, trial: Trial) -> int:
        return trial.recipe.training.images

    def _trained_images(self) -> int:
        """Images of this phase that are behind us: a pruned or failed trial leaves the rest of its
        share unused.
        """
        return sum(
            trial.images if trial.state == "RUNNING" else self._budget(trial)
            for trial in self._phase()
        )

    def _to_train(self) -> int:
        """Images of this phase; of a trial that has not begun, as many as the sweep's own recipe
        has.
        """
        phase = self._phase()
        return sum(map(self._budget, phase)) + (self._expected_trials() - len(phase)) * self._images


def _work_line(work: _Work, now: float) -> Table:
    """A line for work that is not training: starting Ray, decoding, rendering. It has a bar if the
    amount of work is known.
    """
    line = Table.grid(padding=(0, 1))
    line.add_column(min_width=24, no_wrap=True)
    elapsed = now - work.since
    if work.total is None:
        line.add_row(work.what, Text(_clock(elapsed), style="dim"))
        return line
    words = f"{work.done}/{work.total}"
    if work.done and elapsed:
        left = (work.total - work.done) * elapsed / work.done
        words += f" · {work.done / elapsed:.3g}/s · about {_clock(left)} left"
    else:
        words += f" · {_clock(elapsed)} elapsed"
    bar = ProgressBar(total=work.total, completed=work.done, width=_WORK_WIDTH)
    line.add_row(work.what, bar, Text(words, style="dim"))
    return line


def console(*, on_stderr: bool = False) -> Console:
    """Standard output; if it is no terminal, with 100 columns, or as many as COLUMNS says.

    Writing to it never fails: Rich would end the process if the reader is gone, as with `| head`.
    Names and errors are printed unchanged: brackets and colons in them are no markup.

    on_stderr  uses standard error, for progress if a program reads standard output
    """
    stream = lasting(sys.stderr if on_stderr else sys.stdout)
    has_width = stream.isatty() or "COLUMNS" in os.environ
    return _lasting(
        Console(
            width=None if has_width else WIDTH,
            # FORCE_COLOR asks for colours in a log, not for a display that moves the cursor there
            force_interactive=None if stream.isatty() else False,
            stderr=on_stderr,
            markup=False,
            emoji=False,
            highlight=False,
        )
    )


def _lasting(console: Console) -> Console:
    """The same console, to which writing never fails from now on."""
    console.file = cast(TextIO, lasting(cast(TextIO, console.file)))
    return console


def print_lines(console: Console, lines: Iterable[str]) -> None:
    """Prints lines that begin with a label of nine characters.

    In a terminal a long line continues below its text, not below its label. In a file or a pipe
    each stays one line, for those who search it.
    """
    for line in lines:
        if not console.is_terminal:
            console.print(line, soft_wrap=True)
            continue
        grid = Table.grid()
        grid.add_column(width=LABEL_WIDTH)
        grid.add_column(overflow="fold")
        grid.add_row(line[:LABEL_WIDTH], line[LABEL_WIDTH:])
        console.print(grid)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"

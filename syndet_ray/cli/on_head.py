"""On the head: verbs that another machine calls there: start, follow, stop, end (see `STATE`).

`python -m syndet_ray.cli.on_head VERB SUBMISSION [WORDS]`, in the folder of the submission's files.
"""

import json
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

from syndet_ray.cli import terminal
from syndet_ray.cli.interruption import treat_as_ctrl_c
from syndet_ray.cli.marks import Marker, show_always
from syndet_ray.cli.remote_submission import STATE
from syndet_ray.clusters.head import ANSWER
from syndet_ray.clusters.submission import Submission
from syndet_ray.errors import SyndetError
from syndet_ray.runs.event_file import Tail
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.origins import add_relative_paths, replace_paths

DETACHED = 10  # exit status of `follow` after Ctrl-C
_END_S = 60.0  # an orderly end takes seconds; the machine elsewhere waits twice as long
_LOOK_EVERY_S = 0.3  # a person sees no delay


def start(submission: Submission, run: str, *command: str) -> None:
    """Starts a command, and answers with the id of its process, or with None if the run of the
    submission still goes on.

    run  the folder of the run that it continues, or empty
    """
    _answer({"pid": submission.start(command, run)})


def follow(submission: Submission, newest_mark: str | None = None) -> None:
    """Shows the run of a submission until it ends, or until Ctrl-C.

    newest_mark  that has arrived of an earlier display, see `marks`; None shows no marks
    """
    treat_as_ctrl_c()
    console = terminal.console()
    show_line = show_always if newest_mark is None else Marker(console.file, float(newest_mark))
    try:
        run = _awaited_run(submission)
        if run is not None:
            from syndet_ray.tuning import follow as following

            open_display = partial(terminal.display, console, show_line=show_line)
            following.follow(run, open_display, partial(replace_paths, all_origins(submission)))
    except KeyboardInterrupt:
        raise SystemExit(DETACHED) from None
    except SyndetError as error:  # the machine that fetches the run will meet it too
        console.print(str(error), soft_wrap=True)


def all_origins(submission: Submission) -> dict[str, str]:
    """Returns where each path of a submission comes from: {path there: path elsewhere}."""
    return add_relative_paths(submission.origins, submission.files)


def _awaited_run(submission: Submission) -> RunFolder | None:
    """The run of a submission, once its process shows it; None if the process ends before."""
    console = terminal.console()
    display = terminal.display(console)
    shown = ""
    try:
        with ExitStack() as step:
            while True:
                is_running = submission.is_running
                run = submission.run
                if run is not None and (not is_running or _is_shown(run, submission.began)):
                    return run
                if not is_running:
                    return None
                line = submission.last_line()
                if line != shown:  # a step lasts until the next one
                    step.close()
                    step.enter_context(display.step(line))
                    shown = line
                time.sleep(_LOOK_EVERY_S)
    finally:
        display.end()


def _is_shown(run: RunFolder, since: float) -> bool:
    """True if an attempt at the run has begun since that time, in seconds since 1970."""
    from syndet_ray.tuning.shown import SHOWN

    events = Tail(run.path / SHOWN).new_events()
    return any(event["event"] == "attempt" and event["time"] >= since for event in events)


def state(submission: Submission, ledger_bytes: str = "0") -> None:
    """Answers with the state of a submission: its run, "" if there is none, and when that started;
    whether its process has begun to carry the run out, whether it still does, the error that
    ended the process, where its files come from, and the SHA-256 of the beginning of its ledger.

    ledger_bytes  the length of that beginning
    """
    run, origins = submission.run, all_origins(submission)
    has_begun = run is not None and _is_shown(run, submission.began)
    _answer(
        {
            "run": "" if run is None else str(run.path),
            "started": None if run is None else run.about["started"],
            "has_begun": has_begun,
            "goes_on": _goes_on(submission),
            "error": replace_paths(origins, submission.error()),
            "origins": origins,
            "ledger": "" if run is None else run.ledger.hash_of_beginning(int(ledger_bytes)),
        }
    )


def stop(submission: Submission) -> None:
    """Asks for the end of a run in order, and waits for it a while.

    Answers with whether there was something to end, whether that still takes time, the run, "" if
    none had begun, and the status with which it has ended, "" for none.
    """
    is_asked = _goes_on(submission) and submission.stop()
    latest = time.monotonic() + _END_S
    while is_asked and submission.is_running and time.monotonic() < latest:
        time.sleep(_LOOK_EVERY_S)
    run = submission.run
    _answer(
        {
            "is_asked": is_asked,
            "goes_on": submission.is_running,
            "run": "" if run is None else str(run.path),
            "status": "" if run is None else _status(run, submission.began),
        }
    )


def _status(run: RunFolder, since: float) -> str:
    """The status with which an attempt at a run has ended that began after that time, or ""."""
    from syndet_ray.tuning.follow import end_of

    outcome = end_of(run).outcome if _is_shown(run, since) else None
    return "" if outcome is None else outcome.status


def _goes_on(submission: Submission) -> bool:
    """True while the process of a submission has not ended its run."""
    run = submission.run
    if not submission.is_running or run is None or not _is_shown(run, submission.began):
        return submission.is_running
    return not _is_over(run)


def _is_over(run: RunFolder) -> bool:
    """True if the newest attempt at a run has ended; its process may take a moment longer."""
    from syndet_ray.tuning.follow import end_of

    end = end_of(run)
    return end.outcome is not None or bool(end.error) or not run.is_carried_out()


def _answer(facts: dict[str, object]) -> None:
    print(f"\n{ANSWER}{json.dumps(facts)}", flush=True)


def main() -> None:
    """Carries out the verb of the command line."""
    verbs: dict[str, Callable[..., None]] = {
        "start": start,
        "follow": follow,
        "stop": stop,
        STATE: state,
    }
    verb, folder, *words = sys.argv[1:]
    with suppress(BrokenPipeError):
        verbs[verb](Submission(Path(folder)), *words)


if __name__ == "__main__":
    main()

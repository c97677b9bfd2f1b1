"""Failure: what an error that ends a run leaves for its user."""

from syndet_ray.errors import SyndetError
from syndet_ray.runs.folder import RunFolder
from syndet_ray.wording import TRACEBACK, command_line, resume_hint


def note_run(error: Exception, folder: RunFolder | None) -> None:
    """Adds to an error how its run is resumed, as notes that its handler may show.

    The traceback of an error that is no SyndetError goes to the run's error.log, whose path is
    another note. Does nothing without a run, or for an error that says itself how to resume.
    """
    if folder is None or command_line("resume", folder.path) in str(error):
        return
    if not isinstance(error, SyndetError):
        log = folder.log_error(error)
        if log is not None:
            error.add_note(f"{TRACEBACK}{log}")
    error.add_note(resume_hint(folder.path))

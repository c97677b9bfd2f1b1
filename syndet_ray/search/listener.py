"""Listener: who copies a search elsewhere, trial by trial."""

import math

from syndet_ray.runs.results import Trial


class Listener:
    """Hears of every trial of a search, as the ledger has it. Every method is called from the
    driver's thread.

    Each method may be overridden, and does nothing here.
    """

    def update(self, trial: Trial) -> None:
        """Takes a trial after each of its events; of several calls for one trial, the last says
        all.
        """

    def interrupt(self, trial: Trial) -> None:
        """Takes a trial that is left unfinished, for a later `resume`."""

    def flush(self, limit_s: float = math.inf) -> None:
        """Waits until what was heard is written, at most limit_s; called once the search is over."""

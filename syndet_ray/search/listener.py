"""Listener: the base class of what is given every trial of a search as it changes, such as the copy
in MLflow.
"""

import math

from syndet_ray.runs.results import Trial


class Listener:
    """Gets every trial of a search as it changes, as the ledger has it. All calls come from the
    driver's thread. Each method may be overridden, and does nothing here.
    """

    def update(self, trial: Trial) -> None:
        """Takes a trial after each of its events; the last call for a trial has all that the
        earlier ones had.
        """

    def interrupt(self, trial: Trial) -> None:
        """Takes a trial that stays unfinished until a later `resume`."""

    def flush(self, limit_s: float = math.inf) -> None:
        """Waits until all trials are written, at most limit_s; called when the search is over.

        What is not written then is left to a later `resume`: no thread tries it again, because it
        would disturb that.
        """

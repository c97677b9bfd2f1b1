"""Trial scenes: has the scenes of each trial rendered before it starts; runs in the driver."""

from collections.abc import Callable
from pathlib import Path

from syndet_ray.errors import MachineError, SyndetError, reason
from syndet_ray.progress import Note
from syndet_ray.runs.results import Trial
from syndet_ray.search.search import Search
from syndet_ray.search.task import RunSettings
from syndet_ray.workers import disk
from syndet_ray.workers.ahead import Ahead


class TrialScenes:
    """The scenes that trials wait for.

    node             where they are rendered; None if trials render them
    has_spare_cores  returns whether trials leave cores free for scenes, now or on nodes to come
    note             shows a message to the user
    """

    def __init__(
        self,
        search: Search,
        run: RunSettings,
        *,
        node: str | None,
        has_spare_cores: Callable[[], bool] = lambda: True,
        note: Note,
    ) -> None:
        self._search, self._run, self._node = search, run, node
        self._has_spare_cores, self._note = has_spare_cores, note
        self._ahead = Ahead(Path(run.cache), note) if node else None
        # trials that render their scenes themselves, because rendering ahead failed
        self._unaided: set[int] = set()

    @property
    def are_rendered_ahead(self) -> bool:
        return self._ahead is not None

    def node_for(self, trial: Trial) -> str | None:
        """Returns the node that has rendered a trial's scenes; None if the trial renders them."""
        return None if trial.number in self._unaided else self._node

    def ready(self, trial: Trial, *, no_trial_runs: bool) -> bool:
        """True if a trial may start: its scenes are rendered, or it must render them itself."""
        if self._ahead is None or trial.number in self._unaided:
            return True
        try:
            sets = trial.recipe.scenes().values()
            # a list, because asking for a set starts its rendering
            ready = [self._ahead.ready(scene, count, self._run.seed) for scene, count in sets]
            if all(ready):
                self._search.hide_scenes(trial.number)
                return True
            # Nodes may have been lost: then the idle worker of a trial has the last cores, and the
            # scenes that the next trial waits for would wait for ever.
            if no_trial_runs and not self._has_spare_cores():
                for scene, count in sets:
                    self._ahead.drop(scene, count, self._run.seed)
                self._render_in_trial(trial, "no node has cores left for that")
                return True
            self._show_scenes(trial, self._ahead)
            return False
        except Exception as error:
            return self._ready_despite(error, trial)

    def _ready_despite(self, error: Exception, trial: Trial) -> bool:
        """True if a trial may start although its scenes could not be rendered ahead.

        A trial whose scenes break a rule has failed, and is ended. If a disk of this machine is at
        fault, the search halts. Any other error may be temporary, such as a generator that fails:
        the trial renders its scenes on its worker, where an error is its own.
        """
        fault = disk.fault(error, disk.places(Path(self._run.cache)))
        if fault is not None:
            self._search.halt(fault)
            return False
        breaks_a_rule = isinstance(error, SyndetError) and not isinstance(error, MachineError)
        if breaks_a_rule:
            self._search.end(trial.number, failure=str(error))
            return False
        # Ray's own error wraps that of the worker
        self._render_in_trial(trial, reason(getattr(error, "cause", error)))
        return True

    def _render_in_trial(self, trial: Trial, cause: str) -> None:
        """Lets a trial render its scenes on its worker, with a note."""
        self._unaided.add(trial.number)
        self._note(
            f"trial {trial.number} renders its scenes itself: "
            f"they could not be rendered ahead of it ({cause})"
        )

    def _show_scenes(self, trial: Trial, ahead: Ahead) -> None:
        """Shows the number of rendered scenes of a trial that waits for them."""
        sets = list(trial.recipe.scenes().values())
        done = sum(ahead.rendered_scenes(scene, count, self._run.seed) for scene, count in sets)
        total = sum(count for _, count in sets)
        if done < total:
            self._search.show_scenes(trial.number, done, total)

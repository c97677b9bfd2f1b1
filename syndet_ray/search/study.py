"""Study: one Optuna study that proposes recipes, records reports and lets the pruner decide.

It is built from a sweep and the events so far, and each proposal has a sampler whose seed follows
from its own number. So a study that is rebuilt from the ledger of a killed run proposes what an
uninterrupted one would have proposed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import optuna
from optuna.trial import TrialState

from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.definitions.schedule import is_telling
from syndet_ray.definitions.sweep import rung_number
from syndet_ray.runs.results import Cause, State, Trial, role_and_name
from syndet_ray.search import optuna_terms
from syndet_ray.search.planned import PlannedTrainings
from syndet_ray.search.proposal import Proposal, current_point, proposal_at
from syndet_ray.search.pruning import make_pruner
from syndet_ray.search.sampling import make_sampler, named_points, note_generation

# How often the sampler draws again if no recipe can be made of a point; then the trial fails.
_MOST_DRAWS = 40


class Study:
    """The Optuna study of a search. It proposes controls and variants first, then recipes of the
    search space, and knows a trial by its number in the run.
    """

    def __init__(self, sweep: LoadedSweep) -> None:
        self._sweep = sweep
        self._space = sweep.parameters
        self._waiting = dict(sweep.fixed)  # controls and variants, by kind
        self._planned = PlannedTrainings(sweep)
        self._named_points = named_points(sweep)
        self._lost_points: list[int] = []  # indices of named points to propose again
        self._proposed = 0  # recipes of the search space so far
        # None for a control or variant outside the search space
        self._trials: dict[int, optuna.Trial | None] = {}
        self._exempt: set[int] = set()  # trials that are never pruned
        self._recipes: dict[int, Recipe] = {}  # of running trials
        self._study = optuna_terms.new_study(sweep.goals, make_pruner(sweep.pruning, sweep.rungs))

    @property
    def remaining(self) -> int:
        """The number of recipes that it will still propose."""
        to_propose = max(0, self._sweep.proposals - self._proposed)
        return len(self._waiting) + len(self._lost_points) + to_propose

    def ask(self, number: int) -> Proposal | None:
        """Returns the next recipe to try, as trial `number`: controls and variants before all
        others; None when none is left.
        """
        if self._waiting:
            proposal = self._next_fixed(number)
            self._adopt(proposal)
            return proposal
        if self._lost_points:
            return self._propose_again(number)
        if self._proposed >= self._sweep.proposals:
            return None
        proposal = self._propose(number)
        self._proposed += 1
        return proposal

    def _next_fixed(self, number: int) -> Proposal:
        """Returns the next control or variant."""
        kind, recipe = next(iter(self._waiting.items()))
        replica = self._sweep.replica(kind)
        role, name = role_and_name(kind, replica)
        return Proposal(
            number=number,
            role=role,
            name=name,
            params={},
            recipe=recipe,
            replica=replica,
            seed_number=self._planned.next_seed(kind),
        )

    def _propose(self, number: int) -> Proposal:
        """Returns the next named point, or else what the sampler draws; it draws again if no recipe
        can be made of a point.

        A named point is proposed even so: its author wants to read why no recipe can be made.
        """
        is_named = self._proposed < len(self._named_points)
        named_point = self._named_points[self._proposed] if is_named else None
        discarded: list[dict[str, Any]] = []
        while True:
            self._study.sampler = make_sampler(self._sweep, self._proposed, len(discarded))
            trial, point = self._begin(named_point)
            proposal = proposal_at(self._sweep, point, number)
            is_last = is_named or len(discarded) == _MOST_DRAWS
            if is_last or not proposal.impossible:
                break
            self._study.tell(trial, state=TrialState.FAIL)
            discarded.append(point)
        self._trials[number] = trial
        self._recipes[number] = proposal.recipe
        if not is_named:
            return replace(proposal, discarded=tuple(discarded))
        self._planned.add(number, self._proposed, proposal.seed_number)
        return replace(proposal, point_index=self._proposed)

    def _propose_again(self, number: int) -> Proposal:
        """Returns a named point whose trial was lost, once more."""
        index = self._lost_points.pop(0)
        seed_number = self._planned.next_seed(index)
        trial, point = self._begin(self._named_points[index])
        proposal = proposal_at(self._sweep, point, number)
        self._trials[number] = trial
        self._recipes[number] = proposal.recipe
        self._planned.add(number, index, seed_number)
        return replace(proposal, seed_number=seed_number, point_index=index)

    def report(self, number: int, images: int, value: float) -> bool:
        """Records what a trial reported at a rung; True when the pruner would stop it there.

        The pruner is not asked about controls and variants, the last rung, reports that say nothing
        yet (see `is_telling`), and with several goals, since Optuna's pruners know one. A second
        report of a rung changes nothing.
        """
        trial = self._trials.get(number)
        if trial is None or len(self._sweep.goals) > 1:
            return False
        recipe = self._recipes[number]
        total = recipe.training.images
        trial.report(value, rung_number(images, total, self._sweep.rungs))
        if number in self._exempt or images >= total:
            return False
        return is_telling(recipe.mix, images, total) and trial.should_prune()

    def tell(
        self, number: int, state: State, values: Sequence[float], cause: Cause | None = None
    ) -> None:
        """Ends a trial as COMPLETE (with a value for each goal), PRUNED (its last report counts) or
        FAILED; see `optuna_terms.trial_state` for one that diverged.
        """
        trial = self._trials.get(number)
        if trial is not None:
            has_values = state == "COMPLETE" or cause == "diverged"
            self._study.tell(
                trial,
                list(values) if has_values else None,
                state=optuna_terms.trial_state(state, cause),
            )
        recipe = self._recipes.pop(number, None)  # of a running trial only: each takes 6 KB
        if cause == "lost":
            self._ask_again(number, recipe)

    def _ask_again(self, number: int, recipe: Recipe | None) -> None:
        """Queues a planned training that was lost again, unless its recipe is given up."""
        name = self._planned.lose(number)
        if isinstance(name, str):
            assert recipe is not None, "a control or variant was proposed with its recipe"
            self._waiting[name] = recipe
        elif name is not None:
            self._lost_points.append(name)

    def replay(self, events: Iterable[Mapping[str, Any]], trials: Mapping[int, Trial]) -> set[int]:
        """Brings the study, with pruner and sampler, to the state after the events of a ledger.

        `trials` are those of the same ledger, by number.

        Returns the numbers of trials that the pruner stopped at their last report, but that have
        not ended yet.
        """
        stopping: set[int] = set()
        for event in events:
            number = event["trial"]
            if event["event"] == "asked":
                self._recall(trials[number], event)
            elif event["event"] == "report":
                if self.report(number, event["images"], event["value"]):
                    stopping.add(number)
            elif event["event"] == "ended":
                self.tell(number, event["state"], event["values"], event.get("cause"))
                stopping.discard(number)
        return stopping

    def _recall(self, trial: Trial, event: Mapping[str, Any]) -> None:
        """Takes up a trial that was proposed in an earlier attempt."""
        if trial.role == "search":
            self._recipes[trial.number] = trial.recipe
            self._recall_search(trial, event)
            if event.get("point_index") is not None:
                self._planned.add(trial.number, event["point_index"], trial.seed_number)
        elif trial.kind in self._waiting:
            self._adopt(trial)

    def _recall_search(self, trial: Trial, event: Mapping[str, Any]) -> None:
        """Takes up a trial of the search: a lost point that was proposed again, or the next
        proposal with the points that were discarded before it.
        """
        point = current_point(self._sweep, event["point"], trial.recipe)
        if event.get("point_index") in self._lost_points:
            self._lost_points.remove(event["point_index"])
            restarted, _ = self._begin(point)
            self._trials[trial.number] = restarted
            return
        discarded_points = event.get("discarded", ())
        for count, discarded_point in enumerate(discarded_points):
            discarded_trial = self._begin_again(discarded_point, count)
            self._study.tell(discarded_trial, state=TrialState.FAIL)
        self._trials[trial.number] = self._begin_again(point, len(discarded_points))
        self._proposed += 1

    def _adopt(self, proposal: Proposal | Trial) -> None:
        """Adds a control or variant to the study, so that the sampler learns from it.

        One outside the search space stays out of the study: a trial without parameters would take
        them all out of the joint (intersection) space that TPE models.
        """
        del self._waiting[proposal.kind]
        self._planned.add(proposal.number, proposal.kind, proposal.seed_number)
        self._exempt.add(proposal.number)
        self._recipes[proposal.number] = proposal.recipe
        point = self._space.point(proposal.recipe)
        optuna_trial = None
        if point is not None:
            optuna_trial, _ = self._begin(point)
        self._trials[proposal.number] = optuna_trial

    def _begin_again(self, point: Mapping[str, Any], discarded: int) -> optuna.Trial:
        """Returns a trial of an earlier attempt, at the point that the sampler drew then, after
        this many draws that were discarded.
        """
        trial, _ = self._begin(point)
        if self._proposed >= len(self._named_points):
            sampler = make_sampler(self._sweep, self._proposed, discarded)
            note_generation(sampler, self._study)
        return trial

    def _begin(self, point: Mapping[str, Any] | None) -> tuple[optuna.Trial, dict[str, Any]]:
        """Returns a new trial of the study and its point: the given one, or for None one that the
        sampler draws.
        """
        if point is not None:
            self._study.enqueue_trial(optuna_terms.parameters(point))
        trial = self._study.ask()
        return trial, self._space.suggest(
            lambda name, axis: optuna_terms.suggest(trial, name, axis)
        )

"""Study: one Optuna study that proposes recipes, keeps what trials report and lets the pruner
decide.

It is built from a sweep and the events so far, and each proposal draws from a sampler seeded by its
own number, so a study rebuilt from the ledger of a killed run proposes what the undisturbed one
would have.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import optuna
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from syndet_ray import seeds
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.parameter import Axis, Choice, Float
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.definitions.schedule import is_telling
from syndet_ray.definitions.sweep import rung_number
from syndet_ray.errors import DefinitionError
from syndet_ray.runs.results import Cause, Role, State, Trial, kind_of, role_and_name
from syndet_ray.search.planned import PlannedTrainings
from syndet_ray.search.pruning import make_pruner

STATES = {"COMPLETE": TrialState.COMPLETE, "PRUNED": TrialState.PRUNED, "FAILED": TrialState.FAIL}

_POPULATION = 10  # of NSGA-II: Optuna's 50 would be random search in most sweeps
# How often a point is drawn anew where no recipe can be made of it. A sampler that keeps to such a
# corner, which it learns nothing of, gives way to chance after the first ten.
_MOST_DRAWS, _DRAWS_OF_SAMPLER = 40, 10


# The fields of a proposal that the ledger keeps as they are.
_KEPT = (
    "params",
    "point",
    "of",
    "replica",
    "seed_number",
    "impossible",
    "discarded",
    "point_index",
)


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A recipe to be tried as trial `number`.

    role, name, replica  as of a trial, see `results.Trial`
    params  what the search varied, as settings of the recipe
    point   the same as the sampler knows it
    of      the trial that a confirmation repeats
    replica which training of its recipe it is, from 0
    seed_number which of the sweep's seeds it starts from, see LoadedSweep.seed_number
    impossible  why no recipe can be made of the point, in words; recipe is then the sweep's own
    discarded   points that the sampler drew before this one, and of which no recipe can be made
    point_index  of the points that the sweep names, or of its grid, the number of this one; None
                 for what the sampler drew
    """

    number: int
    role: Role
    params: dict[str, Any]
    recipe: Recipe
    name: str = ""
    point: dict[str, Any] = field(default_factory=dict)
    of: int | None = None
    replica: int = 0
    seed_number: int = 0
    impossible: str = ""
    discarded: tuple[dict[str, Any], ...] = ()
    point_index: int | None = None

    @property
    def kind(self) -> str:
        """Its role and name in one word, see `kind_of`."""
        return kind_of(self.role, self.name, self.replica)

    @property
    def facts(self) -> dict[str, Any]:
        """All that the ledger keeps of it."""
        facts = {name: getattr(self, name) for name in _KEPT}
        return {"recipe": self.recipe.flat(), "kind": self.kind, **facts}


class Study:
    """Trials are known by their number in the run: controls and variants are asked first, then
    proposals.
    """

    def __init__(self, sweep: LoadedSweep) -> None:
        self._sweep, self._space = sweep, sweep.parameters
        self._waiting = dict(sweep.fixed)
        self._planned = PlannedTrainings(sweep)
        self._named_points = _named_points(sweep)
        self._lost_points: list[int] = []  # indices of named ones that are to be asked for again
        self._proposed = 0
        self._trials: dict[int, optuna.Trial | None] = {}
        self._exempt: set[int] = set()
        self._recipes: dict[int, Recipe] = {}
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(
            study_name="syndet_ray",  # Hyperband deals trials to brackets by it
            directions=list(sweep.goals),
            pruner=make_pruner(sweep.pruning, sweep.rungs),
        )

    @property
    def remaining(self) -> int:
        """Recipes that are still to be asked for."""
        unasked = max(0, self._sweep.proposals - self._proposed)
        return len(self._waiting) + len(self._lost_points) + unasked

    def ask(self, number: int) -> Proposal | None:
        """The next recipe to try, as trial `number`: controls and variants before all others; None
        when none is left.
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
        """The next control or variant."""
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
        """The next named point, or else what the sampler draws: again where no recipe can be made
        of a point.

        A named point is proposed as it is: whoever named it wants to hear why it cannot be had.
        """
        index = self._proposed if self._proposed < len(self._named_points) else None
        named_point = None if index is None else self._named_points[index]
        discarded: list[dict[str, Any]] = []
        while True:
            self._study.sampler = self._sampler(self._proposed, len(discarded))
            trial, point = self._begin(named_point)
            proposal = self._proposal_at(point, number)
            is_last = named_point is not None or len(discarded) == _MOST_DRAWS
            if is_last or not proposal.impossible:
                break
            self._study.tell(trial, state=TrialState.FAIL)
            discarded.append(point)
        self._trials[number], self._recipes[number] = trial, proposal.recipe
        if index is not None:
            self._planned.add(number, index, proposal.seed_number)
        return replace(proposal, discarded=tuple(discarded), point_index=index)

    def _propose_again(self, number: int) -> Proposal:
        """A named point whose trial was lost, once more."""
        index = self._lost_points.pop(0)
        seed_number = self._planned.next_seed(index)
        trial, point = self._begin(self._named_points[index])
        proposal = self._proposal_at(point, number)
        self._trials[number], self._recipes[number] = trial, proposal.recipe
        self._planned.add(number, index, seed_number)
        return replace(proposal, seed_number=seed_number, point_index=index)

    def _proposal_at(self, point: dict[str, Any], number: int) -> Proposal:
        """What a point of the space asks for, whether or not a recipe can be made of it."""
        changes = self._space.changes(point)
        try:
            recipe = self._sweep.recipe.replace(changes)
            recipe.check_shares()
        except DefinitionError as error:  # each value may be had, but not all of them together
            return Proposal(
                number=number,
                role="search",
                params=changes,
                recipe=self._sweep.recipe,
                point=point,
                impossible=str(error),
            )
        settings = recipe.flat()  # a schedule may have settled what was proposed
        params = {path: settings[path] for path in changes}
        return Proposal(number=number, role="search", params=params, recipe=recipe, point=point)

    def report(self, number: int, images: int, value: float) -> bool:
        """Keeps what a trial reported at a rung; True when the pruner would stop it there.

        Exempt are controls, the last rung, reports that tell nothing yet (see `is_telling`), and
        everything where there are several goals: Optuna's pruners know one. Reporting a rung twice
        changes nothing.
        """
        trial = self._trials.get(number)
        if trial is None or len(self._sweep.goals) > 1:
            return False
        recipe = self._recipes[number]
        total = recipe.training.images
        trial.report(value, rung_number(images, total, self._sweep.rungs))
        judged = (
            number not in self._exempt and images < total and is_telling(recipe.mix, images, total)
        )
        return judged and trial.should_prune()

    def tell(
        self, number: int, state: State, values: Sequence[float], cause: Cause | None = None
    ) -> None:
        """Ends a trial as COMPLETE (with a value for each goal), PRUNED (its last report counts) or
        FAILED.

        One that diverged is told as complete, with the worst accuracy: of failed ones the sampler
        learns nothing.
        """
        trial = self._trials.get(number)
        counts = state == "COMPLETE" or cause == "diverged"
        if trial is not None:
            self._study.tell(
                trial, list(values) if counts else None, state=optuna_state(state, cause)
            )
        name = self._planned.lose(number) if cause == "lost" else None
        if isinstance(name, str):
            self._waiting[name] = self._recipes[number]
        elif name is not None:
            self._lost_points.append(name)

    def replay(self, events: Iterable[Mapping[str, Any]], trials: Mapping[int, Trial]) -> set[int]:
        """Brings the study to where the events of a ledger left it, pruner and sampler included.

        `trials` are those of the same ledger, by number.

        Returns the numbers of the trials that were to stop at their last report, but were not ended
        yet.
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
        """Takes up a trial that was asked for in an earlier attempt."""
        if trial.role == "search":
            self._recipes[trial.number] = trial.recipe
            self._recall_search(trial, event)
            if event.get("point_index") is not None:
                self._planned.add(trial.number, event["point_index"], trial.seed_number)
        elif trial.kind in self._waiting:
            self._adopt(trial)

    def _recall_search(self, trial: Trial, event: Mapping[str, Any]) -> None:
        """Takes up a trial of the search: a lost point asked for again, or the next proposal.

        That comes with what was discarded before it.
        """
        point = self._point_of(event["point"], trial.recipe)
        if event.get("point_index") in self._lost_points:
            self._lost_points.remove(event["point_index"])
            self._trials[trial.number], _ = self._begin(point)
            return
        discarded = event.get("discarded", ())
        for draws, other in enumerate(discarded):
            self._study.tell(self._begin_again(other, draws), state=TrialState.FAIL)
        self._trials[trial.number] = self._begin_again(point, len(discarded))
        self._proposed += 1

    def _point_of(self, recorded: Mapping[str, Any], recipe: Recipe) -> Mapping[str, Any]:
        """The point of a recipe as the ledger has it, or where that means another recipe today:
        where it lies today.

        Axes of a simplex were bent in another way once, under the same names.
        """
        try:
            means_the_same = (
                self._sweep.recipe.replace(self._space.changes(recorded)).mix.shares
                == recipe.mix.shares
            )
        except DefinitionError:
            return recorded
        return recorded if means_the_same else self._space.point(recipe) or recorded

    def _adopt(self, proposal: Proposal | Trial) -> None:
        """Makes a recipe that did not come from the sampler part of the study, so that the sampler
        learns from it.

        A control may lie outside the space. It then stays out of the study: a trial without
        parameters would take them all out of the joint (intersection) space that TPE models.
        """
        del self._waiting[proposal.kind]
        self._planned.add(proposal.number, proposal.kind, proposal.seed_number)
        self._exempt.add(proposal.number)
        self._recipes[proposal.number] = proposal.recipe
        point = self._space.point(proposal.recipe)
        self._trials[proposal.number] = None if point is None else self._begin(point)[0]

    def _begin_again(self, point: Mapping[str, Any], draws: int) -> optuna.Trial:
        """A trial of an earlier attempt, at the point where the sampler wanted it then, after so
        many discarded draws.
        """
        trial, _ = self._begin(point)
        sampler = self._sampler(self._proposed, draws)
        if isinstance(sampler, NSGAIISampler) and self._proposed >= len(self._named_points):
            # It notes generations in the trials that it is asked for, and was not asked for this
            # one.
            generation = sampler.get_trial_generation(
                self._study, self._study.get_trials(deepcopy=False)[-1]
            )
            sampler.get_parent_population(self._study, generation)
        return trial

    def _begin(self, place: Mapping[str, Any] | None) -> tuple[optuna.Trial, dict[str, Any]]:
        """A new trial of the study, at a place in the space, or at None where the sampler wants it."""
        if place is not None:
            self._study.enqueue_trial({name: told(value) for name, value in place.items()})
        trial = self._study.ask()
        return trial, self._space.suggest(lambda name, axis: _suggested(trial, name, axis))

    def _sampler(self, index: int, draws: int = 0) -> BaseSampler:
        """The sampler of one proposal, after so many draws that were discarded."""
        purpose = f"propose again {draws}" if draws else "propose"
        seed = seeds.integer(self._sweep.seed, purpose, index)
        if self._sweep.sampler in ("random", "grid") or draws >= _DRAWS_OF_SAMPLER:
            return RandomSampler(seed=seed)
        if self._sweep.sampler == "nsga2":
            return NSGAIISampler(population_size=_POPULATION, seed=seed)
        conditional = any(parameter.when for _, parameter in self._space.items())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return TPESampler(
                n_startup_trials=_startup_trials(self._sweep.proposals),
                seed=seed,
                multivariate=True,
                group=conditional,
            )


def optuna_state(state: State, cause: Cause | None) -> TrialState:
    """The state of a trial as Optuna knows it."""
    return TrialState.COMPLETE if cause == "diverged" else STATES[state]


def _named_points(sweep: LoadedSweep) -> list[dict[str, Any]]:
    """Points that are proposed before the sampler is asked: those of the sweep, and a grid's, in an
    order of the seed.

    A sweep is refused whose points lie outside its space, see `LoadedSweep.check_points`. Runs that began
    before that was so go on as they began: without these points.
    """
    points = [sweep.parameters.point(sweep.recipe.replace(changes)) for changes in sweep.points]
    inside = [point for point in points if point is not None]
    if sweep.sampler != "grid":
        return inside
    grid = sweep.parameters.grid()
    shuffled = [grid[i] for i in seeds.generator(sweep.seed, "grid").permutation(len(grid))]
    return inside + [point for point in shuffled if point not in inside]


def _startup_trials(trials: int) -> int:
    """Random proposals before TPE takes over: Optuna's ten, or fewer where a sweep is short."""
    return min(10, max(2, trials // 3))


def _suggested(trial: optuna.Trial, name: str, axis: Axis) -> Any:
    """Where the sampler wants a trial to lie along an axis."""
    if isinstance(axis, Choice):
        by_told = {repr(told(value)): value for value in axis.values}
        return by_told[
            repr(trial.suggest_categorical(name, [told(value) for value in axis.values]))
        ]
    if isinstance(axis, Float):
        return trial.suggest_float(name, axis.low, axis.high, log=axis.log, step=axis.step)
    return trial.suggest_int(name, axis.low, axis.high, log=axis.log, step=axis.step or 1)


def told(value: Any) -> Any:
    """A value of a choice as Optuna takes it, which knows no pairs."""
    return str(tuple(value)) if isinstance(value, (tuple, list)) else value

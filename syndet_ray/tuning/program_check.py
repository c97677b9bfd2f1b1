"""Program check: lets training programs train a few images before training costs time."""

from typing import TYPE_CHECKING

from syndet_ray.data.pool import Pool
from syndet_ray.data.real import RealData
from syndet_ray.definitions.effect import no_effect
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.program import PROGRAM_SETTINGS, program_name
from syndet_ray.definitions.reach import programs_of
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.errors import DefinitionError, SyndetError
from syndet_ray.search.search import Display
from syndet_ray.search.task import Runner

if TYPE_CHECKING:
    from syndet_ray.detection.program_try import ProgramTry

_OURS = ("detector.program", "training.images")  # of a program's settings, what we carry out


def check_program_gpus(sweep: LoadedSweep, gpus_per_trial: float | None) -> None:
    """Raises DefinitionError if a training program would get several GPUs: it is one process."""
    programs = programs_of(sweep)
    if programs and gpus_per_trial is not None and gpus_per_trial > 1:
        name = program_name(next(iter(programs)))
        rule = f"must be at most 1: {name} trains in one process, which gets one GPU"
        do = "Leave it out, or set it to 1: more GPUs train more trials at once."
        raise DefinitionError("`gpus_per_trial`", rule, got=gpus_per_trial, do=do)


def try_programs(sweep: LoadedSweep, data: RealData, runner: Runner, display: Display) -> None:
    """Lets each training program of a settled sweep train and predict a few images, where trials
    would run.

    Raises the errors of the program, and SyndetError if it does not report a setting that the sweep
    searches: all trials would fail.
    """
    programs = programs_of(sweep)
    if not programs:
        return
    shared = {"train": data.pools["train"], "val": data.pools["val"]}
    calls = [{"recipe": recipe, "seed": sweep.seed} for recipe in programs.values()]
    names = ", ".join(map(program_name, programs))
    with display.step(f"trying a few batches of {names}"):
        results = runner.tasks(_try, shared, calls)
    for recipe, result in zip(programs.values(), results, strict=True):
        if isinstance(result, SyndetError):
            raise result
        _check_reported(sweep, recipe, result)


def _try(
    pools: dict[str, Pool], device: str, threads: int, recipe: Recipe, seed: int
) -> "ProgramTry | SyndetError":
    """The result of a try; runs on a worker.

    An error is returned: one that is raised would be tried again, which may take minutes.
    """
    from syndet_ray.detection.program_try import try_program

    train, val = pools["train"], pools["val"]
    try:
        return try_program(recipe, train, val, device=device, threads=threads, seed=seed)
    except SyndetError as error:
        return error


def _check_reported(sweep: LoadedSweep, recipe: Recipe, result: "ProgramTry") -> None:
    """Raises SyndetError for a searched setting that acts in the recipe and is not reported, and
    for one that is reported with another value.
    """
    from syndet_ray.workers.effective import DO_BY_PROGRAM, check_settings

    for path, parameter in sweep.parameters.items():
        acts = not parameter.when and no_effect(path, recipe) is None
        if _is_the_programs(path) and acts and path not in result.effective:
            rule = f"is searched, and {program_name(recipe.detector.program)} does not report it"
            raise SyndetError(path, rule, do=DO_BY_PROGRAM)
    reported = {}
    for path, value in result.effective.items():
        if _is_the_programs(path):
            reported[path] = value
    check_settings(recipe, reported)


def _is_the_programs(path: str) -> bool:
    """True for a setting that only the program can carry out."""
    return path.startswith(PROGRAM_SETTINGS) and path not in _OURS

"""Sweep request: a sweep as its user asks for it, on the command line and in syndet.toml."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syndet_ray.cli.sweep_options import SweepOptions
from syndet_ray.errors import DefinitionError
from syndet_ray.wording import counted

if TYPE_CHECKING:
    from syndet_ray.definitions.loaded_sweep import LoadedSweep


@dataclass(frozen=True, kw_only=True)
class SweepRequest:
    """A sweep as its user asks for it.

    given          what replaces settings of its file, see `given.with_given`
    project_words  what was taken from a syndet.toml; "" if nothing was
    notes          what other objects than those of its file change
    """

    definition: "LoadedSweep"
    given: dict[str, Any]
    project_words: str
    notes: list[str]

    @property
    def lines(self) -> list[str]:
        """Lines for the terminal."""
        lines = [f"project  {self.project_words}"] if self.project_words else []
        return lines + [f"note     {note}" for note in self.notes]


def make_request(name: str, options: SweepOptions) -> SweepRequest:
    """The sweep of this name with what was given, or taken from a project, instead of its own.

    Raises SyndetError for a sweep that cannot be loaded and for what it cannot be given.
    """
    from syndet_ray.definitions.given import (
        defaults_for,
        dice_parameters,
        with_given,
        without_flips,
    )
    from syndet_ray.definitions.loader import load

    given = options.for_sweep()
    settings = given.pop("settings", {})
    sweep = load(name)
    project_words = ""
    if options.project is not None:
        taken = defaults_for(sweep, options.project.settings, settings)
        project_words = options.project.words(options.taken, taken)
        settings = {**taken, **settings}
    flips = without_flips(sweep, settings)
    notes = [_flip_words(flips)] if flips else []
    for path in dice_parameters(sweep, settings):
        notes.append(f"{path} is not searched: it acts on the built-in dice alone")
    settings |= flips
    if settings:
        given["settings"] = settings
    try:
        definition = with_given(sweep, given)
    except DefinitionError as error:
        do = f"{error.do} Taken from {project_words}." if project_words else error.do
        raise DefinitionError(error.place, error.rule, got=error.got, do=do) from None
    return SweepRequest(
        definition=definition, given=given, project_words=project_words, notes=notes
    )


def _flip_words(flips: Mapping[str, float]) -> str:
    """A sentence on flips of a sweep's file that other objects than the dice do not get."""
    first = next(iter(flips))
    reason = "this sweep's file has them for dice seen from above"
    return f"{' and '.join(flips)} are 0: {reason}; --set {first}=0.5 keeps it"


def with_points(
    definition: "LoadedSweep", run: Path, say: Callable[[str], object]
) -> "LoadedSweep":
    """The sweep, which then proposes the best recipes of an earlier run first.

    say  is called with the recipes that are left out, and why
    """
    from syndet_ray.analysis.selection import best_points
    from syndet_ray.runs.folder import RunFolder

    best = best_points(RunFolder.open(run).trials(), definition)
    reasons = {number: str(error).rstrip(".") for number, error in best.refused.items()}
    if not best.points:
        if not reasons:
            rule = f"{run} has no finished search trial whose recipe could be proposed"
            raise DefinitionError("--points", rule, do="Leave it out.")
        first, reason = next(iter(reasons.items()))
        looked_at = f"{counted(len(reasons), 'recipe')} looked at"
        rule = (
            f"this sweep can propose no recipe of {run} ({looked_at}); "
            f"the best, trial {first}: {reason}"
        )
        do = "Widen the sweep's space, or leave --points out."
        raise DefinitionError("--points", rule, do=do)
    for number, reason in reasons.items():
        say(f"--points: trial {number} is left out: {reason}")
    return definition.replace({"points": best.points[: definition.proposals]})

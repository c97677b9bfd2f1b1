"""Names: display names of settings, recipes, trials and roles."""

from collections.abc import Callable, Mapping
from typing import Any

from syndet_ray.definitions.mix import REAL, Mix, Scenes
from syndet_ray.definitions.parameter import Choice, Parameter, Simplex
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.runs.results import TestScores, Trial
from syndet_ray.wording import counted, percent

_ROLES = {"best": "best recipe", "real_only": "real only", "synthetic_only": "synthetic only"}
_SETTINGS = {
    "mix.synthetic": "synthetic share",
    "mix.switch_at": "real after",
    "mix.parts": "parts of the synthetic share",
    "mix.synthetic_images": "distinct scenes",
    "scene.objects": "objects per scene",
    "detector.architecture": "detector",
    "detector.weights": "starting weights",
    "detector.backbone_rate": "backbone's factor on the learning rate",
    "training.flip_horizontal": "horizontal flips",
    "training.flip_vertical": "vertical flips",
    "training.transpose": "transpositions",
    "training.average": "averaging horizon",
    "training.images": "images seen",
}
_SHARES = ("mix.synthetic", "mix.switch_at")
_LISTS = ("detector.anchor_px", "detector.aspect_ratios")  # several numbers that are no range
_SCHEDULES = {"real_only": "real images only", "synthetic_only": "no real images"}
# Settings that are read with their value first; of all others the name comes first.
_PHRASES: dict[str, Callable[[Any], str]] = {
    "mix.synthetic": lambda share: f"{percent(share)} synthetic",
    "mix.schedule": lambda name: _SCHEDULES.get(name, name),
    "mix.real_images": lambda asked: real_images(asked),
    "mix.synthetic_images": lambda count: counted(count, "distinct scene"),
    "mix.parts": lambda parts: f"synthetic of {_divided(parts)}" if parts else "",
    "scene.objects": lambda count: f"{counted(count, 'object')} per scene",
    "training.images": lambda count: f"{counted(count, 'image')} seen",
}
COSTS = {"real_images": "real images", "images": "images seen"}
_ONLY_SYNTHETIC = ["synthetic"]  # the sources of a recipe that names none of its own
_TOLD_AS_DATA = (
    "mix.synthetic",
    "mix.schedule",
    "mix.switch_at",
    "mix.real_images",
    "mix.parts",
    "mix.sources",
)
_OF_SYNTHETIC = ("mix.parts", "mix.schedule", "mix.switch_at")  # nothing where nothing is synthetic


def role_name(role: str) -> str:
    return _ROLES.get(role, role.replace("_", " "))


def kind_name(trial: Trial) -> str:
    """Why there is this trial: "search", "real only", "seed of trial 7"."""
    return role_name(trial.kind) if trial.of is None else f"seed of trial {trial.of}"


def setting_name(path: str) -> str:
    """A dotted setting of a recipe, in words: training.learning_rate is "learning rate"."""
    return _SETTINGS.get(path, path.rsplit(".", 1)[-1].replace("_", " "))


def setting_value(path: str, value: Any) -> str:
    """The value of a setting, under its name in a table or after it in a sentence."""
    if value is None or value == "":
        return "n/a" if value is None else "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return _divided(value) if path == "mix.parts" else ", ".join(value)
    if isinstance(value, (tuple, list)):
        between = "/" if path in _LISTS else " to "
        return between.join(setting_value(path, part) for part in value)
    if isinstance(value, float):
        return percent(value) if path in _SHARES else f"{value:.3g}"
    return "/".join(str(value).split("/")[-2:])  # files are held by their absolute path


def settings(changes: Mapping[str, Any]) -> str:
    """Settings in one line: "40 % synthetic, 10 objects per scene, learning rate 0.002"."""
    told = {path: _phrase(path, value) for path, value in changes.items()}
    share, parts, switch_at = (
        changes.get(f"mix.{name}") for name in ("synthetic", "parts", "switch_at")
    )
    if share == 0:
        told = {path: words for path, words in told.items() if path not in _OF_SYNTHETIC}
        told["mix.synthetic"] = _SCHEDULES["real_only"]
    elif share is not None and parts:
        told["mix.synthetic"] = _divided(
            {REAL: 1 - share} | {name: share * part for name, part in parts.items()}
        )
        del told["mix.parts"]
    if (
        changes.get("mix.schedule") == "staged"
        and "mix.switch_at" in told
        and switch_at is not None
    ):
        told["mix.schedule"] = _staged(switch_at)
        del told["mix.switch_at"]
    elif changes.get("mix.schedule") == "mixed":
        told.pop("mix.schedule", None)  # what everybody expects
    return ", ".join(phrase for phrase in told.values() if phrase) or "mixed"


def trial_words(trial: Trial) -> str:
    """What makes a trial different, in one line."""
    if trial.of is not None:
        return (
            f"{kind_name(trial)}: {settings(trial.params) if trial.params else recipe_words(trial)}"
        )
    if trial.params:
        return settings(trial.params)
    return role_name(trial.kind) + (" (control)" if trial.role == "control" else "")


def recipe_words(trial: Trial) -> str:
    """What a trial trained on, and what else its search varied.

    "40 % synthetic at 10 objects per scene, staged, 4 real images, learning rate 0.002".
    """
    recipe = trial.recipe
    objects = _objects(recipe)
    crowd = "" if objects is None else f" at {counted(objects, 'object')} per scene"
    told = {*_TOLD_AS_DATA, *(["scene.objects"] if crowd else [])}
    varied = {
        path: value
        for path, value in trial.params.items()
        if path not in told and _matters(path, recipe)
    }
    words = [_sources(recipe.mix) + crowd, _schedule(recipe.mix), _real_images(recipe.mix)]
    return ", ".join(
        [part for part in words if part] + [_phrase(path, value) for path, value in varied.items()]
    )


def bounds(parameter: Parameter) -> str:
    """What a search may choose a setting from."""
    if isinstance(parameter, Simplex):
        found = f"any shares of {', '.join(parameter.sources)}"
    elif isinstance(parameter, Choice):
        *others, last = (setting_value("", value) for value in parameter.values)
        found = f"{', '.join(others)} or {last}"
    else:
        step = f" in steps of {parameter.step:g}" if parameter.step else ""
        found = f"{parameter.low:g} to {parameter.high:g}{step}{', on a log scale' if parameter.log else ''}"
    when = " and ".join(
        f"{path} is {' or '.join(map(str, values))}" for path, values in parameter.when.items()
    )
    return f"{found}, where {when}" if when else found


def cost(name: str, value: float) -> str:
    """What a trial cost, by the name that a sweep's objective gives it: "20 real images"."""
    return (
        counted(round(value), "real image")
        if name == "real_images"
        else f"{counted(round(value), 'image')} seen"
    )


def real_images(asked: int | float | str) -> str:
    """How many of the real images a mix asks for: "4 real images", "10 % of the real images", "all
    real images".
    """
    if isinstance(asked, str):
        return "all real images"
    return (
        counted(asked, "real image")
        if isinstance(asked, int)
        else f"{percent(asked)} of the real images"
    )


def _phrase(path: str, value: Any) -> str:
    if value is not None and path in _PHRASES:
        return _PHRASES[path](value)
    if isinstance(value, bool):
        return setting_name(path) if value else f"no {setting_name(path)}"
    return f"{setting_name(path)} {setting_value(path, value)}"


def _sources(mix: Mix) -> str:
    """What the batches are made of: "57 % synthetic", or with sources of one's own "30 % real, 70 %
    crowded".
    """
    if mix.synthetic == 0:
        return (
            "real images only"
            if mix.real_images == "all"
            else f"{real_images(mix.real_images)} only"
        )
    if list(mix.sources) == _ONLY_SYNTHETIC:
        return (
            "synthetic images only" if mix.synthetic == 1 else f"{percent(mix.synthetic)} synthetic"
        )
    return _divided(mix.shares)


def _schedule(mix: Mix) -> str:
    """How the mix changes; nothing where it does not."""
    if mix.schedule == "mixed" or not 0 < mix.synthetic < 1:
        return ""
    return _staged(mix.switch_at) if mix.schedule == "staged" else mix.schedule


def _staged(switch_at: float | None) -> str:
    return (
        "staged"
        if switch_at is None
        else f"staged: synthetic first, real after {percent(switch_at)}"
    )


def _real_images(mix: Mix) -> str:
    told = mix.real_images == "all" or mix.synthetic in (0, 1)
    return "" if told else real_images(mix.real_images)


def _objects(recipe: Recipe) -> int | None:
    """Objects per scene, where there is one number for all that is not real."""
    mix = recipe.mix
    if any(
        mix.shares[name] > 0 and not isinstance(source, Scenes)
        for name, source in mix.sources.items()
    ):
        return None
    found = {parameters.objects for parameters, _ in recipe.scenes().values()}
    return found.pop() if len(found) == 1 else None


def _matters(path: str, recipe: Recipe) -> bool:
    """Whether a setting says anything: where no scene is shown, none of a scene does."""
    return recipe.mix.shares[REAL] < 1 or not (
        path.startswith("scene.") or path == "mix.synthetic_images"
    )


def _divided(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{percent(share)} {name}" for name, share in shares.items() if share > 0)


def where(test: TestScores) -> str:
    """What the test set is, in words that never let a stand-in pass for photos."""
    return counted(test.images, "stand-in test image" if test.stand_in else "real test photo")


def near_copies(about: Mapping[str, Any]) -> str:
    """A sentence on scored photos that look like others and were let pass, from run.json; "" where
    there are none.
    """
    real = about.get("real") or {}
    copies, counts = real.get("near_copies") or {}, real.get("counts") or {}
    parts = [
        f"{copies[split]} of {counted(counts[split], f'{split} photo')}"
        for split in ("test", "val")
        if split in copies
    ]
    if not parts:
        return ""
    verb = "looks" if list(copies.values()) == [1] else "look"
    where = "photos of another split or source, which the option allow_near_copies let pass"
    return f"{' and '.join(parts)} {verb} like {where}: where they are the same photo, scores are too high."


def opened(test: TestScores) -> str:
    """How often the test set was opened: whoever chose in between chose by it."""
    return "opened once" if test.openings == 1 else f"opened {test.openings} times"

"""Names: display names of settings, recipes, trials and rows of the test set."""

from collections.abc import Callable, Mapping
from typing import Any

from syndet_ray.definitions.mix import REAL, Mix, Scenes
from syndet_ray.definitions.parameter import Around, Choice, Parameter, Simplex
from syndet_ray.definitions.program import program_name
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.runs.results import FINALIST, TestScores, Trial
from syndet_ray.wording import counted, percent, times

_DISPLAY_NAMES = {
    "best": "best recipe",
    "real_only": "real only",
    "synthetic_only": "synthetic only",
}
_SETTINGS = {
    "mix.synthetic": "synthetic share",
    "mix.switch_at": "real after",
    "mix.parts": "parts of the synthetic share",
    "mix.synthetic_images": "distinct scenes",
    "scene.objects": "objects per scene",
    "detector.architecture": "detector",
    "detector.weights": "starting weights",
    "detector.program": "training program",
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
    "mix.parts": lambda parts: f"synthetic of {_divided_words(parts)}" if parts else "",
    "detector.program": lambda command: f"trained by {_trainer(command)}",
    "scene.objects": lambda count: f"{counted(count, 'object')} per scene",
    "training.images": lambda count: f"{counted(count, 'image')} seen",
}
COSTS = {"real_images": "real images", "images": "images seen"}
_ONLY_SYNTHETIC = ["synthetic"]  # the sources of a recipe that names none of its own
# Settings that the first words of a recipe are about: its sources, schedule and real images.
_IN_SOURCES = (
    "mix.synthetic",
    "mix.schedule",
    "mix.switch_at",
    "mix.real_images",
    "mix.parts",
    "mix.sources",
)
# Settings that have no effect if no image is synthetic.
_OF_SYNTHETIC = ("mix.parts", "mix.schedule", "mix.switch_at")


def display_name(name: str) -> str:
    """The name of a kind of trial, or of a row of the test set, for people.

    test.json calls the recipe of trial 2 "finalist 2", which looks like a place in a ranking.
    """
    if name.startswith(FINALIST):
        return f"recipe of trial {name.removeprefix(FINALIST)}"
    return _DISPLAY_NAMES.get(name, name.replace("_", " "))


def setting_name(path: str) -> str:
    """Returns a dotted setting of a recipe, in words: training.learning_rate is "learning rate"."""
    return _SETTINGS.get(path, path.rsplit(".", 1)[-1].replace("_", " "))


def setting_value(path: str, value: Any) -> str:
    """Returns the value of a setting, under its name in a table or after it in a sentence."""
    if value is None:
        return "n/a"
    if value == "":
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return _divided_words(value) if path == "mix.parts" else ", ".join(value)
    if isinstance(value, (tuple, list)):
        between = "/" if path in _LISTS else " to "
        return between.join(setting_value(path, part) for part in value)
    if isinstance(value, float):
        return percent(value) if path in _SHARES else f"{value:.3g}"
    return "/".join(str(value).split("/")[-2:])  # files have their absolute path


def settings(changes: Mapping[str, Any]) -> str:
    """Returns settings in one line: "40 % synthetic, 10 objects per scene, learning rate 0.002"."""
    phrases = {path: _phrase(path, value) for path, value in changes.items()}
    _join_shares(phrases, changes)
    _join_schedule(phrases, changes)
    return ", ".join(phrase for phrase in phrases.values() if phrase) or "mixed"


def _join_shares(phrases: dict[str, str], changes: Mapping[str, Any]) -> None:
    """Replaces the phrases of the synthetic share and its parts by one phrase, in place."""
    share = changes.get("mix.synthetic")
    parts = changes.get("mix.parts")
    if share == 0:
        for path in _OF_SYNTHETIC:
            phrases.pop(path, None)
        phrases["mix.synthetic"] = _SCHEDULES["real_only"]
    elif share is not None and parts:
        synthetic_shares = {name: share * part for name, part in parts.items()}
        phrases["mix.synthetic"] = _divided_words({REAL: 1 - share} | synthetic_shares)
        del phrases["mix.parts"]


def _join_schedule(phrases: dict[str, str], changes: Mapping[str, Any]) -> None:
    """Replaces the phrases of a schedule and its switch by one phrase, in place."""
    schedule = changes.get("mix.schedule")
    switch_at = changes.get("mix.switch_at")
    if schedule == "staged" and "mix.switch_at" in phrases and switch_at is not None:
        phrases["mix.schedule"] = _staged_words(switch_at)
        del phrases["mix.switch_at"]
    elif schedule == "mixed":
        phrases.pop("mix.schedule", None)  # the default: not worth a word


def trial_words(trial: Trial) -> str:
    """Returns what makes a trial different, in one line."""
    if trial.of is not None:
        recipe = settings(trial.params) if trial.params else recipe_words(trial)
        return f"repeats trial {trial.of} with another seed: {recipe}"
    if trial.params:
        return settings(trial.params)
    return display_name(trial.kind) + (" (control)" if trial.role == "control" else "")


def recipe_words(trial: Trial) -> str:
    """Returns what a trial trained on, and what else its search varied.

    "40 % synthetic at 10 objects per scene, staged, 4 real images, learning rate 0.002".
    """
    recipe = trial.recipe
    sources = _sources(recipe.mix)
    mentioned = set(_IN_SOURCES)
    objects = _objects(recipe)
    if objects:
        sources += f" {objects}"
        mentioned |= {"scene.objects", "scene.scale_range"}  # which has no effect but on pasting
    phrases = [sources, _schedule(recipe.mix), _real_images(recipe.mix)]
    phrases = [phrase for phrase in phrases if phrase]
    for path, value in trial.params.items():
        if path not in mentioned and _has_effect(path, recipe):
            phrases.append(_phrase(path, value))
    return ", ".join(phrases)


def bounds(parameter: Parameter) -> str:
    """Returns the values from which a search may choose a setting."""
    conditions = [
        f"{path} is {' or '.join(map(str, values))}" for path, values in parameter.when.items()
    ]
    values = _values(parameter)
    return f"{values}, where {' and '.join(conditions)}" if conditions else values


def _values(parameter: Parameter) -> str:
    if isinstance(parameter, Simplex):
        return f"any shares of {', '.join(parameter.sources)}"
    if isinstance(parameter, Around):
        return parameter.words.removeprefix("from ")
    if isinstance(parameter, Choice):
        *others, last = (setting_value("", value) for value in parameter.values)
        return f"{', '.join(others)} or {last}"
    words = f"{parameter.low:g} to {parameter.high:g}"
    if parameter.step:
        words += f" in steps of {parameter.step:g}"
    return f"{words}, on a log scale" if parameter.log else words


def cost(name: str, value: float) -> str:
    """Returns the cost of a trial, by its name in a sweep's objective: "20 real images"."""
    if name == "real_images":
        return counted(round(value), "real image")
    return f"{counted(round(value), 'image')} seen"


def real_images(asked: int | float | str) -> str:
    """Returns how many of the real images a mix asks for: "4 real images", "10 % of the real
    images", "all real images".
    """
    if isinstance(asked, str):
        return "all real images"
    if isinstance(asked, int):
        return counted(asked, "real image")
    return f"{percent(asked)} of the real images"


def _phrase(path: str, value: Any) -> str:
    if value is not None and path in _PHRASES:
        return _PHRASES[path](value)
    if isinstance(value, bool):
        return setting_name(path) if value else f"no {setting_name(path)}"
    return f"{setting_name(path)} {setting_value(path, value)}"


def _sources(mix: Mix) -> str:
    """Returns what the batches are made of: "57 % synthetic", or if a recipe names its sources "30
    % real, 70 % crowded".
    """
    if mix.synthetic == 0:
        images = "real images" if mix.real_images == "all" else real_images(mix.real_images)
        return f"{images} only"
    if list(mix.sources) != _ONLY_SYNTHETIC:
        return _divided_words(mix.shares)
    if mix.synthetic == 1:
        return "synthetic images only"
    return f"{percent(mix.synthetic)} synthetic"


def _schedule(mix: Mix) -> str:
    """Returns how the mix changes during training; "" if it does not."""
    if mix.schedule == "mixed" or not 0 < mix.synthetic < 1:
        return ""
    return _staged_words(mix.switch_at) if mix.schedule == "staged" else mix.schedule


def _staged_words(switch_at: float | None) -> str:
    if switch_at is None:
        return "staged"
    return f"staged: synthetic first, real after {percent(switch_at)}"


def _real_images(mix: Mix) -> str:
    """Returns the number of real images; "" if it is all of them, or `_sources` has it."""
    if mix.real_images == "all" or mix.synthetic in (0, 1):
        return ""
    return real_images(mix.real_images)


def _objects(recipe: Recipe) -> str:
    """Returns the objects per scene, if all that is not real has the same; else ""."""
    mix = recipe.mix
    for name, source in mix.sources.items():
        if mix.shares[name] > 0 and not isinstance(source, Scenes):
            return ""
    phrases = {_objects_of(parameters) for parameters, _ in recipe.scenes().values()}
    return phrases.pop() if len(phrases) == 1 else ""


def _objects_of(parameters: SceneParameters) -> str:
    if not parameters.pastes:
        return f"at {counted(parameters.objects, 'object')} per scene"
    low, high = parameters.scale_range
    pasted = counted(parameters.objects, "pasted object")
    return f"with {pasted} per photo, scaled by {low:g} to {high:g}"


def _has_effect(path: str, recipe: Recipe) -> bool:
    """False for settings of scenes if the recipe shows no scene."""
    is_of_scenes = path.startswith("scene.") or path == "mix.synthetic_images"
    return not is_of_scenes or bool(recipe.scenes())


def _divided_words(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{percent(share)} {name}" for name, share in shares.items() if share > 0)


def test_set_name(test: TestScores) -> str:
    """Returns the size and kind of the test set; the words never call a stand-in photos."""
    return counted(test.images, "stand-in test image" if test.stand_in else "real test photo")


def near_copies_caveat(about: Mapping[str, Any]) -> str:
    """Returns a sentence on scored photos that look like others and were accepted, from run.json;
    "" if there are none.
    """
    real = about.get("real") or {}
    copies = real.get("near_copies") or {}
    counts = real.get("counts") or {}
    photos = [
        f"{copies[split]} of {counted(counts[split], f'{split} photo')}"
        for split in ("test", "val")
        if split in copies
    ]
    if not photos:
        return ""
    verb = "looks" if list(copies.values()) == [1] else "look"
    return (
        f"{' and '.join(photos)} {verb} like photos of another split or source, which the option "
        "allow_near_copies accepted: if they are the same photo, scores are too high."
    )


def openings(test: TestScores) -> str:
    """Returns how often the test set was opened: choices between two openings may depend on it."""
    return f"opened {times(test.openings)}"


def _trainer(command: str) -> str:
    """The program of the user that trains, or ours."""
    return program_name(command) if command else "our own code"

"""Settle: replaces "auto" settings of a sweep by values, from its photos and its machine."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from syndet_ray.data.real import RealData
from syndet_ray.data.scale import range_words, scene_px
from syndet_ray.definitions.around import searched_values
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.program import program_name
from syndet_ray.definitions.reach import MAY_BE_AUTO, detectors_of, recipes_of_detectors
from syndet_ray.definitions.recipe import NAMED_WEIGHTS, Detector, Recipe
from syndet_ray.definitions.space_check import check_space
from syndet_ray.errors import DefinitionError
from syndet_ray.progress import Note
from syndet_ray.search.task import Resources

if TYPE_CHECKING:
    from torch.nn import Module

    from syndet_ray.detection.weights_file import WeightsReport

# Two concentric squares whose sides differ by this factor have an IoU of 0.44: the anchor no longer
# matches.
_FAR_FROM_ANCHORS = 1.5
_BACKBONE_RATE = "detector.backbone_rate"
# Settings that a program of the user gets as "auto": it knows what suits it.
_OF_PROGRAMS = ("detector.backbone", "detector.weights", "detector.frozen_stages")


def settled_sweep(sweep: LoadedSweep, use: Resources, data: RealData, note: Note) -> LoadedSweep:
    """The sweep with no "auto" left in its recipe and its variants.

    Each variant is settled by itself: one with random weights freezes nothing, even if the recipe
    freezes stages of trained weights. The settled values are added to its changes. Controls and
    proposals take from the recipe what they do not change. Only scenes have one size for all
    recipes: in larger ones the same objects are further apart.

    note  receives every decision, in words

    Raises SyndetError for a detector that cannot be built, or whose weights are not available; for
    a search of a setting that acts in no trial; and for a rule that the settled values break.
    """
    from syndet_ray.detection.settle import fill_settings

    recipe, decisions = _settled_recipe(sweep.recipe, sweep, use, data)
    settled = {}
    for name, changes in sweep.variants.items():
        settled[name], _ = _settled_recipe(sweep.recipe.replace(changes), sweep, use, data)
    open_recipes = [item for item in (recipe, *settled.values()) if item.scene.image_px == "auto"]
    scenes = {"scene.image_px": largest_scene_px(open_recipes, sweep, data.scale.auto_crop_px)}
    recipe = fill_settings(recipe, scenes)
    variants = {}
    for name, changes in sweep.variants.items():
        variant = fill_settings(settled[name], scenes)
        variants[name] = {**changes, **_settled_changes(recipe, variant, changes)}
    # This validates again: any value was allowed together with "auto".
    settled_whole = sweep.replace({"recipe": recipe, "variants": variants})
    check_space(sweep.parameters, recipe)
    settled_whole.check_points()
    classes = data.pools["train"].classes
    report = _check_detectors(settled_whole, classes)
    notes = [decisions, _detector_words(recipe)]
    if report is not None and recipe.detector.weights not in NAMED_WEIGHTS:
        notes.append(_file_words(recipe.detector, report, classes))
    notes.append(_anchors_words(recipe, data))
    for sentence in filter(None, notes):
        note(sentence)
    return settled_whole


def check_backbones(sweep: LoadedSweep) -> None:
    """Raises DefinitionError, with the nearest names, for a backbone that does not exist.

    This needs no photos.
    """
    from syndet_ray.detection.architectures import COCO_DETECTORS
    from syndet_ray.detection.backbones import check_backbone

    recipes = [sweep.recipe, *sweep.fixed.values()]
    names = {recipe.detector.backbone for recipe in recipes if not recipe.detector.program}
    names.update(sweep.parameters.samples("detector.backbone"))
    for name in sorted(names - {"auto", *COCO_DETECTORS}):
        check_backbone(name)


def _detector_words(recipe: Recipe) -> str:
    """The detector of the recipe, in a sentence without its full stop."""
    detector = recipe.detector
    if detector.program:
        name = program_name(detector.program)
        return f"{name} trains, on images whose longer side is {detector.working_px} px"
    stages = "no stage" if detector.frozen_stages == 0 else f"{detector.frozen_stages} stages"
    sizes = ", ".join(f"{size:.0f}" for size in _numbers(detector.anchor_px))
    ratios = ", ".join(f"{ratio:g}" for ratio in _numbers(detector.aspect_ratios))
    return (
        f"the detector is {detector.architecture} on {detector.backbone}, "
        f"weights {detector.weights}, {stages} frozen; "
        f"anchors {sizes} px, height / width {ratios}; "
        f"training crops of {recipe.training.crop_px} px"
    )


def _file_words(detector: Detector, report: "WeightsReport", classes: Sequence[str]) -> str:
    """The parameters that the user's weights file sets, and the classes that its detector lacks, in
    words.
    """
    from syndet_ray.detection.weights_file import saved_detector

    counts = f"weights {detector.weights}: {report} parameters"
    saved = saved_detector(Path(detector.weights))
    if saved is None:
        return counts
    unknown = [name for name in classes if name not in saved.classes]
    if not unknown:
        return f"{counts}; the file knows {', '.join(classes)}"
    rows = f"the rows of {', '.join(unknown)}"
    return f"{counts}, except {rows}, which the file does not know: they begin at random"


def _anchors_words(recipe: Recipe, data: RealData) -> str:
    """A warning of objects that are far from every anchor, or "". Anchors that come with starting
    weights may be.
    """
    if recipe.detector.program:
        return ""
    least, _, greatest = data.scale.object_px
    anchors = _numbers(recipe.detector.anchor_px)
    first, last = min(anchors), max(anchors)
    covered = first <= least * _FAR_FROM_ANCHORS and greatest <= last * _FAR_FROM_ANCHORS
    if not data.scale.objects or covered or recipe.detector.architecture == "fcos":
        return ""
    return (
        f"anchors span {first:.0f} to {last:.0f} px, objects {range_words(least, greatest)}: "
        "the smallest or largest will hardly be found; "
        "set detector.anchor_px, or start from other weights"
    )


def _numbers(values: tuple[float, ...] | Literal["auto"]) -> tuple[float, ...]:
    assert values != "auto", "the recipe is settled"
    return values


def _searched_values(sweep: LoadedSweep, path: str) -> list[Any]:
    """Values that the search may propose for a setting, with the minimum and the maximum."""
    return [value for value in searched_values(path, sweep) if value != "auto"]


def _settled_recipe(
    recipe: Recipe, sweep: LoadedSweep, use: Resources, data: RealData
) -> tuple[Recipe, str]:
    """A recipe with no "auto" left except in its scenes, and the decisions of the machine in words,
    or "".
    """
    from syndet_ray.detection.settle import settled_recipe

    transposes = max(recipe.training.transpose, *_searched_values(sweep, "training.transpose"), 0.0)
    return settled_recipe(
        recipe,
        data.scale,
        data.boxes_wh,
        anchor_px=data.anchor_px,
        transposed=transposes > 0,
        gpu=bool(use.gpus),
    )


def largest_scene_px(recipes: Sequence[Recipe], sweep: LoadedSweep, auto_crop_px: int) -> int:
    """The side of scenes that fill the largest crop of these recipes and of the search; 0 for none.

    They fill it even after the strongest scale jitter: any rest would be grey.

    auto_crop_px  the crop that "auto" stands for
    """
    crops_px = _searched_values(sweep, "training.crop_px")
    jitters = _searched_values(sweep, "training.scale_jitter")
    sides_px = [0]
    for training in (recipe.training for recipe in recipes):
        recipe_px = auto_crop_px if training.crop_px == "auto" else training.crop_px
        crop_px = max(recipe_px, *crops_px, 0)
        jitter = max(training.scale_jitter, *jitters, 0.0)
        sides_px.append(scene_px(crop_px, jitter))
    return max(sides_px)


def _settled_changes(recipe: Recipe, variant: Recipe, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The settled values of a variant that differ from those of the recipe.

    The recipe with the variant's changes alone may be invalid: random weights with frozen stages
    are.
    """
    common = recipe.flat()
    settled = {}
    for path, value in variant.flat().items():
        is_auto = changes.get(path) == "auto"
        is_other = path not in changes and value != common[path]
        if path.startswith(MAY_BE_AUTO) and (is_auto or is_other):
            settled[path] = value
    return settled


def _check_detectors(sweep: LoadedSweep, classes: tuple[str, ...]) -> "WeightsReport | None":
    """Builds every detector of the sweep's recipes; returns which starting weights the sweep's own
    recipe loads, None if a program trains it.

    Raises SyndetError for a detector that cannot be built, and for a search of the learning rate of
    a frozen backbone.
    """
    from syndet_ray.detection.models import build

    for recipe in recipes_of_detectors(sweep):
        _check_settled(recipe)
    reports = {}
    for detector in detectors_of(sweep):
        model, reports[detector] = build(detector, classes, seed=0)
        if detector == sweep.recipe.detector:
            _check_backbone_rate(sweep, model)
    return reports.get(sweep.recipe.detector)


def _check_backbone_rate(sweep: LoadedSweep, model: "Module") -> None:
    """Raises DefinitionError if the backbone's rate is searched but all its parameters are frozen.

    model  the detector of the sweep's recipe
    """
    settings = sweep.parameters.settings() if sweep.trials else []
    if _BACKBONE_RATE not in settings or "detector.frozen_stages" in settings:
        return
    body = model.get_submodule("backbone.body")
    if not any(parameter.requires_grad for parameter in body.parameters()):
        frozen = sweep.recipe.detector.frozen_stages
        reason = f"with frozen_stages {frozen} no parameter of the backbone trains"
        do = "Freeze fewer stages, or take the rate out of the space."
        raise DefinitionError(_BACKBONE_RATE, f"is searched but has no effect: {reason}", do=do)


def _check_settled(recipe: Recipe) -> None:
    """Raises DefinitionError for a setting that is still "auto"."""
    for path, value in recipe.flat().items():
        is_left_open = path in _OF_PROGRAMS and bool(recipe.detector.program)
        if path.startswith(MAY_BE_AUTO) and value == "auto" and not is_left_open:
            rule = "cannot be auto in a search: it is settled before the search begins"
            raise DefinitionError(path, rule, do="Give its value.")
    for name, (scene, _) in recipe.scenes().items():
        if scene.image_px == "auto":
            rule = "cannot be auto: a source takes it from the recipe"
            raise DefinitionError(f"mix.sources: {name}: scene.image_px", rule, do="Leave it out.")

"""Proportions: how meshes differ in size and shape from the objects that boxes of photos show.

A downloaded king may be half as wide as the king on the photos, beside a bishop of the same size.
A detector then takes one for the other. Boxes tell it without any mesh of the real thing: the sizes
of classes beside one another, and the shape of each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from syndet_ray.definitions.scene_parameters import MOST_PROPORTION
from syndet_ray.inspection.pose_match import PoseMatch, box_sides, meshes_of_objects
from syndet_ray.inspection.whole_boxes import WholeBoxes
from syndet_ray.scenes.library import Asset, Library, Stretch
from syndet_ray.scenes.stretch import stretch_mesh
from syndet_ray.seeds import generator

# Of a class: medians of fewer are as uncertain as what they are compared with.
_LEAST_FOR_MEDIANS = 20
# Natural logarithm: smaller differences are those of how people draw boxes.
_LEAST_DIFFERENCE = 0.05
_STANDING = ("upright", "face_up")  # poses in which a box tells an object's height from its width
_ROUNDS = 15  # of corrections; each leaves a third of the difference or less
# A box's height grows by less than its object's: it also shows the top.
_STEP_ALONG = 1.3

Factors = dict[str, tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class ClassBoxes:
    """Boxes of the classes of photos.

    shapes  medians of the logarithm of height / width
    sizes   logarithms of the square root of the area, beside those of other classes on the same
            photo; classes that are never beside others, or beside none of the others, have none
    """

    shapes: Mapping[str, float]
    sizes: Mapping[str, float]


def class_boxes(boxes: WholeBoxes) -> ClassBoxes:
    """Sizes and shapes of the classes that have boxes enough.

    Photos are taken from any distance. So the size of a box is the product of its photo's and of
    its class's, both fitted in turn.
    """
    image, label, classes = boxes.photos, boxes.labels, boxes.classes
    counts = np.bincount(label, minlength=len(classes))
    shape, size = boxes.shapes, np.log(boxes.sides).mean(axis=1)
    shown = np.zeros((int(image.max(initial=-1)) + 1, len(classes)))
    np.add.at(shown, (image, label), 1)
    is_beside = _are_compared(shown)[image, label]
    size_of_class = _fit_sizes(shown, image, label, size)
    for _ in range(_ROUNDS):
        of_photo = size - size_of_class[label]
        size_of_photo = np.bincount(image, of_photo) / np.maximum(1, np.bincount(image))
        size_of_class = _medians(
            (size - size_of_photo[image])[is_beside], label[is_beside], len(classes)
        )
    shapes, sizes = {}, {}
    for k, name in enumerate(classes):
        if counts[k] >= _LEAST_FOR_MEDIANS:
            shapes[name] = float(np.median(shape[label == k]))
            if np.count_nonzero(is_beside & (label == k)) >= _LEAST_FOR_MEDIANS:
                sizes[name] = float(size_of_class[k])
    return ClassBoxes(shapes=shapes, sizes=sizes)


def _are_compared(shown: np.ndarray) -> np.ndarray:
    """(photos, classes) True for boxes on photos of two classes or more that can be compared.

    Nothing tells the sizes of knives beside forks from those of trees beside houses: of such groups
    the one with most boxes is taken.

    shown  (photos, classes) numbers of boxes
    """
    from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

    is_shown = shown > 0
    is_mixed = is_shown & (is_shown.sum(axis=1, keepdims=True) > 1)
    boxes = (shown * is_mixed).sum(axis=0)
    neighbours = is_mixed.T.astype(float) @ is_mixed
    _, group = connected_components(neighbours, directed=False)
    largest = np.bincount(group, boxes).argmax()
    return is_mixed & (group == largest)


def _fit_sizes(
    shown: np.ndarray, image: np.ndarray, label: np.ndarray, size: np.ndarray
) -> np.ndarray:
    """(classes,) the sizes that fit best, by least squares over sizes of photos and of classes.

    Medians alone would stay where they begin if few photos show two groups of classes together.
    """
    boxes = shown.sum(axis=1)[:, None]
    share = shown / np.maximum(1, boxes)
    laplacian = np.diag(shown.sum(axis=0)) - shown.T @ share
    of_class = np.bincount(label, size, minlength=shown.shape[1])
    of_photo = np.bincount(image, size, minlength=len(shown))
    fitted, *_ = np.linalg.lstsq(laplacian, of_class - share.T @ of_photo, rcond=None)
    return fitted


def _medians(values: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    """(groups,) the median of each group of values, 0 for an empty one."""
    medians = np.zeros(groups)
    for k in np.unique(group):
        medians[k] = np.median(values[group == k])
    return medians


def match_proportions(
    boxes: WholeBoxes,
    library: Library,
    match: PoseMatch,
    seed: int,
    names: Sequence[str] | None = None,
) -> Factors | None:
    """Factors across and along the axis that points up, of each class, with which boxes of meshes
    have the sizes and shapes of those of photos.

    boxes  those of photos
    names  those that photos have for the library's classes; None if they are the same

    None where fewer than two classes have boxes enough; no factors where no class differs. Sizes
    are those beside other classes: all meshes together become neither larger nor smaller.
    """
    of_classes = _for_classes(library.classes, names or library.classes, class_boxes(boxes))
    assets = _assets_by_class(library, of_classes)
    if len(assets) < 2:
        return None
    factors = {name: np.ones(2) for name in assets}
    for _ in range(_ROUNDS):
        off = _differences(assets, factors, of_classes, match, seed)
        for name, difference in off.items():
            factors[name] = factors[name] * np.exp(difference)
        _normalise(factors)
    rounded = {name: _bounded_factors(values) for name, values in factors.items()}
    most = max(abs(np.log(value)) for values in rounded.values() for value in values)
    return rounded if most >= _LEAST_DIFFERENCE else {}


def _for_classes(classes: Sequence[str], names: Sequence[str], boxes: ClassBoxes) -> ClassBoxes:
    """The boxes by the names of classes of a library, which photos may name otherwise."""
    pairs = list(zip(classes, names, strict=True))
    return ClassBoxes(
        shapes={label: boxes.shapes[name] for label, name in pairs if name in boxes.shapes},
        sizes={label: boxes.sizes[name] for label, name in pairs if name in boxes.sizes},
    )


def _assets_by_class(library: Library, boxes: ClassBoxes) -> dict[str, list[Asset]]:
    assets: dict[str, list[Asset]] = {}
    for name, asset in meshes_of_objects(library, library.classes):
        if name in boxes.shapes:
            assets.setdefault(name, []).append(asset)
    return assets


def _differences(
    assets: Mapping[str, list[Asset]],
    factors: Mapping[str, np.ndarray],
    boxes: ClassBoxes,
    match: PoseMatch,
    seed: int,
) -> dict[str, np.ndarray]:
    """Logarithms (2,) by which meshes of each class are still too small, across and along."""
    tilt_deg = sum(match.tilt_deg) / 2
    shapes, sizes = {}, {}
    for name, of_class in assets.items():
        sides = []
        for asset in of_class:
            across, along = factors[name].tolist()
            mesh = stretch_mesh(asset.mesh, Stretch(across=(across,), along=along))
            rng = generator(seed, f"proportions/{name}")  # the same turns in each round
            sides.append(np.log(box_sides(mesh, match.poses, tilt_deg, rng) * asset.scale))
        width, height = np.median(np.concatenate(sides), axis=0).tolist()
        shapes[name], sizes[name] = height - width, (height + width) / 2
    common = [name for name in assets if name in boxes.sizes]
    offset = np.mean([boxes.sizes[name] - sizes[name] for name in common]) if common else 0.0
    differences = {}
    for name in assets:
        size = boxes.sizes[name] - sizes[name] - offset if name in boxes.sizes else 0.0
        shape = boxes.shapes[name] - shapes[name] if match.poses in _STANDING else 0.0
        differences[name] = np.array([size - shape / 2, _STEP_ALONG * (size + shape / 2)])
    return differences


def _normalise(factors: dict[str, np.ndarray]) -> None:
    """Divides all factors by their mean, so that meshes keep their mean volume."""
    volumes = [np.log(values) @ (2, 1) / 3 for values in factors.values()]
    for values in factors.values():
        values /= np.exp(np.mean(volumes))


def _bounded_factors(values: np.ndarray) -> tuple[float, float]:
    across, along = np.clip(values, 1 / MOST_PROPORTION, MOST_PROPORTION).round(2).tolist()
    return across, along

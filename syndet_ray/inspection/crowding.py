"""Crowding: the number of objects with which boxes of scenes overlap as those of photos do.

A scene shows a part of what a photo shows, and photos have their objects in rows and heaps: so the
mean number of a photo's objects says little about how many of them stand before one another.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from syndet_ray.boxes import Boxes
from syndet_ray.data.record import Source
from syndet_ray.data.visibility import covered_shares
from syndet_ray.definitions.scene_parameters import MOST_OBJECTS, SceneParameters
from syndet_ray.progress import NamedProgress
from syndet_ray.scenes.annotate import apply_style
from syndet_ray.scenes.generate import compose
from syndet_ray.scenes.library import Library
from syndet_ray.scenes.projection import project
from syndet_ray.scenes.scene import NO_CLASS, Scene
from syndet_ray.scenes.tracing import world_vertices

_SCENES = 40  # composed for each number of objects: some hundred boxes
_STEP = 1.5  # factor between numbers that are tried
_MOST_TRIES = 7  # numbers: the last is 11 times the first
# A box inside another, this many times as large, shows a part of it, or lies behind or before it.
_INSIDE, _LARGER = 0.9, 2.0


@dataclass(frozen=True, kw_only=True)
class Crowding:
    """The number of objects of scenes whose boxes cover one another as those of photos do.

    in_photos  mean share of a box that lies under others, 0 to 1
    in_scenes  the same, with the number of objects that was too small
    """

    objects: int
    in_photos: float
    in_scenes: float


def match_crowding(
    photos: Source, scenes: SceneParameters, library: Library, seed: int, progress: NamedProgress
) -> Crowding | None:
    """The number of objects that crowded photos ask for; None if that of `scenes` is enough, or if
    no number is: something else makes boxes cover one another then, such as labels given twice.

    Where objects of photos cover one another less, people have set them apart, which is no reason
    to show fewer.

    scenes  in the sizes and the label style of the photos; nothing of them is rendered
    """
    wanted = _mean_cover(_without_parts(photos))
    counts = [scenes.objects]
    shares = [_cover_at(scenes.objects, scenes, library, seed)]
    for step in range(1, _MOST_TRIES):
        progress("comparing crowding", step, _MOST_TRIES)
        count = min(MOST_OBJECTS, max(counts[-1] + 1, round(counts[-1] * _STEP)))
        if shares[-1] >= wanted or count == counts[-1]:
            break
        counts.append(count)
        shares.append(_cover_at(count, scenes, library, seed))
    progress("comparing crowding", _MOST_TRIES, _MOST_TRIES)
    if shares[-1] < wanted:
        return None
    rising = np.maximum.accumulate(shares)  # by chance, more objects may cover less
    objects = round(float(np.interp(wanted, rising, counts)))
    if objects == scenes.objects:
        return None
    return Crowding(objects=objects, in_photos=wanted, in_scenes=shares[0])


def _without_parts(photos: Source) -> list[Boxes]:
    """The boxes of each photo, without classes of which most boxes lie inside larger ones.

    These are parts, such as helmets of persons. No scene puts objects together like that, however
    many it has.
    """
    images = [record.boxes.select(~record.boxes.crowd) for record in photos.records]
    labels = np.concatenate([boxes.labels for boxes in images])
    is_inside = np.concatenate([_are_inside(boxes.xyxy) for boxes in images])
    of_class = np.bincount(labels, minlength=len(photos.classes))
    is_part = np.bincount(labels, is_inside, len(photos.classes)) > of_class / 2
    return [boxes.select(~is_part[boxes.labels]) for boxes in images]


def _are_inside(xyxy: np.ndarray) -> np.ndarray:
    """(n,) True for boxes (n, 4) of one image that lie inside a larger one, or nearly."""
    low = np.maximum(xyxy[:, None, :2], xyxy[None, :, :2])
    high = np.minimum(xyxy[:, None, 2:], xyxy[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas = (xyxy[:, 2:] - xyxy[:, :2]).prod(axis=1)
    is_inside = (shared >= _INSIDE * areas[:, None]) & (areas >= _LARGER * areas[:, None])
    return np.asarray(is_inside.any(axis=1))


def _cover_at(count: int, scenes: SceneParameters, library: Library, seed: int) -> float:
    """The mean covered share in scenes of about so many objects."""
    parameters = scenes.model_copy(update={"objects": count})
    composed = [compose(parameters, library, seed, i, _SCENES) for i in range(_SCENES)]
    return _mean_cover(_projected_boxes(scene, library) for scene in composed)


def _mean_cover(images: Iterable[Boxes]) -> float:
    """The mean share of an image's boxes that lies under other boxes; 0 without boxes."""
    shares = []
    for boxes in images:
        shares += covered_shares(boxes.xyxy[~boxes.crowd]).tolist()
    return float(np.mean(shares)) if shares else 0.0


def _projected_boxes(scene: Scene, library: Library) -> Boxes:
    """Boxes around the whole of each object whose middle is in the image, hidden or not, in the
    style of people's labels.
    """
    corners, labels = [], []
    for body, vertices in zip(scene.bodies, world_vertices(scene, library), strict=True):
        xy = project(vertices, scene.camera)
        if body.label != NO_CLASS:
            corners.append([*xy.min(axis=0), *xy.max(axis=0)])
            labels.append(body.label)
    xyxy = np.array(corners, float).reshape(-1, 4)
    size_wh = np.array(scene.camera.size_wh)
    middles = (xyxy[:, :2] + xyxy[:, 2:]) / 2
    is_inside = ((middles > 0) & (middles < size_wh)).all(axis=1)
    clipped = np.clip(xyxy[is_inside], 0, np.tile(size_wh, 2))
    styled = apply_style(clipped, scene.label_style, scene.camera.size_wh[::-1])
    return Boxes.of(styled, np.array(labels, int)[is_inside], np.ones(int(is_inside.sum())))

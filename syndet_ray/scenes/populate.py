"""Populate: chooses the bodies of a scene, their looks and their places."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.scenes import layers, looks
from syndet_ray.scenes.arrange import drop
from syndet_ray.scenes.dice import EDGE_M, die_faces, die_vertices, up_face
from syndet_ray.scenes.framing import Region, seen_floor
from syndet_ray.scenes.heap import Heap
from syndet_ray.scenes.library import Asset, Library, Mesh, outline
from syndet_ray.scenes.scene import NO_CLASS, Body, Camera, Color, Die, Ground, matrix, vector

# Turns that bring each of a die's six faces up.
_ROLLS = np.array(
    [
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[1, 0, 0], [0, -1, 0], [0, 0, -1]],
        [[0, 0, -1], [0, 1, 0], [1, 0, 0]],
        [[0, 0, 1], [0, 1, 0], [-1, 0, 0]],
        [[1, 0, 0], [0, 0, -1], [0, 1, 0]],
        [[1, 0, 0], [0, 0, 1], [0, -1, 0]],
    ],
    float,
)


class Wardrobe:
    """Gives bodies their kind and their looks; each property draws from a generator of its own."""

    def __init__(
        self,
        parameters: SceneParameters,
        library: Library,
        shapes: np.random.Generator,
        colors: np.random.Generator,
        hues: np.random.Generator,
    ) -> None:
        self._parameters, self._library = parameters, library
        self._shapes, self._colors, self._hues = shapes, colors, hues

    def dice(self, n: int) -> list[Die]:
        """Dice of different makers; all alike if the library has other objects, whose random
        numbers follow on these.
        """
        shape_strength = self._parameters.object_shape if self._library.dice else 0.0
        color_strength = self._parameters.object_color if self._library.dice else 0.0
        shapes = looks.draw_shapes(shape_strength, n, self._shapes)
        dice = []
        for i in range(n):
            shape: dict[str, Any] = {name: float(values[i]) for name, values in shapes.items()}
            paint = looks.draw_paint(color_strength, self._colors)
            dice.append(Die(**shape, **paint))
        return dice

    def glosses(self, n: int) -> list[float]:
        strength = self._parameters.gloss if self._mirrors else 0.0
        return (strength * self._shapes.uniform(0, 1, n)).tolist()

    @property
    def _mirrors(self) -> bool:
        """True if anything in the scene may mirror. Cut-outs mirror nothing: what a photographed
        thing mirrored is in its picture.
        """
        is_surrounded = self._parameters.arrangement == "layers" or self._parameters.distractors > 0
        surroundings_mirror = is_surrounded and self._library.has_solid_surroundings
        return self._library.has_solid_objects or surroundings_mirror

    def tint(self, asset: Asset) -> tuple[Color, float]:
        """Tint and turn of hue of a mesh. Plain meshes get any colour; objects keep their hue."""
        turn = self._hues.random() - 0.5
        hue_turn = 0.0
        if asset.label == NO_CLASS:
            hue_turn = float(self._parameters.hue * turn) % 1
        if asset.plain:
            return looks.draw_color(self._colors), hue_turn
        return looks.draw_tint(self._parameters.object_color, self._colors), hue_turn


def in_tray(
    parameters: SceneParameters,
    library: Library,
    wardrobe: Wardrobe,
    ground: Ground,
    camera: Camera,
    count: int,
    sizes: np.random.Generator,
    poses: np.random.Generator,
) -> tuple[Body, ...]:
    """`count` objects and the distractors that the parameters ask for, dropped one after another
    onto the part of the ground's floor that the camera sees.
    """
    factors = looks.draw_size_factors(parameters, count, sizes)
    region = seen_floor(camera, library.unit_m / 2).within(ground.half_size)
    if library.dice and not parameters.distractors:
        return _poured_dice(EDGE_M * factors, wardrobe, ground.half_size, region, poses)
    kinds = _draw_kinds(count, parameters.distractors, library, poses)
    scales = []
    for factor, kind in zip(factors, kinds, strict=False):
        scales.append(float(factor * _natural_scale(kind, library)))
    for kind in kinds[len(factors) :]:
        factor = sizes.uniform(*parameters.background_scale)
        scales.append(float(factor * library.unit_m / library.assets[kind].mesh.length))
    heap = Heap(half_width=ground.half_width, half_depth=ground.half_depth, unit_m=library.unit_m)
    dice, glosses = iter(wardrobe.dice(count)), wardrobe.glosses(len(kinds))
    bodies = []
    for i in poses.permutation(len(kinds)).tolist():
        kind, scale = kinds[i], scales[i]
        die = next(dice) if kind == "die" else None
        lying = _lying(kind, library, parameters)
        pose = heap.drop(_mesh(kind, library), scale, region, poses, lying)
        if pose is not None:
            appearance = _Appearance(kind=kind, die=die, gloss=glosses[i])
            bodies.append(_body(appearance, library, wardrobe, pose, scale))
    return tuple(bodies)


def in_layers(
    parameters: SceneParameters,
    library: Library,
    wardrobe: Wardrobe,
    camera: Camera,
    poses: np.random.Generator,
    place: tuple[int, int],
) -> tuple[Body, ...]:
    """Background, objects and occluders before a camera that looks straight down.

    place: the scene's index and the number of scenes, for the curriculum's schedule.
    """
    surroundings = library.names_of(NO_CLASS)
    objects = [name for name in library.assets if name not in surroundings] or ["die"]
    names = objects + surroundings
    pictures = {i for i, name in enumerate(names) if _is_picture(name, library)}
    plan = _plan(parameters, library, camera)
    if parameters.poses == "curriculum":
        index, total = (number * plan.objects for number in place)
        chosen = layers.curriculum(range(len(objects)), plan.size_px, index, total, pictures)
    else:
        classes = _indices_by_class(library, names)
        chosen = layers.random_poses(classes, plan.size_px, poses, pictures)
    placed = layers.arrange(
        plan,
        outlines=[outline(_mesh(name, library)) for name in names],
        surroundings=range(len(objects), len(names)),
        poses=chosen,
        pictures=pictures,
        rng=poses,
    )
    # Dice are drawn for all objects, so that the surroundings do not change the numbers drawn for
    # them.
    dice, glosses = iter(wardrobe.dice(plan.objects)), wardrobe.glosses(len(placed))
    bodies = []
    for item, gloss in zip(placed, glosses, strict=True):
        kind = names[item.asset]
        appearance = _Appearance(kind=kind, die=next(dice) if kind == "die" else None, gloss=gloss)
        centre, scale = _in_world(item, camera, library)
        bodies.append(_body(appearance, library, wardrobe, (centre, item.turn), scale))
    return tuple(bodies)


def _plan(parameters: SceneParameters, library: Library, camera: Camera) -> layers.Plan:
    distance = camera.focus_m / library.unit_m
    mean_px = float(np.mean(parameters.size_px))
    zoom = camera.focal_px * library.seen_per_unit / mean_px / distance
    least, greatest = parameters.size_px
    # A body that stands alone overlaps with nothing: a parameter is read only where it has an
    # effect, see `made_from`.
    is_alone = parameters.objects + parameters.distractors == 1
    return layers.Plan(
        objects=parameters.objects,
        distractors=parameters.distractors,
        occluders=parameters.occluders,
        image_wh=camera.size_wh,
        size_px=(least * zoom, greatest * zoom),
        background_scale=parameters.background_scale,
        overlap=0.0 if is_alone else parameters.overlap,
        crop=parameters.crop,
        distance=distance,
    )


def _indices_by_class(library: Library, names: list[str]) -> list[list[int]]:
    """The indices in names of each class's assets; the built-in dice count as one class."""
    if library.dice:
        return [[names.index("die")]]
    classes = []
    for label in range(len(library.classes)):
        classes.append([names.index(name) for name in library.names_of(label)])
    return classes


def _in_world(item: layers.Placed, camera: Camera, library: Library) -> tuple[np.ndarray, float]:
    """Centre (3,) in metres, and metres per unit, of what is placed in the image."""
    depth = item.distance * library.unit_m
    scale = item.unit_px * depth / camera.focal_px
    from_middle = item.middle_px - np.array(camera.size_wh) / 2
    across = from_middle * [1, -1] * depth / camera.focal_px
    return np.array(camera.position) + np.append(across, -depth), scale


def _poured_dice(
    edges: np.ndarray,
    wardrobe: Wardrobe,
    half_size: tuple[float, float],
    region: Region,
    poses: np.random.Generator,
) -> tuple[Body, ...]:
    """Dice alone, which lie flat or lean on one another without a gap."""
    dice, glosses = wardrobe.dice(len(edges)), wardrobe.glosses(len(edges))
    roundings = np.array([die.rounding for die in dice])
    pile = drop(edges, roundings, half_size, region, poses)
    turns = pile.rotations @ _ROLLS[poses.integers(len(_ROLLS), size=len(edges))]
    bodies = []
    for i, (die, gloss) in enumerate(zip(dice, glosses, strict=True)):
        bodies.append(_die_body(die, gloss, (pile.centres[i], turns[i]), float(edges[i])))
    return tuple(bodies)


def _draw_kinds(
    objects: int, distractors: int, library: Library, rng: np.random.Generator
) -> list[str]:
    """The objects' assets, every class as likely as any other, then the distractors'."""
    kinds = ["die"] * objects
    if not library.dice:
        labels = rng.integers(len(library.classes), size=objects)
        kinds = [str(rng.choice(library.names_of(int(label)))) for label in labels]
    for _ in range(distractors):
        kinds.append(str(rng.choice(library.names_of(NO_CLASS))))
    return kinds


def _mesh(kind: str, library: Library) -> Mesh:
    return _die_mesh() if kind == "die" else library.assets[kind].mesh


@lru_cache(maxsize=1)
def _die_mesh() -> Mesh:
    """A die of medium rounding, as it falls among other bodies."""
    vertices = die_vertices(np.array([0.145]))[0].astype(np.float32)
    return Mesh(vertices=vertices, faces=die_faces(), colors=np.ones_like(vertices))


def _is_picture(kind: str, library: Library) -> bool:
    return kind != "die" and library.assets[kind].picture


def _lying(kind: str, library: Library, parameters: SceneParameters) -> str:
    """The pose in which an asset lies in a tray, as `Heap.drop` has it.

    Cut-outs show their front, dice and surroundings rest as they fall.
    """
    if _is_picture(kind, library):
        return "face_up"
    if kind == "die" or library.assets[kind].label == NO_CLASS:
        return "rest"
    return library.assets[kind].pose if parameters.poses == "auto" else parameters.poses


def _natural_scale(kind: str, library: Library) -> float:
    """Metres per unit of an asset in its own size."""
    return EDGE_M if kind == "die" else library.assets[kind].scale


@dataclass(frozen=True, kw_only=True)
class _Appearance:
    """kind: "die", then `die` says which, or the name of an asset; gloss as drawn for it."""

    kind: str
    die: Die | None
    gloss: float


def _body(
    appearance: _Appearance,
    library: Library,
    wardrobe: Wardrobe,
    pose: tuple[np.ndarray, np.ndarray],
    scale: float,
) -> Body:
    """A body at a pose: centre (3,) and turn (3, 3)."""
    if appearance.die is not None:
        return _die_body(appearance.die, appearance.gloss, pose, scale)
    asset = library.assets[appearance.kind]
    centre, turn = pose
    tint, hue_turn = wardrobe.tint(asset)
    return Body(
        asset=appearance.kind,
        label=asset.label,
        position=vector(centre),
        rotation=matrix(turn),
        scale=scale,
        gloss=0.0 if asset.picture else appearance.gloss,
        tint=tint,
        hue_turn=hue_turn,
    )


def _die_body(die: Die, gloss: float, pose: tuple[np.ndarray, np.ndarray], scale: float) -> Body:
    centre, turn = pose
    return Body(
        asset="die",
        label=up_face(turn) - 1,
        position=vector(centre),
        rotation=matrix(turn),
        scale=scale,
        gloss=gloss,
        die=die,
    )

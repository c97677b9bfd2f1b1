"""Populate: which bodies a scene holds, how they look and where they lie."""

from functools import lru_cache
from typing import Any

import numpy as np
import trimesh

from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.scenes import layers, looks
from syndet_ray.scenes.arrange import drop
from syndet_ray.scenes.dice import EDGE_M, die_faces, die_vertices, up_face
from syndet_ray.scenes.heap import Heap
from syndet_ray.scenes.library import DICE, Asset, Library, Mesh
from syndet_ray.scenes.scene import NO_CLASS, Body, Camera, Color, Die, matrix, vector

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
        """Dice of different makers; all alike where the library has other objects, whose random
        numbers follow on these.
        """
        shape_strength = self._parameters.object_shape if self._library.dice else 0.0
        color_strength = self._parameters.object_color if self._library.dice else 0.0
        shape = looks.draw_shapes(shape_strength, n, self._shapes)
        each: list[dict[str, Any]] = [
            {name: float(values[i]) for name, values in shape.items()} for i in range(n)
        ]
        return [Die(**own, **looks.paint(color_strength, self._colors)) for own in each]

    def glosses(self, n: int) -> list[float]:
        strength = self._parameters.gloss if self._mirrors else 0.0
        return (strength * self._shapes.uniform(0, 1, n)).tolist()

    @property
    def _mirrors(self) -> bool:
        """Whether anything in the scene may mirror: what a photographed thing mirrored is in its
        picture.
        """
        is_surrounded = self._parameters.arrangement == "layers" or self._parameters.distractors > 0
        return self._library.has_solid_objects or (
            is_surrounded and self._library.has_solid_surroundings
        )

    def tint(self, asset: Asset) -> tuple[Color, float]:
        """Tint and turn of hue of a mesh: what is plain may have any colour; objects keep their
        hue.
        """
        color = (
            looks.any_color(self._colors)
            if asset.plain
            else looks.tint(self._parameters.object_color, self._colors)
        )
        turn = self._hues.random() - 0.5
        return color, float(self._parameters.hue * turn) % 1 if asset.label == NO_CLASS else 0.0


def in_tray(
    parameters: SceneParameters,
    library: Library,
    wardrobe: Wardrobe,
    sizes: np.random.Generator,
    poses: np.random.Generator,
) -> tuple[Body, ...]:
    """As many objects, and distractors, as asked, dropped into the tray one after another."""
    factors = looks.size_factors(parameters, parameters.objects, sizes)
    if library.dice and not parameters.distractors:
        return _poured_dice(EDGE_M * factors, wardrobe, poses)
    kinds = _kinds(parameters, library, poses)
    scales = [
        factor * _natural_scale(kind, library) for factor, kind in zip(factors, kinds, strict=False)
    ]
    for kind in kinds[len(factors) :]:
        factor = sizes.uniform(*parameters.background_scale)
        scales.append(factor * library.unit_m / _longest(library.assets[kind].mesh))
    heap = Heap(half_width=library.tray_half_m, half_depth=library.tray_half_m)
    dice, glosses = iter(wardrobe.dice(parameters.objects)), wardrobe.glosses(len(kinds))
    bodies = []
    for i in poses.permutation(len(kinds)).tolist():
        die = next(dice) if kinds[i] == "die" else None
        fallen = heap.drop(
            _mesh(kinds[i], library),
            float(scales[i]),
            poses,
            face_up=_is_picture(kinds[i], library),
        )
        if fallen is not None:
            bodies.append(
                _body(kinds[i], library, wardrobe, *fallen, float(scales[i]), glosses[i], die)
            )
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

    place: which scene this is, of how many, for the curriculum's schedule.
    """
    surroundings = library.named(NO_CLASS)
    kinds = (
        ["die"] if library.dice else [name for name in library.assets if name not in surroundings]
    )
    names = kinds + surroundings
    objects, behind = range(len(kinds)), range(len(kinds), len(names))
    pictures = {i for i, name in enumerate(names) if _is_picture(name, library)}
    distance = camera.focus_m / library.unit_m
    zoom = camera.focal_px * library.seen_per_unit / float(np.mean(parameters.size_px)) / distance
    size_px = parameters.size_px[0] * zoom, parameters.size_px[1] * zoom
    # What stands alone overlaps with nothing: a parameter is read only where it has an effect, see
    # `made_from`.
    is_alone = parameters.objects + parameters.distractors == 1
    plan = layers.Plan(
        objects=parameters.objects,
        distractors=parameters.distractors,
        occluders=parameters.occluders,
        image_px=camera.size_px,
        size_px=size_px,
        background_scale=parameters.background_scale,
        overlap=0.0 if is_alone else parameters.overlap,
        crop=parameters.crop,
        distance=distance,
    )
    index, total = place
    if parameters.poses == "curriculum":
        chosen = layers.curriculum(
            objects, size_px, index * plan.objects, total * plan.objects, pictures
        )
    else:
        classes = (
            [objects]
            if library.dice
            else [[names.index(n) for n in library.named(k)] for k in range(len(library.classes))]
        )
        chosen = layers.random_poses(classes, size_px, poses, pictures)
    placed = layers.arrange(
        plan, [_outline(_mesh(name, library)) for name in names], behind, chosen, pictures, poses
    )
    # So many dice, whatever stands before and behind them: what is drawn for one must not change
    # with the others.
    dice, glosses = iter(wardrobe.dice(plan.objects)), wardrobe.glosses(len(placed))
    bodies = []
    for item, gloss in zip(placed, glosses, strict=True):
        depth = item.distance * library.unit_m
        scale = item.unit_px * depth / camera.focal_px
        away = np.append(
            (item.middle_px - camera.size_px / 2) * [1, -1] * depth / camera.focal_px, -depth
        )
        kind = names[item.asset]
        die = next(dice) if kind == "die" else None
        bodies.append(
            _body(
                kind,
                library,
                wardrobe,
                np.array(camera.position) + away,
                item.turn,
                scale,
                gloss,
                die,
            )
        )
    return tuple(bodies)


def _poured_dice(
    edges: np.ndarray, wardrobe: Wardrobe, poses: np.random.Generator
) -> tuple[Body, ...]:
    """Dice alone, which lie flat or lean on one another without a gap."""
    dice, glosses = wardrobe.dice(len(edges)), wardrobe.glosses(len(edges))
    pile = drop(
        edges, np.array([die.rounding for die in dice]), (DICE.tray_half_m, DICE.tray_half_m), poses
    )
    turns = pile.rotations @ _ROLLS[poses.integers(len(_ROLLS), size=len(edges))]
    return tuple(
        Body(
            asset="die",
            label=up_face(turn) - 1,
            position=vector(centre),
            rotation=matrix(turn),
            scale=float(edge),
            gloss=gloss,
            die=die,
        )
        for centre, turn, edge, gloss, die in zip(
            pile.centres, turns, edges, glosses, dice, strict=True
        )
    )


def _kinds(parameters: SceneParameters, library: Library, rng: np.random.Generator) -> list[str]:
    """The objects' assets, every class as likely as any other, then the distractors'."""
    chosen = ["die"] * parameters.objects
    if not library.dice:
        labels = rng.integers(len(library.classes), size=parameters.objects)
        chosen = [str(rng.choice(library.named(int(label)))) for label in labels]
    return chosen + [
        str(rng.choice(library.named(NO_CLASS))) for _ in range(parameters.distractors)
    ]


def _mesh(kind: str, library: Library) -> Mesh:
    return _die_mesh() if kind == "die" else library.assets[kind].mesh


@lru_cache(maxsize=1)
def _die_mesh() -> Mesh:
    """A die of middling rounding, as it falls among other things."""
    vertices = die_vertices(np.array([0.145]))[0].astype(np.float32)
    return Mesh(vertices=vertices, faces=die_faces(), colors=np.ones_like(vertices))


@lru_cache(maxsize=1024)
def _outline(mesh: Mesh) -> np.ndarray:
    """(v, 3) corners of a mesh's convex hull."""
    return np.asarray(
        trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).convex_hull.vertices
    )


def _longest(mesh: Mesh) -> float:
    return float(np.ptp(mesh.vertices, axis=0).max())


def _is_picture(kind: str, library: Library) -> bool:
    return kind != "die" and library.assets[kind].picture


def _natural_scale(kind: str, library: Library) -> float:
    """Metres per unit of an asset as large as it is."""
    return EDGE_M if kind == "die" else library.assets[kind].scale


def _body(
    kind: str,
    library: Library,
    wardrobe: Wardrobe,
    centre: np.ndarray,
    turn: np.ndarray,
    scale: float,
    gloss: float,
    die: Die | None,
) -> Body:
    if die is not None:
        return Body(
            asset="die",
            label=up_face(turn) - 1,
            position=vector(centre),
            rotation=matrix(turn),
            scale=scale,
            gloss=gloss,
            die=die,
        )
    asset = library.assets[kind]
    tint, hue_turn = wardrobe.tint(asset)
    gloss = 0.0 if asset.picture else gloss
    return Body(
        asset=kind,
        label=asset.label,
        position=vector(centre),
        rotation=matrix(turn),
        scale=scale,
        gloss=gloss,
        tint=tint,
        hue_turn=hue_turn,
    )

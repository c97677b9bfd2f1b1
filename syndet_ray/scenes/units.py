"""Units: guesses the unit of meshes from their sizes, and checks that one scene shows all of them.

Most mesh files name no unit. glTF is metres by its standard, and is often exported in millimetres.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from syndet_ray.scenes.layers import turns
from syndet_ray.scenes.library import Library, Mesh, outline
from syndet_ray.scenes.scene import NO_CLASS

METRES = {"metres": 1.0, "millimetres": 1e-3, "centimetres": 1e-2}  # in the order of guessing
# Programs mix these two up, in which one thing has numbers a thousand times apart. A third one
# would make nearly any two classes alike.
_MIXED = ("metres", "millimetres")
_SENSIBLE_M = (0.005, 2.0)  # longest sides of objects that people photograph: a screw to a bicycle
# Longest sides, in those of the median object, that a scene shows. At the usual 40 px an eighth is
# 5 px large; the tray is eight objects wide, and none of 10 objects' length found a place in it.
_SHOWN = (1 / 8, 8.0)
_MOST_NAMED = 12  # classes in a message; with all of 80 it would fill a screen
_EVERY_TURN = 3  # of those of `layers`: 30 degrees in the plane are close enough

# Longest sides of the meshes of each class, in metres or in the units of their files.
Lengths = Mapping[str, Sequence[float]]


def guess(lengths: Lengths) -> dict[str, str]:
    """The unit of each class. Classes that have none are left out.

    It is the first unit in which all meshes have sensible sizes, else the first in which the median
    mesh has. If no scene could show them all in one unit, each class gets a unit of its own,
    metres or millimetres, in which all its meshes are sensible.
    """
    every = _every(lengths)
    if max(every) <= min(every) * _SHOWN[1] / _SHOWN[0]:
        unit = _first_sensible(every, METRES) or _first_sensible([_median(lengths)], METRES)
        return {} if unit is None else dict.fromkeys(lengths, unit)
    units = {}
    for name, of_class in lengths.items():
        unit = _first_sensible(of_class, _MIXED)
        if unit is not None:
            units[name] = unit
    return units


def _every(lengths: Lengths) -> list[float]:
    return [length for of_class in lengths.values() for length in of_class]


def _median(lengths: Lengths) -> float:
    return float(np.median(_every(lengths)))


def _first_sensible(lengths: Sequence[float], units: Iterable[str]) -> str | None:
    """The first unit in which all lengths are sensible; None if there is none."""
    least, most = _SENSIBLE_M
    for unit in units:
        if all(least <= length * METRES[unit] <= most for length in lengths):
            return unit
    return None


def classes_not_shown(lengths_m: Lengths) -> list[str]:
    """The classes that have a mesh too long or too short for scenes of the others."""
    least, most = np.array(_SHOWN) * _median(lengths_m)
    # within rounding of float32 vertices
    slack = 1 + 1e-5
    names = []
    for name, of_class in lengths_m.items():
        if min(of_class) * slack < least or max(of_class) > most * slack:
            names.append(name)
    return names


def shown_words(lengths_m: Lengths) -> str:
    """The bounds of `classes_not_shown`: "of 12.5 mm to 800 mm"."""
    least, most = (_median(lengths_m) * factor for factor in _SHOWN)
    return f"of {length_words(least)} to {length_words(most)}"


def guess_words(units: Mapping[str, str], lengths: Lengths) -> str:
    """The guessed units, with the sizes of the shortest and the longest class."""
    phrases = []
    for unit in dict.fromkeys(units.values()):
        of_unit = {name: lengths[name] for name in units if units[name] == unit}
        phrases.append(f"{unit} ({_range_words(of_unit, METRES[unit])})")
    return " and ".join(phrases)


def _range_words(lengths: Lengths, metres: float) -> str:
    """The shortest and the longest class with their sizes: "pawn 45 mm to king 95 mm"."""
    shortest = min(lengths, key=lambda name: min(lengths[name]))
    longest = max(lengths, key=lambda name: max(lengths[name]))
    least = length_words(min(lengths[shortest]) * metres)
    most = length_words(max(lengths[longest]) * metres)
    if least == most:
        return f"{shortest} {least}" if len(lengths) == 1 else f"all {least}"
    return f"{shortest} {least} to {longest} {most}"


def class_words(lengths: Lengths, words: Callable[[float], str]) -> str:
    """Each class with its sizes, as `words` write one, the shortest first."""
    phrases = []
    for name in sorted(lengths, key=lambda name: (max(lengths[name]), name)):
        least, most = words(min(lengths[name])), words(max(lengths[name]))
        phrases.append(f"{name} {least}" if least == most else f"{name} {least} to {most}")
    left_out = len(phrases) - _MOST_NAMED
    if left_out > 0:
        half = _MOST_NAMED // 2
        phrases[half:-half] = [f"{left_out} more"]
    return ", ".join(phrases)


def apparent_size(mesh: Mesh, *, front: bool) -> float:
    """The square root of the area of the box around a mesh in an image, mean over all its turns, or
    over those that show its front, in the units of its vertices.
    """
    corners = outline(mesh)
    sizes = []
    for turn in turns(front=front)[::_EVERY_TURN]:
        sides = np.ptp(corners @ turn[:2].T, axis=0)
        sizes.append(np.sqrt(sides.prod()))
    return float(np.mean(sizes))


def apparent_share(library: Library) -> float:
    """The mean apparent size of the objects of scenes, divided by `scene.size_px`: 1 for dice."""
    sizes = []
    for asset in library.assets.values():
        if asset.label != NO_CLASS:
            size = apparent_size(asset.mesh, front=asset.picture)
            sizes.append(asset.scale * size / library.unit_m)
    return float(np.mean(sizes)) if sizes else 1.0


def length_words(metres: float) -> str:
    """A length as people say it: 45 mm, 1.2 m."""
    return f"{number_words(metres)} m" if metres >= 1 else f"{number_words(metres * 1000)} mm"


def number_words(value: float) -> str:
    """Three digits, without an exponent."""
    return np.format_float_positional(value, precision=3, fractional=False, trim="-")

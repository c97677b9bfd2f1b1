"""Belonging: which images a user says belong together: one folder, one video, one time."""

import re
from collections.abc import Hashable, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import PurePosixPath

from syndet_ray.data.images import picture
from syndet_ray.data.readers.spellings import without_upload_prefix
from syndet_ray.data.readers.splits import SPLITS
from syndet_ray.data.record import Source
from syndet_ray.data.splits.groups import photo_of
from syndet_ray.errors import DataError, DefinitionError
from syndet_ray.wording import counted

BYS = ("scene", "stem", "time")
# Folders that say what an image is for, not where it was taken.
_NO_SCENES = {"images", *(name for names in SPLITS.values() for name in names)}
# The number at the end of a name, with what separates it: vid1_000123, IMG0042, shot (3).
_COUNTER = re.compile(r"[ _.\-]*\(?\d+\)?$")
# The names that cameras and phones give: a word and a counter (DSC_0123, P1000123) or a time
# (PXL_20261127_101502123). They do not say what a photo shows. IMG_0123_7 is a part of IMG_0123.
_OF_A_CAMERA = re.compile(
    r"_?(CIMG|DJI|DSC|DSCF|DSCN|GOPR|IMG|IMGP|MG|PICT|SAM)[_-]?E?\d{4,5}|P\d{7}"
    r"|(IMG|MVIMG|PXL|WP)[_-]\d{8}[_-](WA)?\d{3,9}",
    re.IGNORECASE,
)
# A date looks like the digits that Label Studio puts before the name of an upload.
_DATE = re.compile(r"(19|20)\d\d[01]\d[0-3]\d-")
# Roboflow makes vid1_07_jpg.jpg of vid1_07.jpg.
_ROBOFLOW_SUFFIX = re.compile(r"_(bmp|jpe?g|png|webp)$", re.IGNORECASE)
# One who takes photos of a scene takes the next within a minute; walking to another takes longer.
_PAUSE_S = 60
_DO_WITHOUT_TIME = "Choose `by` scene or stem, or leave it out: near copies stay together anyway."


def belonging_keys(source: Source, by: str, place: object) -> Sequence[Hashable]:
    """A key for each image of a source: images of one key belong together.

    Raises DataError where `by` is "time" and photos do not say when they were taken, and
    DefinitionError for a word that is not in BYS. `place` names the dataset.
    """
    if by not in BYS:
        raise DefinitionError("`by`", f"must be one of {', '.join(BYS)}", got=by)
    if by == "time":
        return _sessions(source, place)
    key_of = scene_of if by == "scene" else stem_of
    return [key_of(record.image_id) for record in source.records]


def scene_of(image_id: str) -> str:
    """The folder of an image: "kitchen/left" for train/kitchen/left/7.jpg; "" if it has none."""
    folders = PurePosixPath(image_id).parent.parts
    return "/".join(folder for folder in folders if folder.lower() not in _NO_SCENES)


def stem_of(image_id: str) -> str:
    """The name of an image without the number at its end: "kitchen/vid1" for kitchen/vid1_07.jpg.

    A name that a camera gave stays as it is, because its number counts photos of anything. Of an
    image that Roboflow made, it is that of the photo; of an upload to Label Studio, of the file.
    """
    name = _own_name(image_id)
    stem = name if _OF_A_CAMERA.fullmatch(name) else _COUNTER.sub("", name)
    return "/".join([scene_of(image_id), stem])


def is_of_a_camera(image_id: str) -> bool:
    """True for an image with a name that a camera gave, such as IMG_0123.jpg."""
    return _OF_A_CAMERA.fullmatch(_own_name(image_id)) is not None


def group_words(image_ids: Sequence[str], by: str | None) -> str:
    """Words for a group of images: a pattern of their paths ("kitchen/vid1*"), or "with" one.

    A scene outside all folders is "no folder of its own".

    by  what holds the group together, or None; it may not be all
    """
    key_of = {"scene": scene_of, "stem": stem_of}.get(by or "")
    keys = {key_of(image_id) for image_id in image_ids} if key_of else set()
    if len(keys) != 1:
        return f"with {min(image_ids)}"
    (key,) = keys
    if by == "scene" and not key:
        return "no folder of its own"
    pattern = f"{key}/*" if by == "scene" else f"{key}*"
    return pattern.removeprefix("/")


def _own_name(image_id: str) -> str:
    """The name of an image, without suffix, as it was before tools for labelling changed it."""
    photo = photo_of(image_id)
    stem = PurePosixPath(image_id).stem if photo is None else photo
    name = stem if _DATE.match(stem) else without_upload_prefix(stem)
    return _ROBOFLOW_SUFFIX.sub("", name)


def _sessions(source: Source, place: object) -> list[int]:
    """The number of the session of each photo: between two sessions is a pause."""
    times = _times(source, place)
    order = sorted(range(len(times)), key=lambda i: times[i])
    session_of = [0] * len(times)
    for before, after in pairwise(order):
        pause = times[after] - times[before]
        session_of[after] = session_of[before] + int(pause.total_seconds() > _PAUSE_S)
    return session_of


def _times(source: Source, place: object) -> list[datetime]:
    """The time at which each photo was taken. Raises DataError if some do not say it."""
    times = []
    without = []
    for record in source.records:
        time = picture.time_taken(record.image, record.place)
        if time is None:
            without.append(record.image_id)
        else:
            times.append(time)
    if without:
        photos = f"{len(without)} of {counted(len(source), 'photo')}"
        lack = "lack the time at which they were"
        if len(without) == 1:
            lack = "lacks the time at which it was"
        rule = f"{photos} {lack} taken (EXIF DateTimeOriginal)"
        raise DataError(place, f"{rule}, such as {without[0]!r}", do=_DO_WITHOUT_TIME)
    return times

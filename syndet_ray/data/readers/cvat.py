"""CVAT's XML, "CVAT for images 1.1" and "CVAT for video 1.1".

Boxes are xtl, ytl, xbr, ybr in continuous pixels of the image as it is shown; a rotation is in
degrees, clockwise about the box's center (docs.cvat.ai, XML annotation format). A video's shapes
are listed by track and frame number.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from xml.etree.ElementTree import Element

from syndet_ray.data.readers.cvat_shapes import BOX, EDGES_OF, WITHOUT_AREA
from syndet_ray.data.readers.image_files import ImageFiles
from syndet_ray.data.readers.label_files import label_files
from syndet_ray.data.readers.labels import LabelledBox, LabelledImage, Reading, around, unusable
from syndet_ray.data.readers.remarks import Remarks
from syndet_ray.data.readers.splits import SPLITS, split_of, split_of_name, split_of_words
from syndet_ray.data.readers.values import for_message, number, size_or_none
from syndet_ray.data.readers.xml_file import load_xml
from syndet_ray.errors import DataError

LAYOUT = "annotations.xml (CVAT for images or for video) with images/, or one such folder per split"
_HEAD = 4096  # bytes of a file in which its root element stands
_ROOT = re.compile(rb"<annotations[\s/>]")
_NUMBERED = re.compile(r"(?:frame_?)?(\d{1,9})", re.IGNORECASE)  # CVAT's own frame_000012.png
_NO_SUBSETS = ("", "default")  # of a task that was given none
# Tags of our own: a shape that may be of this frame of a video, and where an object may be
_UNNUMBERED, _PLACE = "unnumbered", "place"
_NUMBER_RULE = "a shape must have a frame number"
# (label, shape) of a frame
Shapes = list[tuple[str, Element]]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Frame:
    """One image, its file not looked for yet if only its name is known."""

    name: str
    file: Path | None
    folders: Sequence[Path]
    subset: str
    place: str
    wh: tuple[int, int] | None
    shapes: Shapes


def files(folder: Path) -> list[Path]:
    """The annotation files of a folder: `annotations.xml`, other names beside the images, or
    FiftyOne's `labels.xml` of each split.
    """
    paths = label_files(folder, "annotations.xml", "*/annotations.xml")
    paths = paths or label_files(folder, "*.xml") or label_files(folder, "*/labels.xml")
    return [path for path in paths if _is_cvat(path)]


def read(folder: Path, files: Sequence[Path], images: ImageFiles, remarks: Remarks) -> Reading:
    """Every image of the tasks, negatives included.

    Raises DataError for a file that is no XML of CVAT, or where there are no images at all.
    """
    frames: dict[str | None, list[_Frame]] = {split: [] for split in (*SPLITS, None)}
    classes: dict[str, None] = {}
    for path in files:
        root = load_xml(path)
        if root.tag != "annotations":
            rule = "must be CVAT's annotations, with the root <annotations>"
            raise DataError(path, rule, got=for_message(root.tag))
        classes.update(dict.fromkeys(_classes(root)))
        is_video = root.find("image") is None and root.find("track") is not None
        of_file = _video_frames if is_video else _image_frames
        for split, frame in of_file(folder, path, root, images, remarks):
            frames[split].append(frame)
    if images.are_missing():
        do = "Export again with images, or put them into images/."
        raise DataError(folder, "holds labels of CVAT, but no image file", do=do)
    splits = {}
    for split, part in _by_split(frames, remarks).items():
        splits[split] = _images(part, images, remarks)
    return Reading(splits=splits, classes=tuple(classes) or None)


def _by_split(
    frames: Mapping[str | None, Sequence[_Frame]], remarks: Remarks
) -> dict[str, list[_Frame]]:
    """The frames of each split, those that name none with train.

    Raises DataError for a subset that names no split while others do: it may be a test set.
    """
    by_split = {split: list(frames[split]) for split in SPLITS}
    if any(by_split.values()):
        for frame in frames[None]:
            if frame.subset.lower() not in _NO_SUBSETS:
                rule = "its subset must name its split, as other subsets do"
                do = "Rename the subset: train, val or test."
                raise DataError(frame.place, rule, got=for_message(frame.subset), do=do)
            remarks.count("images of no subset, read as train", frame.place)
    by_split["train"] += frames[None]
    return {split: part for split, part in by_split.items() if part}


def _is_cvat(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(_HEAD)
    return _ROOT.search(head.replace(b"\0", b"")) is not None  # in UTF-16 too


def _classes(root: Element) -> Iterator[str]:
    """The labels of the task or project in its own order, without the points of skeletons."""
    meta = root.find("meta")
    for label in [] if meta is None else meta.iter("label"):
        name = label.findtext("name")
        if name and label.find("parent") is None:
            yield name


def _image_folders(folder: Path, path: Path, subset: str) -> list[Path]:
    """Folders in which the images of a subset may lie, nearest first."""
    parents = dict.fromkeys([path.parent, folder])
    subsets = [subset] if subset and subset not in (".", "..") and "/" not in subset else []
    folders = []
    for parent in parents:
        for name in subsets:
            folders += [parent / "images" / name, parent / name]
        folders += [parent / "images", parent / "data", parent]  # data/ of FiftyOne
    return folders


def _image_frames(
    folder: Path, path: Path, root: Element, images: ImageFiles, remarks: Remarks
) -> Iterator[tuple[str | None, _Frame]]:
    """(split, frame) of each image of a task of images, None where nothing names its split."""
    of_file = split_of(folder, path)
    for position, image in enumerate(root.iterfind("image")):
        name = image.get("name", "")
        place = f"{path}, image {for_message(image.get('id', position))}"
        if not name:
            remarks.problem(place, "an image must have a name")
            continue
        subset = image.get("subset", "")
        split = split_of_words(subset, place) or of_file or _split_in_name(name)
        yield (
            split,
            _Frame(
                name=name,
                file=None,
                subset=subset,
                folders=_image_folders(folder, path, subset),
                place=place,
                wh=_size(image),
                shapes=[(shape.get("label", ""), shape) for shape in image],
            ),
        )


def _split_in_name(name: str) -> str | None:
    """The split that a folder in the name of an image names, the nearest one first."""
    for part in reversed(name.replace("\\", "/").split("/")[:-1]):
        split = split_of_name(part)
        if split is not None:
            return split
    return None


def _video_frames(
    folder: Path, path: Path, root: Element, images: ImageFiles, remarks: Remarks
) -> Iterator[tuple[str | None, _Frame]]:
    """(split, frame) of each image file of a video. Raises DataError where there is none."""
    subset = next((track.get("subset", "") for track in root.iterfind("track")), "")
    split = split_of_words(subset, path) or split_of(folder, path)
    files = _files_of_frames(path, root, _image_folders(folder, path, subset), images)
    shapes: dict[int, Shapes] = {frame: [] for frame in files}
    for track in root.iterfind("track"):
        place = f"{path}, track {for_message(track.get('id', ''))}"
        for frame, shape in _shapes_of_track(track, sorted(files), place, remarks):
            if frame in shapes:
                shapes[frame].append((track.get("label", ""), shape))
            else:
                event = "frames with labels but without an image file, left out"
                remarks.count(event, f"{place}, frame {for_message(frame)}")
    for frame, file in files.items():
        place = f"{path}, frame {frame}"
        yield (
            split,
            _Frame(
                name=file.name,
                file=file,
                folders=(),
                subset=subset,
                place=place,
                wh=None,
                shapes=shapes[frame],
            ),
        )


def _files_of_frames(
    path: Path, root: Element, folders: Sequence[Path], images: ImageFiles
) -> dict[int, Path]:
    """The image files of a video by frame number, from the first folder that holds some.

    Names may tell the number. Where they do not, or count from another one, there must be as many
    as the task has frames, in the order of their names. Raises DataError otherwise.
    """
    files = next(filter(None, map(images.in_folder, folders)), [])
    if not files:
        do = "Export with images, or: ffmpeg -i VIDEO -start_number 0 images/frame_%06d.png"
        raise DataError(path, "is of a video, whose frames must be images in images/", do=do)
    numbers = [_NUMBERED.fullmatch(file.stem) for file in files]
    by_number = {}
    for digits, file in zip(numbers, files, strict=True):
        if digits is not None:
            by_number[int(digits[1])] = file
    is_numbered = len(by_number) == len(files)
    frames = {number(shape.get("frame")) for track in root.iterfind("track") for shape in track}
    if is_numbered and frames <= by_number.keys():
        return by_number
    size = number(next((entry.text for entry in root.iterfind("meta/*/size")), None))
    if len(files) == size:
        return dict(enumerate(files))
    if is_numbered:
        return by_number
    rule = f"its frames must be named by number (frame_000012), or be all {size:.0f} of the task"
    got = f"{len(files)} images, the first {files[0].name}"
    raise DataError(path, rule, got=got, do="Export with images.")


def _shapes_of_track(
    track: Element, frames: Sequence[int], place: str, remarks: Remarks
) -> Iterator[tuple[int, Element]]:
    """(frame, shape) of a track where it is in view, boxes between its keyframes included.

    frames  the numbers of all frames of which there are images, sorted

    A shape without a frame number is also given, with each frame in which it may be in view.
    """
    shapes = list(track)
    numbers = [number(shape.get("frame")) for shape in shapes]
    numbered = [position for position, frame in enumerate(numbers) if frame.is_integer()]
    listed = {int(numbers[position]): shapes[position] for position in numbered}
    for before, after in pairwise([-1, *numbered, len(shapes)]):
        unnumbered = shapes[before + 1 : after]
        possible = _frames_between(before, after, numbers, frames) if unnumbered else []
        for frame in possible:
            got = {"track": track.get("id", ""), "frame": unnumbered[0].get("frame", "")}
            yield frame, Element(_UNNUMBERED, got)
        if not possible:
            for shape in unnumbered:
                remarks.problem(place, _NUMBER_RULE, got=for_message(shape.get("frame")))
    for frame, shape in listed.items():
        if not _is_outside(shape):
            yield frame, shape
    for first, last in pairwise(sorted(listed)):
        between = frames[bisect_right(frames, first) : bisect_left(frames, last)]
        start, end = listed[first], listed[last]
        if not between or _is_outside(start):
            continue
        where = f"{place}, frame {between[0]}"
        if start.tag == end.tag == "box":
            remarks.count("stretches between keyframes interpolated", where)
            for frame in between:
                yield frame, _box_between(start, end, (frame - first) / (last - first))
        elif start.tag in EDGES_OF and end.tag in EDGES_OF:  # lines and points are no objects
            event = "stretches between keyframes of a polygon or mask, their places ignored"
            remarks.count(event, where)
            for frame in between:
                yield frame, _place_between(start, end)


def _frames_between(
    before: int, after: int, numbers: Sequence[float], frames: Sequence[int]
) -> Sequence[int]:
    """The frames that shapes without a number may be of: those between their neighbours in the
    file.

    CVAT writes each frame of a track, in order. So before the first number and after the last one
    stand as many frames as there are shapes. [] if no shape of the track has a number.

    before, after  positions of the neighbours in `numbers`; -1 and its length where there is none
    """
    count = after - before - 1
    has_before, has_after = before >= 0, after < len(numbers)
    first = bisect_right(frames, numbers[before]) if has_before else 0
    last = bisect_left(frames, numbers[after]) if has_after else len(frames)
    if not has_before and not has_after:
        return []
    if not has_before:
        first = max(first, last - count)
    if not has_after:
        last = first + count
    return frames[first:last]


def _is_outside(shape: Element) -> bool:
    """True for the frame in which an object leaves the view."""
    return shape.get("outside") == "1"


def _box_between(start: Element, end: Element, share: float) -> Element:
    """A box at a share of the way between two keyframes."""
    attributes = dict(start.attrib)
    for key in (*BOX, "rotation"):
        default = "0" if key == "rotation" else None
        first, last = number(start.get(key, default)), number(end.get(key, default))
        attributes[key] = repr(first + share * (last - first))
    return Element("box", attributes)


def _place_between(start: Element, end: Element) -> Element:
    """The region around two keyframes, between which an object has some shape."""
    edges = around([EDGES_OF[start.tag](start), EDGES_OF[end.tag](end)])
    return Element(_PLACE, dict(zip(BOX, map(repr, edges), strict=True)))


def _images(
    frames: Sequence[_Frame], images: ImageFiles, remarks: Remarks
) -> Iterator[LabelledImage]:
    for frame in frames:
        file = frame.file or images.find(frame.name, frame.folders, frame.place)
        if file is None:
            continue
        place = f"{frame.place} ({for_message(frame.name)})"
        boxes = []
        for position, (label, shape) in enumerate(frame.shapes):
            box = _box(label, shape, f"{shape.tag} {position}", place, remarks)
            if box is not None:
                boxes.append(box)
        yield LabelledImage(image=file, boxes=boxes, wh=frame.wh, place=place)


def _box(label: str, shape: Element, name: str, image: str, remarks: Remarks) -> LabelledBox | None:
    """The box around a shape; None for what is no object, or has no class."""
    place = f"{image}, {name}"
    if shape.tag in WITHOUT_AREA:
        remarks.count("lines, points and skeletons left out", place)
        return None
    if shape.tag == _UNNUMBERED:
        track = f"{image}, track {for_message(shape.get('track'))}"
        remarks.problem(track, _NUMBER_RULE, got=for_message(shape.get("frame")))
        return None
    if shape.tag == _PLACE:
        return LabelledBox(xyxy=EDGES_OF["box"](shape), name=None, place=name, crowd=True)
    edges_of = EDGES_OF.get(shape.tag)
    if edges_of is None:  # a tag of the whole image
        return None
    if not label:
        remarks.problem(place, "a shape must have a label")
        return unusable(edges_of(shape), name)
    if number(shape.get("rotation", "0")) != 0:
        remarks.count("rotated boxes read as the upright boxes around them", place)
    if shape.get("occluded") == "1":
        event = "boxes marked occluded (CVAT does not say how much: their visibility is unknown)"
        remarks.count(event, place)
    return LabelledBox(xyxy=edges_of(shape), name=label, place=name)


def _size(image: Element) -> tuple[int, int] | None:
    return size_or_none(image.get("width"), image.get("height"))

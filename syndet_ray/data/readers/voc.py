"""Pascal VOC's XML, one file for each image, as VOC itself and labelling tools write it.

VOC itself counts pixels from 1 and includes the last one: xmin 1, xmax 3 are three pixels. It names
itself in `<source><database>The VOC2007 Database`. LabelImg, Roboflow, VoTT and CVAT write edges
from 0.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from xml.etree.ElementTree import Element

from syndet_ray.data.images.unlabelled import SUFFIXES
from syndet_ray.data.readers.image_files import ImageFiles
from syndet_ray.data.readers.label_files import label_files
from syndet_ray.data.readers.label_folders import (
    first_files,
    folders_below,
    image_folders,
    texts_in,
)
from syndet_ray.data.readers.labels import Edges, LabelledBox, LabelledImage, Reading, unusable
from syndet_ray.data.readers.remarks import Remarks
from syndet_ray.data.readers.spellings import shared_end
from syndet_ray.data.readers.splits import SPLITS, by_folder, split_of_name
from syndet_ray.data.readers.values import for_message, number, size_or_none
from syndet_ray.data.readers.xml_file import load_xml
from syndet_ray.errors import DataError

LAYOUT = "Annotations/*.xml of Pascal VOC with JPEGImages/, or .xml files beside their images"
_HEAD = 4096  # bytes of a file in which its first elements stand
_OF_VOC = "The VOC"
_HIDDEN = (
    "boxes marked truncated or occluded (VOC does not say how much: their visibility is unknown)"
)
_NOTE_VOC = (
    "boxes of Pascal VOC itself (its database is the source) count pixels from 1, the last included"
)
_NOTE_TOOLS = (
    "boxes of Pascal VOC's XML are edges from 0, as LabelImg, Roboflow and CVAT write them"
)
_FLAGS = ("truncated", "occluded")
_NO_SUBSET = "default"
_MOST_BYTES = 100_000_000  # of a list of images: more is no such list


def files(folder: Path) -> list[Path]:
    """The XML files of each folder whose first ones are annotations of VOC."""
    paths = []
    for parent in folders_below(folder):
        if any(_is_voc(path) for path in first_files(parent, ".xml")):
            paths += label_files(parent, "*.[xX][mM][lL]")
    return paths


def read(folder: Path, files: Sequence[Path], images: ImageFiles, remarks: Remarks) -> Reading:
    """Every image that has an XML file, negatives included.

    The lists in ImageSets/Main tell the splits, else folders do. A file that cannot be read is a
    problem of the remarks.
    """
    by_list: dict[str, list[Path]] = {split: [] for split in SPLITS}
    without_list = []
    for lists, paths in _by_lists(folder, files).items():
        split_of = _listed_splits(lists, images, remarks)
        if split_of is None:
            without_list += paths
            continue
        for split, path in _of_lists(paths, split_of, remarks):
            by_list[split].append(path)
        _count_unlabelled(lists, split_of, {path.stem for path in paths}, remarks)
    for split, paths in by_folder(folder, without_list).items():
        by_list[split] += paths
    labelled: set[str] = set()
    splits = {}
    for split, paths in by_list.items():
        if paths:
            splits[split] = _images(folder, paths, images, remarks, labelled)
    last = next(reversed(splits), None)
    if last is not None and without_list:
        splits[last] = _with_count(splits[last], labelled, images, remarks)
    return Reading(splits=splits)


def _is_voc(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(_HEAD).replace(b"\0", b"")  # in UTF-16 too
    is_annotation = b"<annotation>" in head or b"<annotation " in head
    return is_annotation and not _is_label_me(head)


def _is_label_me(head: bytes) -> bool:
    """True for the first bytes of an annotation of LabelMe, which has polygons and no boxes."""
    return (b"<polygon>" in head or b"<imagesize>" in head) and b"<bndbox>" not in head


def _by_lists(folder: Path, files: Sequence[Path]) -> dict[Path, list[Path]]:
    """Files by the folder of the lists that tell their splits, which need not exist."""
    lists_of = cache(partial(_lists, folder))
    paths: dict[Path, list[Path]] = {}
    for path in files:
        paths.setdefault(lists_of(path.parent), []).append(path)
    return paths


def _lists(folder: Path, labels: Path) -> Path:
    """The folder of lists beside a folder of labels, or beside one above it."""
    for parent in [labels, *labels.parents]:
        lists = parent / "ImageSets/Main"
        if parent == folder or lists.is_dir():
            return lists
    return labels / "ImageSets/Main"


def _listed_splits(lists: Path, images: ImageFiles, remarks: Remarks) -> dict[str, str] | None:
    """The split of each image by its name in the lists, without ending: "a", "scene1/a"; None where
    no list has the name of a split.

    Lists of one class (cat_train.txt) hold the same images and are not read. trainval.txt counts
    for images that are in no other list. Images of CVAT's default.txt are train beside other lists.
    Another image of two lists belongs to the later split, as in train, val, test.
    """
    stems = [Path(name).stem for name in texts_in(lists, ".txt")]
    of_split = [
        stem for stem in stems if split_of_name(stem) and images.holds(lists / f"{stem}.txt")
    ]
    if not of_split:
        return None
    of_split += [stem for stem in stems if stem.lower() == _NO_SUBSET]
    splits: dict[str, str] = {}
    for stem in sorted(of_split, key=_claim):
        split = split_of_name(stem) or "train"
        for line in _lines(lists / f"{stem}.txt"):
            first = splits.setdefault(_listed_name(line), split)
            if first != split and stem.lower() != "trainval":
                event = f"{split}: images that the list of {first} names too, left out of {split}"
                remarks.count(event, f"{lists / f'{stem}.txt'}, {for_message(line)}")
    return splits


def _claim(stem: str) -> tuple[bool, int]:
    """Sorts lists by their claim on an image that several name: test, val, train, trainval."""
    split = split_of_name(stem) or "train"
    return stem.lower() == "trainval", -list(SPLITS).index(split)


def _lines(path: Path) -> Iterator[str]:
    """The lines of a list that are not empty. Raises DataError for a file that is too large."""
    if path.stat().st_size > _MOST_BYTES:
        raise DataError(path, "is too large for a list of images")
    for line in path.read_bytes().decode("utf-8-sig", errors="replace").splitlines():
        if line.strip():
            yield line.strip().strip('"')


def _stem(name: str) -> str:
    """The name of an image without folders and without the ending of an image file."""
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    stem, suffix = os.path.splitext(base)
    return stem if suffix.lower() in SUFFIXES else base


def _listed_name(line: str) -> str:
    """The name of an image in a list, with slashes and without the ending of an image file."""
    folders = line.replace("\\", "/").rpartition("/")[0]
    return f"{folders}/{_stem(line)}" if folders else _stem(line)


def _of_lists(
    paths: Sequence[Path], split_of: Mapping[str, str], remarks: Remarks
) -> Iterator[tuple[str, Path]]:
    """(split, file) of each file in a list.

    Of images of one name in several folders it is the one whose folders are those of the file.
    """
    names_of: dict[str, list[str]] = {}
    for name in split_of:
        names_of.setdefault(_stem(name), []).append(name)
    for path in paths:
        names = names_of.get(path.stem)
        if names is None:
            remarks.count("labels in no list of ImageSets/Main, left out", str(path))
        else:
            label = path.with_suffix("").as_posix()
            yield split_of[max(names, key=partial(shared_end, label))], path


def _count_unlabelled(
    lists: Path, split_of: Mapping[str, str], stems: set[str], remarks: Remarks
) -> None:
    for name in split_of:
        if _stem(name) not in stems:
            place = f"{lists}, {for_message(name)}"
            remarks.count("images in a list without an XML file, left out", place)


def _with_count(
    part: Iterator[LabelledImage], labelled: set[str], images: ImageFiles, remarks: Remarks
) -> Iterator[LabelledImage]:
    """The images of the last split; then counts images without labels beside the labelled ones."""
    yield from part
    for parent in sorted({os.path.dirname(name) for name in labelled}):
        for file in images.in_folder(images.root / parent):
            if images.id_of(file) not in labelled:
                event = "images without an XML file (not labelled), left out"
                remarks.count(event, images.id_of(file))


def _images(
    folder: Path,
    paths: Sequence[Path],
    images: ImageFiles,
    remarks: Remarks,
    labelled: set[str],
) -> Iterator[LabelledImage]:
    """The images of these files, whose ids are added to `labelled`."""
    folders_of = cache(partial(image_folders, folder))
    for path in paths:
        try:
            root = load_xml(path)
        except DataError as error:
            remarks.problems.append(error)
            continue
        if root.tag != "annotation":
            rule = "must be an annotation of Pascal VOC, with the root <annotation>"
            remarks.problem(str(path), rule, got=for_message(root.tag))
            continue
        file = _image_file(path, root, [*folders_of(path.parent), folder], images, remarks)
        if file is None:
            continue
        labelled.add(images.id_of(file))
        boxes = list(_boxes(path, root, remarks))
        yield LabelledImage(image=file, boxes=boxes, wh=_size(root), place=str(path))


def _image_file(
    path: Path, root: Element, folders: Sequence[Path], images: ImageFiles, remarks: Remarks
) -> Path | None:
    """The image with the name of the XML file, else the one that its <filename> names.

    Images and labels are renamed together, while <filename> keeps the old name.
    """
    name = _text(root, "filename")
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    if _stem(base) == path.stem:
        for parent in folders:
            if base != path.stem and images.holds(parent / base):
                return parent / base
    file = images.with_stem(path.stem, folders)
    if file is None:
        name = _name_with_folders(root, base or f"{path.stem}.jpg", images)
        return images.find(name, folders, str(path))
    if base and _stem(base) != path.stem:
        event = "<filename> names another image than the XML file itself, whose name counts"
        remarks.count(event, f"{path}, {for_message(name)}")
    return file


def _name_with_folders(root: Element, base: str, images: ImageFiles) -> str:
    """The <path> of LabelImg where several images have the base name; else that name."""
    full_name = _text(root, "path")
    is_same = full_name.replace("\\", "/").endswith(f"/{base}")
    return full_name if is_same and len(images.of_base_name(base)) > 1 else base


def _boxes(path: Path, root: Element, remarks: Remarks) -> Iterator[LabelledBox]:
    is_of_voc = _text(root, "source/database").startswith(_OF_VOC)
    for position, element in enumerate(root.iterfind("object")):
        place = f"object {position + 1}"
        where = f"{path}, {place}"
        name = _text(element, "name")
        box = element.find("bndbox")
        if not name or box is None:
            rule = "an object must have a name and a <bndbox>"
            remarks.problem(where, rule, got=for_message(name))
            if box is not None:
                yield unusable(_edges(box, first=1 if is_of_voc else 0), place)
            continue
        remarks.note(_NOTE_VOC if is_of_voc else _NOTE_TOOLS)
        if any(number(_text(element, flag)) > 0 for flag in _FLAGS):
            remarks.count(_HIDDEN, where)
        is_difficult = number(_text(element, "difficult")) > 0
        if is_difficult:
            remarks.count("difficult objects read as crowds, neutral in scores", where)
        edges = _edges(box, first=1 if is_of_voc else 0)
        yield LabelledBox(xyxy=edges, name=name, place=place, crowd=is_difficult)


def _edges(box: Element, first: int) -> Edges:
    """Continuous edges. first: the number of the leftmost pixel in the file."""
    x1, y1, x2, y2 = (number(_text(box, key)) for key in ("xmin", "ymin", "xmax", "ymax"))
    return x1 - first, y1 - first, x2, y2


def _size(root: Element) -> tuple[int, int] | None:
    return size_or_none(_text(root, "size/width"), _text(root, "size/height"))


def _text(element: Element, path: str) -> str:
    """The text of an element below, without blanks around it; "" where there is none."""
    return (element.findtext(path) or "").strip()

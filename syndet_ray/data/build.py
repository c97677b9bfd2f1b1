"""Build: from labels as a reader gives them to records, with labels that index classes; what
cannot be used becomes a problem.
"""

import os
import unicodedata
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np

from syndet_ray.boxes import ANY_CLASS, Boxes, spread_regions
from syndet_ray.data.box_rules import (
    LEAST_PX,
    broken_rule,
    clip,
    hundredths,
    in_shown_frame,
    is_within,
    region_of,
    shorter_px,
    spill_px,
)
from syndet_ray.data.images import picture
from syndet_ray.data.images.encoded import Encoded, PartOfFile
from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.readers.image_files import ImageFiles
from syndet_ray.data.readers.labels import Edges, LabelledBox, LabelledImage, unusable
from syndet_ray.data.readers.remarks import Remarks
from syndet_ray.data.record import Records, Source
from syndet_ray.data.tally import Tally
from syndet_ray.errors import DataError

_SPILL_PX = 0.01  # rounding may put a box this far outside its image; that needs no note
# The labels of the boxes of an image by their place: rounded edges, and whether they are crowds.
_LabelsAt = dict[tuple[tuple[int, int, int, int], bool], list[int]]
# A box, its edges as they were drawn and the part of them in the image
_Drawn = tuple[LabelledBox, Edges, Edges]


class Labels:
    """The names that labels index, in the order of their first box until `classes` sorts them."""

    def __init__(self, options: LabelOptions) -> None:
        self.options = options
        self._label_of: dict[str, int] = {}
        self._new_names: dict[str, str | None] = {}

    def new_name(self, name: str) -> str | None:
        """The name of a class of the data after renaming; None if it is dropped."""
        if name not in self._new_names:
            self._new_names[name] = self.options.new_name(name)
        return self._new_names[name]

    @property
    def unused_names(self) -> list[str]:
        """Names of the class map that no class of the data has had so far."""
        names_of_data = {unicodedata.normalize("NFC", name) for name in self._new_names}
        unused = []
        for name in self.options.classes:
            if unicodedata.normalize("NFC", name) not in names_of_data:
                unused.append(name)
        return sorted(unused)

    def label(self, name: str) -> int:
        """The label of a class by its name after renaming."""
        return self._label_of.setdefault(name, len(self._label_of))

    def classes(self, order: Sequence[str] | None) -> tuple[str, ...]:
        """The classes after renaming: in the order of the format's own, else sorted."""
        if order is None:
            return tuple(sorted(self._label_of))
        names = [self.new_name(name) for name in order]
        in_order = [name for name in names if name]  # a blank one is a problem of its boxes
        return tuple(dict.fromkeys([*in_order, *self._label_of]))

    def new_labels(self, classes: Sequence[str]) -> np.ndarray:
        """(labels,) int64: by a label that was given out, the index into `classes`."""
        index_of = {name: i for i, name in enumerate(classes)}
        return np.array([index_of[name] for name in self._label_of], np.int64)


class SourceBuilder:
    """Takes the labelled images of a split, one after another, and makes them a source."""

    def __init__(self, split: str, files: ImageFiles, labels: Labels, remarks: Remarks) -> None:
        self.split = split
        self.tally = Tally()
        self._files = files
        self._names = labels
        self._remarks = remarks
        self._problems = 0  # of the remarks, those of earlier images
        self._clipped = 0
        self._unusual: list[picture.Header] = []
        self._image_ids: list[str] = []
        self._images: list[Encoded | None] = []
        self._places: list[str] = []
        self._sizes = array("q")
        self._counts = array("q")
        self._edges = array("d")
        self._labels = array("q")
        self._visibility = array("f")
        self._crowd = array("b")

    def add(self, image: LabelledImage) -> None:
        """Adds an image with its boxes; what cannot be used becomes a problem of the remarks."""
        try:
            header = picture.header(image.image, image.place)
            edges = in_shown_frame(image, header)
        except DataError as error:
            self._remarks.problems.append(error)
            self._remarks.boxes_of_problems += len(image.boxes)
            return
        if header.unusual:
            self._unusual.append(header)
        image_id, stored = self._identity(image)
        if not is_text(image_id):
            rule = "the name of an image must be text in UTF-8: rename the file"
            self._remarks.problem(with_escapes(image.place), rule, got=with_escapes(image_id))
            return
        usable = self._usable(image, image_id, edges, header.shown_wh)
        regions = sum(box.is_bad for box, _, _ in usable)
        if self._new_problems(image.place) > regions:
            event = f"{self.split}: images left out, since a bad label does not tell its place"
            self._remarks.count(event, image.place)
            self._remarks.boxes_of_problems += len(usable) - regions
            return
        self._image_ids.append(image_id)
        self._images.append(stored)
        self._places.append(image.place)
        self._sizes.extend(header.shown_wh)
        self._counts.append(self._keep_all(usable, image_id, image.place))

    def _new_problems(self, place: str) -> int:
        """The number of labels that cannot be used of the image that was read last.

        Each stands for an object of which, at best, the place is known.
        """
        problems = self._remarks.problems
        new = problems[self._problems :]
        self._problems = len(problems)
        return sum(str(problem.place).startswith(f"{place}, ") for problem in new)

    def source(self, classes: tuple[str, ...]) -> Source:
        """All images that were added, in the order of their ids, once their classes are known."""
        repeated = self._number_repeated_ids()
        if self._clipped:
            boxes_word = "box" if self._clipped == 1 else "boxes"
            self._remarks.note(f"{self.split}: {self._clipped} {boxes_word} clipped to the image")
        for note in picture.unusual_notes(self._unusual):
            self._remarks.note(f"{self.split}: {note}")
        counts = np.array(self._counts, np.int64)
        boxes = Boxes.of(
            np.frombuffer(self._edges, np.float64) if self._edges else [],
            np.array(self._labels, np.int64),
            np.array(self._visibility, np.float32),
            np.array(self._crowd, bool),
        )
        boxes, counts = _of_known_classes(boxes, counts, self._names.new_labels(classes), classes)
        usable = (at for at in range(len(counts)) if at not in repeated)
        order = sorted(usable, key=self._image_ids.__getitem__)
        records = Records(
            root=self._files.root,
            image_ids=self._image_ids,
            images=self._images,
            places=self._places,
            sizes_wh=np.array(self._sizes, np.int64).reshape(-1, 2),
            box_starts=np.concatenate([[0], np.cumsum(counts)]),
            boxes=boxes,
            order=np.array(order, np.int64),
        )
        return Source(name="real", classes=classes, records=records)

    def _identity(self, image: LabelledImage) -> tuple[str, Encoded | None]:
        """The id of an image, and the image unless the id tells its file."""
        if image.image_id is not None:
            return image.image_id, image.image
        assert isinstance(image.image, Path), image.place
        image_id = self._files.id_of(image.image)
        is_told = os.path.join(self._files.root, image_id) == str(image.image)
        return image_id, None if is_told else image.image

    def _usable(
        self, image: LabelledImage, image_id: str, edges: Sequence[Edges], wh: tuple[int, int]
    ) -> list[_Drawn]:
        """The boxes that can be used, and those to ignore for which a problem was remembered."""
        usable: list[_Drawn] = []
        for box, given in zip(image.boxes, edges, strict=True):
            drawn = box
            if box.name is not None and not self._names.new_name(box.name):
                if self._names.new_name(box.name) is None:
                    event = f"{self.split}: boxes of class {box.name!r} dropped"
                    self._remarks.count(event, f"{image_id}, {box.place}")
                    continue
                rule = "the name of its class must have a character to be seen"
                self._remarks.problem(f"{image.place}, {box.place}", rule, got=box.name)
                drawn = unusable(given, box.place)
            if is_within(given, wh):
                usable.append((drawn, given, given))
            else:
                usable += self._clip(drawn, given, wh, place=f"{image.place}, {box.place}")
        return usable

    def _clip(
        self, box: LabelledBox, given: Edges, wh: tuple[int, int], *, place: str
    ) -> list[_Drawn]:
        """The part of a box in its image, [] where there is none. A bad box is a problem."""
        inside = clip(given, wh)
        rule = broken_rule(given, inside, wh)
        if rule:
            got = [round(float(edge), 2) for edge in given]
            if not box.is_bad:
                self._remarks.problem(place, rule, got=got)
            region = region_of(given, wh)
            bad = replace(box, is_bad=True, crowd=True)
            return [] if region is None else [(bad, region, region)]
        if spill_px(given, inside) > _SPILL_PX and shorter_px(inside) < LEAST_PX:
            event = f"{self.split}: boxes with less than a pixel in the image, left out"
            self._remarks.count(event, place)
            return []
        return [(box, given, inside)]

    def _keep_all(self, usable: Sequence[_Drawn], image_id: str, place: str) -> int:
        """Adds the boxes of an image to the columns; returns how many."""
        kept = 0
        labels_at: _LabelsAt = {}
        for box, given, inside in usable:
            if box.is_bad:
                event = f"{self.split}: bad labels read as regions to ignore"
                self._remarks.count(event, f"{place}, {box.place}")
            if self._keep(box, inside, image_id, labels_at):
                self._clipped += inside is not given and spill_px(given, inside) > _SPILL_PX
                kept += 1
        return kept

    def _keep(self, box: LabelledBox, edges: Edges, image_id: str, labels_at: _LabelsAt) -> bool:
        """Adds a box to the columns, unless its image has it already.

        labels_at  of the boxes of this image so far
        """
        name = None if box.name is None else self._names.new_name(box.name)
        label = ANY_CLASS if name is None else self._names.label(name)
        is_crowd = box.crowd or name is None
        labels = labels_at.setdefault((hundredths(edges), is_crowd), [])
        if label in labels:
            event = f"{self.split}: boxes written twice (one class, one place), counted once"
            self._remarks.count(event, f"{image_id}, {box.place}")
            return False
        if labels and not is_crowd:
            event = f"{self.split}: boxes of another class in the very place of a box, kept"
            self._remarks.count(event, f"{image_id}, {box.place}")
        labels.append(label)
        if name is not None:
            self.tally.add(name, image_id, box.place)
        self._edges.extend(edges)
        self._labels.append(label)
        self._visibility.append(box.visibility)
        self._crowd.append(is_crowd)
        return True

    def _number_repeated_ids(self) -> set[int]:
        """Tells images apart that have one id and other bytes, such as frames of several videos.

        Returns the positions of images that occur twice, which is a problem: which of their labels
        are right is not known.
        """
        repeated: set[int] = set()
        counts = Counter(self._image_ids)
        firsts: dict[tuple[str, bytes], int] = {}
        numbers: Counter[str] = Counter()
        for at, image_id in enumerate(self._image_ids):
            if counts[image_id] == 1:
                continue
            image, place = self._images[at], self._places[at]
            content = sha256(_content(image)).digest()
            first = firsts.setdefault((image_id, content), at)
            if first != at:
                rule = "an image must occur once in a split"
                do = f"It is also {self._places[first]}."
                self._remarks.problems.append(DataError(place, rule, got=image_id, do=do))
                repeated |= {first, at}
                continue
            numbers[image_id] += 1
            if numbers[image_id] > 1:
                self._image_ids[at] = f"{image_id} ({numbers[image_id]})"
                event = f"{self.split}: different images of one name, numbered"
                self._remarks.count(event, f"{place}, {image_id}")
        self._remarks.boxes_of_problems += sum(self._counts[at] for at in repeated)
        return repeated


def _content(image: Encoded | None) -> bytes:
    """The bytes of an image that is in memory or a part of a file; none of a file of its own."""
    if isinstance(image, PartOfFile):
        return image.read_bytes()
    return image if isinstance(image, bytes) else b""


def is_text(name: str) -> bool:
    """False for a name with halves of characters, as JSON and file systems may have them: it can be
    written into no file.
    """
    return name.isascii() or with_escapes(name) == name


def with_escapes(name: str) -> str:
    """A name with the halves of characters as escapes."""
    return name.encode(errors="backslashreplace").decode()


def _of_known_classes(
    boxes: Boxes, counts: np.ndarray, new_labels: np.ndarray, classes: Sequence[str]
) -> tuple[Boxes, np.ndarray]:
    """Boxes with labels that index `classes`, and their number by image.

    A region of any class becomes one crowd of each class, since scores are computed by class.
    """
    is_region = boxes.labels == ANY_CLASS
    labels = boxes.labels.copy()
    labels[~is_region] = new_labels[boxes.labels[~is_region]]
    of_classes = replace(boxes, labels=labels)
    if not is_region.any():
        return of_classes, counts
    spread, rows = spread_regions(of_classes, len(classes))
    image_of_box = np.repeat(np.arange(len(counts)), counts)
    return spread, np.bincount(image_of_box[rows], minlength=len(counts))

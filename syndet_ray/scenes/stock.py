"""Stock: the training photos and cut-outs of which pasted images are made.

    FOLDER/photos/              photos at their working scale with their labels, as a pool
    FOLDER/cutouts/<class>/     objects cut out of these photos, unless a setting names others

A run writes it once, from its training photos alone.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import cv2
import numpy as np

from syndet_ray.data.cutouts import cut_records
from syndet_ray.data.parts_of_photos import box_of_part
from syndet_ray.data.pool import Pool
from syndet_ray.data.record import Record
from syndet_ray.errors import DataError, MachineError
from syndet_ray.files import file_hash, whole_folder
from syndet_ray.folder_names import name_of
from syndet_ray.progress import Progress
from syndet_ray.scenes import cutouts as cutout_files
from syndet_ray.scenes.asset_files import class_folders, cut_out_files
from syndet_ray.scenes.neighbours import below
from syndet_ray.seeds import generator

# Cut-outs of each class that a run makes: more look like one another, and take minutes.
_PER_CLASS = 20
_SEED = 0  # of the choice of objects that are cut out: the same photos give the same cut-outs
_PHOTOS_PER_CUT = 4  # photos to choose from, for each cut-out that is wanted
_DO_CUT = "Cut objects out with `data cutouts` and name its folder as scene.cutouts."
_VERSION = 3  # of the content of a folder: raise it when other cut-outs would be made


@dataclass(frozen=True, eq=False, kw_only=True)
class Cutout:
    """An object: its class, rgb (h, w, 3) uint8 and alpha (h, w) uint8, in working pixels.

    box  (4,) that people placed around it on its photo, in pixels of the cut-out; None if it is not
         known
    """

    label: int
    rgb: np.ndarray
    alpha: np.ndarray
    box: np.ndarray | None

    @property
    def size_wh(self) -> tuple[int, int]:
        height, width = self.alpha.shape
        return width, height


@dataclass(frozen=True, eq=False, kw_only=True)
class Stock:
    """Photos, and cut-outs by name: class and file.

    hashes  of both parts, as the settings of scenes name them: "photos" and "cutouts"
    """

    photos: Pool
    cutouts: Mapping[str, Cutout]
    hashes: Mapping[str, str]

    @property
    def hash(self) -> str:
        """A hash of all that pasted images are made of."""
        return _hash(self.hashes["photos"], self.hashes["cutouts"])

    @cached_property
    def names_by_class(self) -> tuple[tuple[str, ...], ...]:
        """The names of the cut-outs of each class that has any."""
        names: dict[int, list[str]] = {}
        for name, cutout in self.cutouts.items():
            names.setdefault(cutout.label, []).append(name)
        return tuple(tuple(names[label]) for label in sorted(names))

    @property
    def classes_without(self) -> list[str]:
        """The classes of which nothing can be pasted."""
        labels = {cutout.label for cutout in self.cutouts.values()}
        return [name for k, name in enumerate(self.photos.classes) if k not in labels]


def write_stock(
    photos: Pool, cache: Path, place: object, *, cuts: bool, progress: Progress | None = None
) -> Path:
    """Writes training photos into a folder of the cache; returns the folder, which may be there
    already.

    place     the photos, for messages
    cuts      whether objects are cut out of them, too
    progress  called with (cut-outs made, cut-outs wanted in all)

    Raises DataError if no object can be cut out, MachineError if the folder cannot be written.
    """
    folder = cache / f"photos-{_photos_hash(photos, cuts)[:20]}"
    if is_stock(folder):
        return folder
    try:
        with whole_folder(folder) as unfinished:
            photos.save(_photos_in(unfinished))
            if cuts:
                _cut_objects(photos, _cutouts_in(unfinished), place, progress)
    except (OSError, MachineError):
        if not is_stock(folder):  # else another process was faster
            raise
    except DataError as error:
        raise DataError(error.place, error.rule, do=_DO_CUT) from None
    return folder


def _cut_objects(photos: Pool, out: Path, place: object, progress: Progress | None) -> None:
    cut_records(
        _records_to_cut(photos),
        photos.classes,
        out,
        per_class=_PER_CLASS,
        seed=_SEED,
        place=place,
        progress=progress,
    )


def is_stock(folder: Path) -> bool:
    """True for a folder that `write_stock` wrote."""
    return (_photos_in(folder) / "pool.json").is_file()


@cache
def load_stock(photos: str, cutouts: str) -> Stock:
    """The photos in a folder of `write_stock`, and their cut-outs or those of another folder.

    It is read once per process. Raises DataError for folders and cut-outs that cannot be used.
    """
    folder = Path(photos)
    if not photos:
        rule = "names no photos, and pasted images are made of training photos"
        do = "Give the photos with `real`: a sweep and `render` then name them."
        raise DataError("scene.photos", rule, do=do)
    if not is_stock(folder):
        rule = "holds no training photos that a run has prepared"
        do = "Leave scene.photos out: a run writes its own training photos into its cache."
        raise DataError(f"scene.photos: {photos}", rule, do=do)
    pool = Pool.load(_photos_in(folder))
    working_scale = float(np.median(pool.scales)) if cutouts else 1.0
    place = Path(cutouts).expanduser() if cutouts else _cutouts_in(folder)
    files = _cutout_files(place, pool.classes)
    read = {name: _read_cutout(file, label, working_scale) for name, (file, label) in files.items()}
    _check_sizes(read, files, pool)
    contents = [f"{name} {file_hash(file)}" for name, file in _files_read(files)]
    hashes = {"photos": _photos_hash(pool, cuts=False), "cutouts": _hash(*contents)}
    return Stock(photos=pool, cutouts=read, hashes=hashes)


def _photos_in(folder: Path) -> Path:
    return folder / "photos"


def _cutouts_in(folder: Path) -> Path:
    return folder / "cutouts"


def _photos_hash(photos: Pool, cuts: bool) -> str:
    sizes = ["x".join(map(str, size)) for size in photos.sizes_wh.tolist()]
    return _hash(photos.hash, ",".join(sizes), f"{_PER_CLASS} a class" if cuts else "none")


def _hash(*texts: str) -> str:
    return hashlib.sha256("\n".join([*texts, str(_VERSION)]).encode()).hexdigest()


def _records_to_cut(photos: Pool) -> list[Record]:
    """The photos that objects are cut out of, as PNG in memory: some of each class."""
    image_of_box = np.repeat(np.arange(len(photos)), photos.box_counts)
    chosen = set[int]()
    for label in range(len(photos.classes)):
        with_class = np.unique(image_of_box[(photos.labels == label) & ~photos.crowd])
        order = generator(_SEED, "photos to cut", label).permutation(with_class)
        chosen.update(order[: _PHOTOS_PER_CUT * _PER_CLASS].tolist())
    return [_record(photos, i) for i in sorted(chosen)]


def _record(photos: Pool, i: int) -> Record:
    bgr = cv2.cvtColor(photos.image(i), cv2.COLOR_RGB2BGR)
    _, png = cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    width, height = photos.sizes_wh[i].tolist()
    image_id = str(photos.image_ids[i])
    return Record(
        image_id=image_id,
        image=png.tobytes(),
        size_wh=(width, height),
        boxes=photos.boxes(i),
        place=image_id,
    )


def _cutout_files(folder: Path, classes: tuple[str, ...]) -> dict[str, tuple[Path, int]]:
    """The image files of cut-outs with their labels, by class and file. Raises DataError."""
    if not folder.is_dir():
        raise DataError(folder, "is no folder of cut-outs", do=_DO_CUT)
    files: dict[str, tuple[Path, int]] = {}
    unknown = []
    for path in class_folders(folder):
        class_name = name_of(path.name)
        images = cut_out_files(below(path), needed={})
        if not images:
            continue
        if class_name not in classes:
            unknown.append(class_name)
            continue
        label = classes.index(class_name)
        for image in images:
            files[image.relative_to(folder).as_posix()] = image, label
    if unknown:
        rule = f"has cut-outs of classes that the photos lack: {', '.join(unknown)}"
        do = f"Rename or remove these folders; classes of the photos are {', '.join(classes)}."
        raise DataError(folder, rule, do=do)
    if not files:
        rule = "holds no cut-outs: images with transparency, in a folder for each class"
        raise DataError(folder, rule, do=_DO_CUT)
    return files


def _files_read(files: Mapping[str, tuple[Path, int]]) -> Iterator[tuple[str, Path]]:
    """All files that cut-outs are read from, with a name for each."""
    for name, (image, _) in files.items():
        yield name, image
        shape = cutout_files.shape_file(image)
        if shape is not None:
            yield f"shape of {name}", shape


def _read_cutout(image: Path, label: int, working_scale: float) -> Cutout:
    rgb, alpha, corner = cutout_files.trim(*cutout_files.read_pixels(image))
    box = box_of_part(image)
    if box is not None:
        box = (box - np.tile(corner, 2)) * working_scale
    if working_scale != 1:
        size_wh = [max(1, round(side * working_scale)) for side in alpha.shape[::-1]]
        rgb, alpha = resize(rgb, size_wh), resize(alpha, size_wh)
    return Cutout(label=label, rgb=rgb, alpha=alpha, box=box)


def resize(image: np.ndarray, size_wh: Collection[int]) -> np.ndarray:
    """An image (h, w) or (h, w, 3) uint8 in another size."""
    width, height = size_wh
    is_smaller = width * height < image.shape[0] * image.shape[1]
    method = cv2.INTER_AREA if is_smaller else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=method)


def _check_sizes(
    cutouts: Mapping[str, Cutout], files: Mapping[str, tuple[Path, int]], photos: Pool
) -> None:
    """Raises DataError for a cut-out that no photo is large enough for."""
    widest, highest = photos.sizes_wh.max(axis=0).tolist()
    for name, cutout in cutouts.items():
        width, height = cutout.size_wh
        if width > widest or height > highest:
            rule = (
                f"is larger than all photos where they are at their working scale, {widest} x "
                f"{highest} px: it has no place there"
            )
            do = "Make it as large as the object is on photos, in their own pixels."
            raise DataError(files[name][0], rule, got=cutout.size_wh, do=do)

"""Split index: a file that says in which split each photo is; the photos stay as they are."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import syndet_ray
from syndet_ray.data.record import Record, Source
from syndet_ray.errors import DataError
from syndet_ray.files import write_whole
from syndet_ray.wording import command_line, counted

if TYPE_CHECKING:
    from syndet_ray.data.label_options import LabelOptions
    from syndet_ray.data.read import Dataset

FILE_NAME = "syndet_split.json"
_VERSION_KEY = "syndet_split"  # files of other programs do not have it
_VERSION = 1
_SPLITS = ("train", "val", "test")
_HASH_DIGITS = 12  # enough to distinguish two splits, few enough to read
_DO_ABOUT_FILE = "Delete it, or split the photos again with `force`."


@dataclass(frozen=True, kw_only=True)
class SplitIndex:
    """The split of each image of a dataset, and how it was chosen.

    images   image ids by split, sorted
    shares   of the splits that were cut from train
    by       what is kept together besides near copies: "scene", "stem", "time" or None
    resplit  True if images of all splits of the dataset were shared out again
    photos   the folder of the photos if the file is elsewhere; None if it is in that folder
    written_by  the version of this package
    """

    images: Mapping[str, Sequence[str]]
    shares: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    by: str | None = None
    resplit: bool = False
    photos: str | None = None
    written_by: str = syndet_ray.__version__

    @property
    def hash(self) -> str:
        """SHA-256 that identifies which image is in which split."""
        return split_hash(self.images)

    @property
    def short_hash(self) -> str:
        return self.hash[:_HASH_DIGITS]

    def write(self, file: Path) -> Path:
        """Writes the index, whole or not at all. Raises MachineError."""
        content = {_VERSION_KEY: _VERSION, "hash": self.hash, **vars(self)}
        return write_whole(file, json.dumps(content, indent=1).encode())

    def command(self, folder: Path, file: Path, options: "LabelOptions") -> str:
        """The command line that splits the same photos again, their labels read by options."""
        command = ["split", str(folder)]
        for split, share in self.shares.items():
            command += [f"--{split}", f"{share:g}"]
        command += [] if self.by is None else ["--by", self.by]
        command += [] if self.seed == 0 else ["--seed", str(self.seed)]
        command += ["--resplit"] if self.resplit else []
        command += [] if self.photos is None else ["--out", str(file)]
        return command_line("data", *command, *options.command_words, "--force")


def split_hash(images: Mapping[str, Sequence[str]]) -> str:
    """SHA-256 over sorted image ids, each with its split."""
    pairs = [[image_id, split] for split, image_ids in images.items() for image_id in image_ids]
    return hashlib.sha256(json.dumps(sorted(pairs)).encode()).hexdigest()


def test_hash(image_ids: Iterable[str]) -> str:
    """SHA-256 that identifies which images are in test, as each run records it."""
    return split_hash({"test": list(image_ids)})


def ids_by_split(dataset: "Dataset") -> dict[str, list[str]]:
    """The ids of the images of each split, sorted."""
    ids = {}
    for split, source in dataset.splits.items():
        ids[split] = sorted(record.image_id for record in source.records)
    return ids


def photos_and_index(path: Path) -> tuple[Path, Path | None]:
    """The folder of photos that a user names, and the file of its split index, None without one.

    A user names the folder, in which the index may be, or an index that is elsewhere. Raises
    DataError for an index whose photos are gone, or that leads out of its folder.
    """
    if path.is_dir():
        file = path / FILE_NAME
        if not (file.exists() or file.is_symlink()):
            return path, None
        if not file.resolve().is_relative_to(path.resolve()):
            rule = "is a link that leads out of the folder of the photos"
            raise DataError(
                file, rule, do="Copy the file itself, or name it instead of the photos."
            )
        return path, file
    if path.suffix != ".json" or not path.is_file() or not is_index(path):
        return path, None
    index = load(path)
    if index.photos is None:
        do = "Name their folder: the index in it is read."
        raise DataError(path, "does not name the folder of its photos", do=do)
    if not Path(index.photos).is_dir():
        do = "Bring them back, or split them where they are now."
        raise DataError(path, "the folder of its photos is gone", got=index.photos, do=do)
    return Path(index.photos), path


def is_index(file: Path) -> bool:
    """True for a file that `SplitIndex.write` wrote, in this version or another one."""
    try:
        content = _content(file)
    except DataError:
        return False
    return isinstance(content, dict) and _VERSION_KEY in content


def load(file: Path) -> SplitIndex:
    """The index in a file. Raises DataError for a file that cannot be one."""
    content = _content(file)
    if not isinstance(content, dict) or _VERSION_KEY not in content:
        raise DataError(file, "is no split index", do=_DO_ABOUT_FILE)
    if content[_VERSION_KEY] != _VERSION:
        rule = "is a split index of another version of syndet_ray"
        do = "Read it with that version, or split the photos again with `force`."
        raise DataError(file, rule, got=content.get("written_by"), do=do)
    index = _index(file, content)
    if index.hash != content.get("hash"):
        rule = "was changed after it was written: its hash is another one"
        raise DataError(file, rule, do="Restore it, or split the photos again with `force`.")
    return index


def apply(dataset: "Dataset", file: Path | None) -> "Dataset":
    """The dataset with the splits of an index; the dataset itself if `file` is None.

    Raises DataError unless the index names exactly the images of the dataset.
    """
    if file is None:
        return dataset
    index = load(file)
    split_of: dict[str, str] = {}
    for split, image_ids in index.images.items():
        split_of |= dict.fromkeys(image_ids, split)
    _check_same_images(dataset, index, split_of, file)
    counts = ", ".join(f"{len(ids)} {split}" for split, ids in index.images.items() if ids)
    note = f"split by {file.name}: {counts}; hash of the split {index.short_hash}"
    divided = with_splits(dataset, split_of)
    return replace(divided, notes=(*divided.notes, note), index_file=file)


def with_splits(dataset: "Dataset", split_of: Mapping[str, str]) -> "Dataset":
    """The dataset with each image in another split, by its id; a split without images is left out.

    Raises DataError where two images have one id.
    """
    source = whole(dataset)
    splits = {}
    words = {}
    for split in _SPLITS:
        positions = [i for i, name in enumerate(source.image_ids()) if split_of[name] == split]
        if positions:
            splits[split] = source.select(positions)
            words[split] = _box_words(splits[split])
    return replace(dataset, splits=splits, boxes_in=words)


def whole(dataset: "Dataset") -> Source:
    """All images of a dataset in one source, in the order of their ids.

    Raises DataError where two images have one id.
    """
    sources = list(dataset.splits.values())
    _check_unique_ids(dataset)
    if len(sources) == 1:
        return in_order(sources[0])
    records = chain.from_iterable(source.records for source in sources)
    return in_order(replace(sources[0], records=tuple(records)))


def in_order(source: Source) -> Source:
    """The images of a source in the order of their ids."""
    image_ids = source.image_ids()
    return source.select(sorted(range(len(source)), key=lambda i: image_ids[i]))


def _check_unique_ids(dataset: "Dataset") -> None:
    """Raises DataError where images of two splits have one id."""
    places: dict[str, tuple[str, str]] = {}
    for split, source in dataset.splits.items():
        for record in source.records:
            other, place = places.setdefault(record.image_id, (split, record.place))
            if other != split:
                rule = f"image {record.image_id!r} of {split} has the name of one of {other}"
                do = "Rename one of them, or delete it if they are copies."
                raise DataError(record.place, f"{rule} ({place})", do=do)


def _check_same_images(
    dataset: "Dataset", index: SplitIndex, split_of: Mapping[str, str], file: Path
) -> None:
    """Raises DataError that counts and names images in only one of a dataset and its index."""
    _check_unique_ids(dataset)
    present = {record.image_id for source in dataset.splits.values() for record in source.records}
    new = sorted(present - split_of.keys())
    gone = sorted(split_of.keys() - present)
    if not new and not gone:
        return
    if len(new) == len(present):
        rule = f"names none of the {counted(len(present), 'image')}: it belongs to other photos"
        raise DataError(file, rule, do=_DO_ABOUT_FILE)
    differences = []
    if new:
        differences.append(f"{counted(len(new), 'image')} not in it, such as {new[0]!r}")
    if gone:
        differences.append(f"{counted(len(gone), 'image')} missing, such as {gone[0]!r}")
    rule = f"is out of date: {'; '.join(differences)}"
    again = index.command(dataset.path, file, dataset.options)
    do = f"Bring back what is missing, move new images elsewhere, or split all again: {again}"
    raise DataError(file, rule, do=f"{do} (the test set is another one then).")


def _content(file: Path) -> Any:
    """The content of a JSON file. Raises DataError."""
    if file.exists() and not file.is_file():  # a pipe would be read for ever
        raise DataError(file, "is not a file", do=_DO_ABOUT_FILE)
    try:
        return json.loads(file.read_bytes())
    except RecursionError:
        raise DataError(file, "is nested too deep", do=_DO_ABOUT_FILE) from None
    except ValueError as error:
        raise DataError(file, f"is not valid JSON ({error})", do=_DO_ABOUT_FILE) from None


def _index(file: Path, content: Mapping[str, Any]) -> SplitIndex:
    """The index of a file's content. Raises DataError where a value is not what it should be."""
    images = content.get("images")
    if not isinstance(images, dict) or not all(map(_is_texts, images.values())):
        raise DataError(file, "must have lists of image names by split", do=_DO_ABOUT_FILE)
    unknown = sorted(images.keys() - set(_SPLITS))
    if unknown:
        rule = f"has a split that is none of {', '.join(_SPLITS)}"
        raise DataError(file, rule, got=unknown[0], do=_DO_ABOUT_FILE)
    counts = Counter(chain.from_iterable(images.values()))
    repeated = [image_id for image_id, count in counts.items() if count > 1]
    if repeated:
        raise DataError(file, f"names image {repeated[0]!r} twice", do=_DO_ABOUT_FILE)
    return SplitIndex(images=images, **_settings(file, content))


def _settings(file: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """The settings by which an index was made. Raises DataError for a value of another type."""
    kinds: dict[str, tuple[type, ...]] = {
        "shares": (dict,),
        "seed": (int,),
        "by": (str, type(None)),
        "resplit": (bool,),
        "photos": (str, type(None)),
        "written_by": (str,),
    }
    settings: dict[str, Any] = {}
    for name, types in kinds.items():
        settings[name] = content.get(name)
        if not isinstance(settings[name], types):
            raise DataError(file, f"has no valid {name!r}", got=settings[name], do=_DO_ABOUT_FILE)
    shares: dict[str, Any] = settings["shares"]
    for split, share in shares.items():
        if split not in _SPLITS or not isinstance(share, float):
            raise DataError(file, "has no valid 'shares'", got=shares, do=_DO_ABOUT_FILE)
    return settings


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _box_words(source: Source) -> dict[str, str]:
    """For each class, how many boxes it has and on which image the first is, in words."""
    counts = dict.fromkeys(source.classes, 0)
    firsts: dict[str, str] = {}
    for name, record in _boxes(source):
        counts[name] += 1
        firsts.setdefault(name, record.image_id)
    words = {}
    for name, count in counts.items():
        first = "" if count == 0 else f": {firsts[name]}"
        words[name] = f"1 box{first}" if count == 1 else f"{count} boxes, the first{first}"
    return words | {name: "no box" for name, count in counts.items() if not count}


def _boxes(source: Source) -> Iterator[tuple[str, Record]]:
    """The class of each box of a source, with the record of its image; crowds are none."""
    for record in source.records:
        boxes = record.boxes
        for label in boxes.labels[~boxes.crowd].tolist():
            yield source.classes[label], record

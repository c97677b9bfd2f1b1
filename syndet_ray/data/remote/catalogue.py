"""Catalogue: public datasets that `data fetch` knows, as plain values."""

from dataclasses import dataclass

from syndet_ray.errors import DefinitionError, nearest_and_all


@dataclass(frozen=True, kw_only=True)
class CatalogueFile:
    """A file of a dataset on a web server.

    name    its path in the dataset's folder; for an archive, which is unpacked, any
    size    bytes; None where they are not known
    sha256  None where its publisher states none: then the first one that comes is kept
    crc32   a sum that its publisher states; it finds damage, and no bad intention
    """

    url: str
    name: str
    size: int | None = None
    sha256: str | None = None
    crc32: int | None = None


@dataclass(frozen=True, kw_only=True)
class CatalogueEntry:
    """A public dataset.

    remark  what its user must know before it is fetched; "" for nothing
    """

    name: str
    about: str
    licence: str
    citation: str
    files: tuple[CatalogueFile, ...]
    remark: str = ""

    @property
    def size(self) -> int | None:
        """Bytes of all files; None if those of one are not known."""
        sizes = [file.size for file in self.files if file.size is not None]
        return sum(sizes) if len(sizes) == len(self.files) else None


_DICE = (
    "https://raw.githubusercontent.com/nell-byler/dice_detection/"
    "aa69c12b3b288df45d7ff8e77c0660d10f67b32b"
)
_CHESS = "246442c35465cdc9c917cdd0aa36698320def063"

CATALOGUE = {
    entry.name: entry
    for entry in (
        CatalogueEntry(
            name="d6-dice",
            about="250 photos of six-sided dice in a tray, 640 x 640; 200 train, 50 test",
            licence="BSD-3-Clause (its LICENSE is fetched too)",
            citation="Nell Byler: dice_detection, github.com/nell-byler/dice_detection",
            files=(
                CatalogueFile(
                    url=f"{_DICE}/tfrecords/train.record",
                    name="train.record",
                    size=3_794_824,
                    sha256="6476ed02ceb1f6a0a8487c91f2c25397f869bf88e054265a783a5e88264c4b8f",
                ),
                CatalogueFile(
                    url=f"{_DICE}/tfrecords/test.record",
                    name="test.record",
                    size=910_001,
                    sha256="00ceed8d10f014d9389d631a17c2618d2634f2936d71fabb2d88953ea066ae19",
                ),
                CatalogueFile(
                    url=f"{_DICE}/data/dice_label_map.pbtxt",
                    name="dice_label_map.pbtxt",
                    size=195,
                    sha256="d8238e8214821c53bf149131f685e558209128c17a9a3f861d9489356bc02c0a",
                ),
                CatalogueFile(
                    url=f"{_DICE}/LICENSE",
                    name="LICENSE",
                    size=1518,
                    sha256="0d46013f10adbe692e7d7a2a407512af89e91823ed3da6e8f37d1a3a85db29a2",
                ),
            ),
        ),
        CatalogueEntry(
            name="chess",
            about="289 photos of one chess board, 2048 px wide; 202 train, 58 val, 29 test",
            licence='"Public Domain" (stated in its README.dataset.txt)',
            citation="Roboflow: Chess Pieces, version 23, in github.com/jsansao/ChessPiecesv23",
            files=(
                CatalogueFile(
                    url=f"https://github.com/jsansao/ChessPiecesv23/archive/{_CHESS}.zip",
                    name="chess.zip",
                ),
            ),
            remark="It has two classes besides the pieces: `pieces`, without boxes, and `bishop`.",
        ),
        CatalogueEntry(
            name="groceries-real",
            about="1267 photos of 63 groceries, 5184 x 3456; 760 train, 253 val, 254 test",
            licence="non-commercial use, as is; see Unity-Technologies/SynthDet on GitHub",
            citation="Unity: UnityGroceries-Real v3, from datasetinsights and SynthDet",
            files=(
                CatalogueFile(
                    url="https://storage.googleapis.com/datasetinsights/data/groceries/v3.zip",
                    name="v3.zip",
                    crc32=2_322_380_006,  # stated in datasetinsights' groceries_real.py
                ),
            ),
            remark="Untried: its address is that of 2020. Photos of this size take some 10 GB.",
        ),
    )
}


def entry_named(name: str) -> CatalogueEntry:
    """The dataset of that name. Raises DefinitionError for a name that is not in the catalogue."""
    if name not in CATALOGUE:
        rule = "must be the name of a public dataset"
        raise DefinitionError("NAME", rule, got=name, do=nearest_and_all(name, CATALOGUE))
    return CATALOGUE[name]

"""What do our readers make of labels that the tools themselves wrote?

    python benchmarks/writers.py photos ../shared/data/chess CONTENT    # photos and truth.json
    VENV/bin/python benchmarks/writers.py export CONTENT EXPORTS    # VENV: of the tools
    python benchmarks/writers.py compare CONTENT EXPORTS    # a table

The names of the photos and of their classes are of the kind on which tools stumble. `export` lets
each tool that is installed write all of its formats, and names the others. `compare` reads each
export, finds each photo by its pixels, because tools rename and re-encode, and compares its boxes.
"""

import argparse
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
from PIL import Image, ImageOps

NAMES = (
    "left/IMG 1.jpg",
    "right/IMG 1.jpg",
    "left/Foto #3.JPG",
    "left/50%20off.jpg",
    "right/grün äöü.jpg",
    "right/a.b.c.jpg",
    "right/plain.jpeg",
    "turned.jpg",
    "nothing.jpg",
)
TURNED = "turned.jpg"  # its pixels lie on the side, and its EXIF orientation is 6
NEGATIVE = "nothing.jpg"
PHOTOS = 30
CLASSES = ("soda/can", "_cup", "Größe M", "white pawn", "2nd place", "king")
THUMBNAIL = (64, 64)


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A photo: its name, width and height as a viewer shows it, and (class, x1, y1, x2, y2)."""

    name: str
    width: int
    height: int
    boxes: list[tuple[str, float, float, float, float]]

    def corners(self) -> np.ndarray:
        return np.array([box[1:] for box in self.boxes], float).reshape(-1, 4)

    def numbers(self) -> np.ndarray:
        return np.array([CLASSES.index(box[0]) for box in self.boxes], int)


def make_photos(dataset: Path, content: Path) -> None:
    """Copies photos under names that bite, and writes their boxes to truth.json."""
    from syndet_ray.data.read import read

    source = read(dataset).splits["train"]
    records = [record for record in source.records if len(record.boxes) > 1][:PHOTOS]
    names = [*NAMES, *(f"photo_{i:03}.jpg" for i in range(PHOTOS))]
    photos = []
    for name, record in zip(names, records, strict=False):
        file = content / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        assert isinstance(record.image, Path)
        copyfile(record.image, file)
        if name == TURNED:
            turn(file)
        boxes = {}
        for label, edges in zip(record.boxes.labels, record.boxes.xyxy.tolist(), strict=True):
            rounded = [round(edge, 2) for edge in edges]
            boxes[tuple(rounded)] = (CLASSES[label % len(CLASSES)], *rounded)
        width, height = map(int, record.size_wh)
        listed = [] if name == NEGATIVE else list(boxes.values())
        photos.append(Photo(name=name, width=width, height=height, boxes=listed))
    rows = [asdict(photo) for photo in photos]
    (content / "truth.json").write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")


def turn(file: Path) -> None:
    """Saves an upright photo lying on its side, with the orientation that sets it upright."""
    with Image.open(file) as image:
        exif = Image.Exif()
        exif[0x0112] = 6
        image.transpose(Image.Transpose.ROTATE_90).save(file, exif=exif, quality=95)


def load(content: Path) -> list[Photo]:
    rows = json.loads((content / "truth.json").read_text(encoding="utf-8"))
    return [Photo(**row) for row in rows]


def flat_copies(content: Path, photos: Sequence[Photo], out: Path) -> list[tuple[Path, Photo]]:
    """Photos in one folder, for tools that forbid two of one name: IMG 1.jpg, right IMG 1.jpg."""
    out.mkdir(parents=True, exist_ok=True)
    taken: set[str] = set()
    files = []
    for photo in photos:
        name = photo.name.rpartition("/")[2]
        name = photo.name.replace("/", " ") if name in taken else name
        taken.add(name)
        copyfile(content / "photos" / photo.name, out / name)
        files.append((out / name, photo))
    return files


def supervision(content: Path, photos: Sequence[Photo], out: Path) -> None:
    sv = import_module("supervision")

    scratch = out.with_name("supervision_photos")
    files = flat_copies(content, photos, scratch)
    parts = {"train": files[:18], "valid": files[18:24], "test": files[24:]}
    for split, part in parts.items():
        annotations = {}
        for file, photo in part:
            found = sv.Detections.empty()
            if photo.boxes:
                found = sv.Detections(xyxy=photo.corners(), class_id=photo.numbers())
            annotations[str(file)] = found
        names = [str(file) for file, _ in part]
        dataset = sv.DetectionDataset(list(CLASSES), names, annotations)
        coco, voc, yolo = out / "coco" / split, out / "voc" / split, out / "yolo" / split
        dataset.as_coco(str(coco), str(coco / "_annotations.coco.json"))
        dataset.as_pascal_voc(str(voc), str(voc))
        dataset.as_yolo(str(yolo / "images"), str(yolo / "labels"), str(out / "yolo/data.yaml"))
        plain = out / "coco_readme" / split  # as the example of its documentation
        dataset.as_coco(str(plain / "images"), str(plain / "annotations.json"))
        createml = out / "createml" / split
        dataset.as_createml(str(createml), str(createml / "_annotations.createml.json"))
        labelme = out / "labelme" / split
        dataset.as_labelme(str(labelme), str(labelme))


def globox(content: Path, photos: Sequence[Photo], out: Path) -> None:
    gb = import_module("globox")

    boxes = gb.AnnotationSet()
    for photo in photos:
        listed = [gb.BoundingBox.create(label=n, coords=tuple(c)) for n, *c in photo.boxes]
        size = (photo.width, photo.height)
        boxes.add(gb.Annotation(image_id=photo.name, image_size=size, boxes=listed))
    for kind in ("coco", "voc", "cvat", "yolo", "labelme"):
        copy_photos(content, photos, out / kind)
    boxes.save_coco(out / "coco/labels.json", auto_ids=True)
    boxes.save_cvat(out / "cvat/annotations.xml")
    numbers = {name: i for i, name in enumerate(CLASSES)}
    boxes.save_yolo_darknet(out / "yolo", label_to_id=numbers)
    (out / "yolo/classes.txt").write_text("\n".join(CLASSES), encoding="utf-8")
    boxes.save_pascal_voc(out / "voc")
    boxes.save_labelme(out / "labelme")


def labelimg(content: Path, photos: Sequence[Photo], out: Path) -> None:
    """As its window saves: whole pixels from 1, one file a photo, beside it or in one folder."""
    voc_writer = import_module("libs.pascal_voc_io").PascalVocWriter
    yolo_writer = import_module("libs.yolo_io").YOLOWriter
    createml_writer = import_module("libs.create_ml_io").CreateMLWriter

    names = ["dog", "person", "cat"]  # the first of its predefined classes; own ones are appended
    for kind in ("voc", "yolo", "createml"):
        copy_photos(content, photos, out / kind)
        copy_photos(content, photos, out / f"{kind}_save_dir/photos")
        (out / f"{kind}_save_dir/labels").mkdir(exist_ok=True)
    for photo in photos:
        size = (photo.height, photo.width, 3)
        shapes = []
        full_name = f"/home/me/photos/{photo.name}"
        voc = voc_writer("photos", Path(photo.name).name, size, local_img_path=full_name)
        yolo = yolo_writer("photos", Path(photo.name).name, size)
        for name, *edges in photo.boxes:
            left, top, right, bottom = map(int, edges)
            box = (max(left, 1), max(top, 1), right, bottom)
            voc.add_bnd_box(*box, name, 0)
            yolo.add_bnd_box(*box, name, 0)
            x1, y1, x2, y2 = edges
            points = [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]
            shapes.append({"label": name, "points": points})
        stem = Path(photo.name).with_suffix("")
        for folder, label in (("", stem), ("_save_dir/labels", Path(stem.name))):
            voc.save(out / f"voc{folder}" / f"{label}.xml")
            yolo.save(names, out / f"yolo{folder}" / f"{label}.txt")
            target = out / f"createml{folder}" / f"{label}.json"
            createml_writer("photos", Path(photo.name).name, size, shapes, target).write()


DATUMARO_FORMATS = (
    *("coco", "coco_instances", "cvat", "datumaro", "kitti", "kitti_detection", "label_me"),
    *("tf_detection_api", "voc", "voc_detection", "yolo", "yolo_ultralytics", "vott_json"),
    *("open_images", "roboflow_coco", "roboflow_voc", "roboflow_yolo", "segment_anything"),
)


def datumaro(content: Path, photos: Sequence[Photo], out: Path) -> None:
    dm = import_module("datumaro")

    subsets = ("train", "train", "train", "val", "test")
    items = []
    for i, photo in enumerate(photos):
        boxes = []
        for number, (x1, y1, x2, y2) in zip(photo.numbers(), photo.corners(), strict=True):
            box = dm.Bbox(x1, y1, x2 - x1, y2 - y1, label=int(number))
            boxes.append(box)
        image = dm.Image.from_file(path=str(content / "photos" / photo.name))
        name = str(Path(photo.name).with_suffix(""))
        item = dm.DatasetItem(name, subset=subsets[i % 5], media=image, annotations=boxes)
        items.append(item)
    dataset = dm.Dataset.from_iterable(items, categories=list(CLASSES))
    for kind in DATUMARO_FORMATS:
        try:
            dataset.export(str(out / kind), kind, save_media=True)
        except Exception as error:  # a format that Datumaro does not write, or not from boxes
            print(f"datumaro {kind}: {type(error).__name__} {str(error)[:100]}")


def fiftyone(content: Path, photos: Sequence[Photo], out: Path) -> None:
    """Its exporters alone, without its database: they are what `dataset.export` calls."""
    import os

    os.environ["FIFTYONE_DATABASE_URI"] = "mongodb://127.0.0.1:1"
    os.environ["FIFTYONE_DO_NOT_TRACK"] = "1"
    fo = import_module("fiftyone")
    numbered = {"classes": list(CLASSES)}
    exporters: dict[str, tuple[str, str, dict[str, Any]]] = {
        "coco": ("coco", "COCODetectionDatasetExporter", {}),
        "cvat": ("cvat", "CVATImageDatasetExporter", {}),
        "kitti": ("kitti", "KITTIDetectionDatasetExporter", {}),
        "voc": ("voc", "VOCDetectionDatasetExporter", {}),
        "yolov4": ("yolo", "YOLOv4DatasetExporter", numbered),
        "yolov5": ("yolo", "YOLOv5DatasetExporter", numbered),
    }
    parts = {"train": photos[:18], "val": photos[18:24], "test": photos[24:]}
    for kind, (module, name, arguments) in exporters.items():
        make = getattr(import_module(f"fiftyone.utils.{module}"), name)
        runs: list[tuple[Path, dict[str, Any], Sequence[Photo]]] = [(out / kind, {}, photos)]
        if kind == "yolov5":
            runs += [
                (out / "yolov5_splits", {"split": split}, part) for split, part in parts.items()
            ]
        else:
            runs += [(out / f"{kind}_splits" / split, {}, part) for split, part in parts.items()]
        for folder, more, part in runs:
            with make(export_dir=str(folder), export_media=True, **arguments, **more) as exporter:
                for photo in part:
                    file = str(content / "photos" / photo.name)
                    metadata = fo.ImageMetadata.build_for(file)
                    labels = fo.Detections(detections=fiftyone_boxes(fo, photo))
                    exporter.export_sample(file, labels, metadata)


def fiftyone_boxes(fo: Any, photo: Photo) -> list[Any]:
    boxes = []
    for name, x1, y1, x2, y2 in photo.boxes:
        width, height = photo.width, photo.height
        shares = [x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height]
        boxes.append(fo.Detection(label=name, bounding_box=shares))
    return boxes


def labelme(content: Path, photos: Sequence[Photo], out: Path) -> None:
    """As its window saves: beside the photos, with or without their pixels, or in one folder."""
    label_file = import_module("labelme._label_file")

    for kind in ("beside", "with_pixels", "save_dir/photos"):
        copy_photos(content, photos, out / kind)
    (out / "save_dir/labels").mkdir(exist_ok=True)
    for photo in photos:
        shapes = []
        for name, x1, y1, x2, y2 in photo.boxes:
            points = [[x1, y1], [x2, y2]]
            more: dict[str, Any] = {"group_id": None, "description": "", "flags": {}, "mask": None}
            shapes.append({"label": name, "points": points, "shape_type": "rectangle", **more})
        file = Path(photo.name)
        places = {
            f"beside/{file.with_suffix('.json')}": (file.name, None),
            f"with_pixels/{file.with_suffix('.json')}": (file.name, out / "beside" / file),
            f"save_dir/labels/{file.stem}.json": (f"..\\photos\\{photo.name}", None),
        }
        for place, (path, pixels) in places.items():
            label_file.write_label_file(
                str(out / place),
                shapes=shapes,
                image_path=path,
                image_height=photo.height,
                image_width=photo.width,
                image_data=None if pixels is None else label_file.read_image_file(str(pixels)),
            )


def tensorflow(content: Path, photos: Sequence[Photo], out: Path) -> None:
    """Records as the tutorials of its Object Detection API write them, also compressed."""
    tf = import_module("tensorflow")

    def texts(values: Sequence[bytes]) -> Any:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

    def floats(values: Sequence[float]) -> Any:
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))

    def integers(values: Sequence[int]) -> Any:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    for kind in ("", "GZIP"):
        folder = out / (f"record_{kind}".lower().rstrip("_"))
        folder.mkdir(parents=True, exist_ok=True)
        options = tf.io.TFRecordOptions(compression_type=kind)
        with tf.io.TFRecordWriter(str(folder / "train.record"), options) as writer:
            for photo in photos:
                encoded = (content / "photos" / photo.name).read_bytes()
                shares = photo.corners() / ([photo.width, photo.height] * 2)
                features = {
                    "image/height": integers([photo.height]),
                    "image/width": integers([photo.width]),
                    "image/filename": texts([photo.name.encode()]),
                    "image/source_id": texts([photo.name.encode()]),
                    "image/encoded": texts([encoded]),
                    "image/format": texts([b"jpg"]),
                    "image/object/class/text": texts([box[0].encode() for box in photo.boxes]),
                    "image/object/class/label": integers((photo.numbers() + 1).tolist()),
                }
                for at, edge in enumerate(("xmin", "ymin", "xmax", "ymax")):
                    features[f"image/object/bbox/{edge}"] = floats(shares[:, at].tolist())
                example = tf.train.Example(features=tf.train.Features(feature=features))
                writer.write(example.SerializeToString())
        items = [f"item {{\n  id: {i}\n  name: '{name}'\n}}\n" for i, name in enumerate(CLASSES, 1)]
        (folder / "label_map.pbtxt").write_text("".join(items), encoding="utf-8")


def copy_photos(content: Path, photos: Iterable[Photo], out: Path) -> None:
    for photo in photos:
        (out / photo.name).parent.mkdir(parents=True, exist_ok=True)
        copyfile(content / "photos" / photo.name, out / photo.name)


TOOLS: Mapping[str, Callable[[Path, Sequence[Photo], Path], None]] = {
    "supervision": supervision,
    "datumaro": datumaro,
    "fiftyone": fiftyone,
    "globox": globox,
    "labelimg": labelimg,
    "labelme": labelme,
    "tensorflow": tensorflow,
}


def export(content: Path, exports: Path, only: str) -> None:
    """Lets each tool that is installed write the photos in its formats, and names the others."""
    photos = load(content)
    for name, write in TOOLS.items():
        if only not in name:
            continue
        try:
            write(content, photos, exports / name)
            print(f"{name}: written")
        except ImportError as error:
            print(f"{name}: skipped, {error}")


def thumbnail(image: Image.Image) -> np.ndarray:
    upright = ImageOps.exif_transpose(image).convert("L").resize(THUMBNAIL)
    return np.asarray(upright, float)


def compare(content: Path, exports: Path, only: str) -> None:
    photos = load(content)
    thumbnails = []
    for photo in photos:
        with Image.open(content / "photos" / photo.name) as image:
            thumbnails.append(thumbnail(image))
    print("| export | photos | boxes | furthest edge, px | what differs |\n|---|---|---|---|---|")
    for folder in sorted(path for path in exports.glob("*/*") if path.is_dir()):
        name = folder.relative_to(exports).as_posix()
        if only in name:
            print(row(name, folder, photos, thumbnails), flush=True)


def row(name: str, folder: Path, photos: Sequence[Photo], thumbnails: list[np.ndarray]) -> str:
    from syndet_ray.data.read import read
    from syndet_ray.errors import SyndetError

    try:
        dataset = read(folder)
    except SyndetError as error:
        return f"| {name} | | | | refused: {str(error)[:900].replace(f'{folder}/', '')} |"
    found = 0
    furthest = 0.0
    differences = [*dataset.notes]
    left = {photo.name for photo in photos}
    for split, source in dataset.splits.items():
        for record in source.records:
            photo = photo_of(record.image, photos, thumbnails)
            left.discard(photo.name)
            names = [source.classes[label] for label in record.boxes.labels]
            boxes = list(zip(names, record.boxes.xyxy.tolist(), strict=True))
            matched, edge, words = match(photo, boxes)
            found += matched
            furthest = max(furthest, edge)
            differences += [f"{split} {photo.name}: {word}" for word in words]
            if tuple(record.size_wh) != (photo.width, photo.height):
                differences.append(f"{photo.name}: size {tuple(record.size_wh)}")
    extra = [c for c in dataset.classes if c not in CLASSES]
    missing = [c for c in CLASSES if c not in dataset.classes]
    if extra or missing:
        differences.append(f"classes: extra {extra}, missing {missing}")
    if left:
        differences.append(f"photos missing: {sorted(left)}")
    total = sum(len(photo.boxes) for photo in photos)
    counts = " ".join(f"{split} {len(s.records)}" for split, s in dataset.splits.items())
    listed = "; ".join(word.replace(f"{folder}/", "") for word in differences[:8])
    return f"| {name} ({dataset.format}) | {counts} | {found}/{total} | {furthest:.2f} | {listed} |"


def photo_of(image: Any, photos: Sequence[Photo], thumbnails: list[np.ndarray]) -> Photo:
    """The photo that an image shows."""
    file = io.BytesIO(image) if isinstance(image, bytes) else image
    with Image.open(file if isinstance(file, Path | io.BytesIO) else file.open()) as opened:
        small = thumbnail(opened)
    distances = [float(np.abs(small - one).mean()) for one in thumbnails]
    return photos[int(np.argmin(distances))]


def match(photo: Photo, boxes: Sequence[tuple[str, list[float]]]) -> tuple[int, float, list[str]]:
    """Boxes found, the furthest distance of an edge among them, and what differs, in words."""
    left = list(boxes)
    found = 0
    furthest = 0.0
    words = []
    for name, *edges in photo.boxes:
        distances = [
            max(abs(a - b) for a, b in zip(edges, box, strict=True)) if n == name else np.inf
            for n, box in left
        ]
        nearest = int(np.argmin(distances)) if distances else -1
        if nearest < 0 or distances[nearest] > 3:
            words.append(f"lacks {name} {edges}")
            continue
        found += 1
        furthest = max(furthest, distances[nearest])
        del left[nearest]
    words += [f"has {name} {box} too" for name, box in left]
    return found, furthest, words


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", choices=("photos", "export", "compare"))
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--only", default="", help="tools whose names contain this")
    given = parser.parse_args()
    if given.verb == "photos":
        make_photos(given.source, given.target)
    elif given.verb == "export":
        export(given.source, given.target, given.only)
    else:
        compare(given.source, given.target, given.only)


if __name__ == "__main__":
    main()

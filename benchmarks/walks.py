"""From the export of a labelling tool to a running `check`: which commands does it take?

    python benchmarks/walks.py ../shared/data/chess
    python benchmarks/walks.py ../shared/data/chess --keep exports/     # the exports stay there

Sixty photos are written as each tool exports them, with what is odd about its names and folders.
Then the commands are run as a user types them: `check` alone, or `data split` before it.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile
from typing import Any
from xml.sax.saxutils import escape

from syndet_ray.data.read import read

PHOTOS = 60
CHECK = ("check", "photos_alone", "--local", "--real")
HOLD_OUT = ("--hold-out", "0.2")
# parts of notes of `check` that say nothing about the labels
NOT_OF_LABELS = ("photos are brought", "decoded, they take", "held out", "cut from train")
UPLOADED = "1a2b3c4d-"  # as Label Studio renames what is uploaded
Boxes = list[tuple[str, float, float, float, float]]


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A photo: its file, width and height in pixels, and (class, x1, y1, x2, y2) of its boxes."""

    file: Path
    width: int
    height: int
    boxes: Boxes

    def copy(self, folder: Path, prefix: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        copyfile(self.file, folder / f"{prefix}{self.file.name}")


def photos_of(folder: Path) -> list[Photo]:
    """The first training photos of a dataset."""
    source = read(folder).splits["train"]
    photos = []
    for record in source.records[:PHOTOS]:
        assert isinstance(record.image, Path)
        names = [source.classes[label] for label in record.boxes.labels]
        corners = record.boxes.xyxy.tolist()
        boxes = [(name, *edges) for name, edges in zip(names, corners, strict=True)]
        width, height = record.size_wh
        photos.append(Photo(file=record.image, width=int(width), height=int(height), boxes=boxes))
    return photos


def classes_of(photos: Sequence[Photo]) -> list[str]:
    return sorted({box[0] for photo in photos for box in photo.boxes})


def thirds(photos: Sequence[Photo], names: Sequence[str]) -> Iterator[tuple[str, list[Photo]]]:
    """Photos in splits of these names, most of them in the first."""
    yield names[0], list(photos[:40])
    yield names[1], list(photos[40:50])
    yield names[2], list(photos[50:])


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8")


def coco(photos: Sequence[Photo], names: Sequence[str], prefix: str = "") -> dict[str, Any]:
    """COCO's instances, category ids from 1; `prefix` stands before the name of each file."""
    content: dict[str, Any] = {"images": [], "annotations": []}
    content["categories"] = [{"id": i, "name": name} for i, name in enumerate(names, 1)]
    for i, photo in enumerate(photos):
        size = {"width": photo.width, "height": photo.height}
        content["images"].append({"id": i, "file_name": prefix + photo.file.name, **size})
        for name, x1, y1, x2, y2 in photo.boxes:
            box = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": 0}
            ids = {"image_id": i, "category_id": names.index(name) + 1}
            box_id = len(content["annotations"])
            content["annotations"].append({"id": box_id, "segmentation": [], **ids, **box})
    return content


def voc(photo: Photo, path: str = "") -> str:
    """Pascal VOC's XML with whole pixels."""
    size = f"<width>{photo.width}</width><height>{photo.height}</height><depth>3</depth>"
    lines = [f"<annotation><folder>photos</folder><filename>{photo.file.name}</filename>"]
    lines += [f"<path>{escape(path)}</path><source><database>Unknown</database></source>"]
    lines += [f"<size>{size}</size><segmented>0</segmented>"]
    for name, *edges in photo.boxes:
        keys = ("xmin", "ymin", "xmax", "ymax")
        box = "".join(f"<{key}>{edge:.0f}</{key}>" for key, edge in zip(keys, edges, strict=True))
        flags = "<pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult>"
        lines.append(f"<object><name>{name}</name>{flags}<bndbox>{box}</bndbox></object>")
    return "\n".join([*lines, "</annotation>"])


def yolo(photo: Photo, names: Sequence[str]) -> str:
    lines = []
    for name, x1, y1, x2, y2 in photo.boxes:
        center = f"{(x1 + x2) / 2 / photo.width:.6f} {(y1 + y2) / 2 / photo.height:.6f}"
        sides = f"{(x2 - x1) / photo.width:.6f} {(y2 - y1) / photo.height:.6f}"
        lines.append(f"{names.index(name)} {center} {sides}\n")
    return "".join(lines)


def label_studio_json(photos: Sequence[Photo], out: Path) -> None:
    """The export holds no images: the photos lie beside it under their own names."""
    tasks = []
    for i, photo in enumerate(photos):
        photo.copy(out)
        results: list[dict[str, Any]] = []
        for name, x1, y1, x2, y2 in photo.boxes:
            value: dict[str, Any] = {
                "x": 100 * x1 / photo.width,
                "y": 100 * y1 / photo.height,
                "rotation": 0,
            }
            value |= {"width": 100 * (x2 - x1) / photo.width, "rectanglelabels": [name]}
            value |= {"height": 100 * (y2 - y1) / photo.height}
            size = {"original_width": photo.width, "original_height": photo.height}
            kind = {"type": "rectanglelabels", "from_name": "label", "to_name": "image"}
            results.append({"id": f"r{len(results)}", "value": value, **size, **kind})
        data = {"image": f"/data/upload/1/{UPLOADED}{photo.file.name}"}
        annotation = {"id": i, "result": results, "was_cancelled": False}
        tasks.append({"id": i, "data": data, "annotations": [annotation]})
    write(out / "project-1-at-2026-11-27-09-00-1a2b3c4d.json", tasks)


def label_studio_coco(photos: Sequence[Photo], out: Path) -> None:
    for photo in photos:
        photo.copy(out / "images", UPLOADED)
    write(out / "result.json", coco(photos, classes_of(photos), f"images\\{UPLOADED}"))


def cvat_coco(photos: Sequence[Photo], out: Path) -> None:
    for photo in photos:
        photo.copy(out / "images" / "default")
    write(out / "annotations" / "instances_default.json", coco(photos, classes_of(photos)))


def cvat_xml(photos: Sequence[Photo], out: Path) -> None:
    labels = "".join(f"<label><name>{name}</name></label>" for name in classes_of(photos))
    lines = [
        f"<annotations><version>1.1</version><meta><job><labels>{labels}</labels></job></meta>"
    ]
    for i, photo in enumerate(photos):
        photo.copy(out / "images")
        size = f'width="{photo.width}" height="{photo.height}"'
        lines.append(f'<image id="{i}" name="{photo.file.name}" {size}>')
        for name, x1, y1, x2, y2 in photo.boxes:
            box = f'xtl="{x1:.2f}" ytl="{y1:.2f}" xbr="{x2:.2f}" ybr="{y2:.2f}"'
            lines.append(f'<box label="{name}" source="manual" occluded="0" {box} z_order="0"/>')
        lines.append("</image>")
    write(out / "annotations.xml", "\n".join([*lines, "</annotations>"]))


def cvat_yolo(photos: Sequence[Photo], out: Path) -> None:
    """YOLO 1.1, which is that of Darknet: paths begin with a folder that does not exist."""
    names = classes_of(photos)
    for photo in photos:
        photo.copy(out / "obj_train_data")
        write(out / "obj_train_data" / f"{photo.file.stem}.txt", yolo(photo, names))
    paths = [f"data/obj_train_data/{photo.file.name}\n" for photo in photos]
    write(out / "train.txt", "".join(paths))
    write(out / "obj.names", "\n".join(names) + "\n")
    data = f"classes = {len(names)}\ntrain = data/train.txt\nnames = data/obj.names\n"
    write(out / "obj.data", data + "backup = backup/\n")


def roboflow_coco(photos: Sequence[Photo], out: Path) -> None:
    for split, part in thirds(photos, ("train", "valid", "test")):
        for photo in part:
            photo.copy(out / split)
        write(out / split / "_annotations.coco.json", coco(part, classes_of(photos)))


def roboflow_voc(photos: Sequence[Photo], out: Path) -> None:
    for split, part in thirds(photos, ("train", "valid", "test")):
        for photo in part:
            photo.copy(out / split)
            write(out / split / f"{photo.file.stem}.xml", voc(photo))


def roboflow_yolo(photos: Sequence[Photo], out: Path) -> None:
    """Paths in data.yaml lead out of the folder, and one names another folder than there is."""
    names = classes_of(photos)
    for split, part in thirds(photos, ("train", "val", "test")):
        for photo in part:
            photo.copy(out / split / "images")
            write(out / split / "labels" / f"{photo.file.stem}.txt", yolo(photo, names))
    paths = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n"
    write(out / "data.yaml", f"{paths}\nnc: {len(names)}\nnames: {names}\n")


def vott(photos: Sequence[Photo], out: Path) -> None:
    assets = {}
    for i, photo in enumerate(photos):
        photo.copy(out / "vott-json-export")
        regions = []
        for name, x1, y1, x2, y2 in photo.boxes:
            box = {"left": x1, "top": y1, "width": x2 - x1, "height": y2 - y1}
            regions.append({"id": "r", "type": "RECTANGLE", "tags": [name], "boundingBox": box})
        path = f"file:C:/Users/me/my%20photos/{photo.file.name}"
        asset: dict[str, Any] = {"id": f"a{i}", "name": photo.file.name, "path": path, "type": 1}
        asset |= {"format": "jpg", "state": 2 if regions else 1}
        asset |= {"size": {"width": photo.width, "height": photo.height}}
        assets[f"a{i}"] = {"asset": asset, "regions": regions, "version": "2.2.0"}
    tags = [{"name": name, "color": "#e81123"} for name in classes_of(photos)]
    content = {"name": "chess", "version": "2.2.0", "tags": tags, "assets": assets}
    write(out / "vott-json-export" / "chess-export.json", content)


def labelimg_voc(photos: Sequence[Photo], out: Path) -> None:
    for photo in photos:
        photo.copy(out)
        write(out / f"{photo.file.stem}.xml", voc(photo, f"C:\\photos\\{photo.file.name}"))


def labelimg_yolo(photos: Sequence[Photo], out: Path) -> None:
    names = classes_of(photos)
    for photo in photos:
        photo.copy(out)
        write(out / f"{photo.file.stem}.txt", yolo(photo, names))
    write(out / "classes.txt", "\n".join(names) + "\n")


def fiftyone_coco(photos: Sequence[Photo], out: Path) -> None:
    for photo in photos:
        photo.copy(out / "data")
    write(out / "labels.json", coco(photos, classes_of(photos)))


def fiftyone_yolo(photos: Sequence[Photo], out: Path) -> None:
    """FiftyOne calls a single split val, and the file dataset.yaml."""
    names = classes_of(photos)
    for photo in photos:
        photo.copy(out / "images" / "val")
        write(out / "labels" / "val" / f"{photo.file.stem}.txt", yolo(photo, names))
    listed = "".join(f"  {i}: {name}\n" for i, name in enumerate(names))
    write(out / "dataset.yaml", f"names:\n{listed}path: /home/me/export\nval: ./images/val/\n")


def fiftyone_voc(photos: Sequence[Photo], out: Path) -> None:
    for photo in photos:
        photo.copy(out / "data")
        write(out / "labels" / f"{photo.file.stem}.xml", voc(photo))


@dataclass(frozen=True, kw_only=True)
class Walk:
    """An export, and the commands that lead to a running check; FOLDER is the export."""

    tool: str
    export: Callable[[Sequence[Photo], Path], None]
    commands: tuple[tuple[str, ...], ...] = ((*CHECK, "FOLDER", *HOLD_OUT),)


SPLIT_IN_FILES = ((*CHECK, "FOLDER"),)  # the export has a test split
RESPLIT = (  # the export has one split, which is called val
    ("data", "split", "FOLDER", "--test", "0.2", "--resplit"),
    (*CHECK, "FOLDER"),
)
WALKS = (
    Walk(tool="Label Studio, JSON", export=label_studio_json),
    Walk(tool="Label Studio, COCO", export=label_studio_coco),
    Walk(tool="CVAT, COCO", export=cvat_coco),
    Walk(tool="CVAT, XML", export=cvat_xml),
    Walk(tool="CVAT, YOLO", export=cvat_yolo),
    Walk(tool="Roboflow, COCO", export=roboflow_coco, commands=SPLIT_IN_FILES),
    Walk(tool="Roboflow, VOC", export=roboflow_voc, commands=SPLIT_IN_FILES),
    Walk(tool="Roboflow, YOLO", export=roboflow_yolo, commands=SPLIT_IN_FILES),
    Walk(tool="VoTT, JSON", export=vott),
    Walk(tool="LabelImg, VOC", export=labelimg_voc),
    Walk(tool="LabelImg, YOLO", export=labelimg_yolo),
    Walk(tool="FiftyOne, COCO", export=fiftyone_coco),
    Walk(tool="FiftyOne, YOLO", export=fiftyone_yolo, commands=RESPLIT),
    Walk(tool="FiftyOne, VOC", export=fiftyone_voc),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path, help="a dataset, such as ../shared/data/chess")
    parser.add_argument("--keep", type=Path, help="new folder for the exports")
    parser.add_argument("--only", default="", help="tools whose names contain this")
    arguments = parser.parse_args()
    photos = photos_of(arguments.photos)
    boxes = sum(len(photo.boxes) for photo in photos)
    print(f"{len(photos)} photos, {boxes} boxes, {len(classes_of(photos))} classes\n")
    print("| export | commands | result | notes |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch)
        for walk in WALKS:
            if arguments.only in walk.tool:
                print(row(walk, photos, folder.resolve()), flush=True)


def row(walk: Walk, photos: Sequence[Photo], folder: Path) -> str:
    """Makes an export, runs the commands on it, and returns a line of a table."""
    export = folder / walk.export.__name__
    walk.export(photos, export)
    outputs = [run(command, export, folder) for command in walk.commands]
    result, notes = outcome(outputs[-1], export)
    return f"| {walk.tool} | {len(walk.commands)} | {result} | {notes} |"


def run(command: Sequence[str], export: Path, folder: Path) -> str:
    words = [str(export) if word == "FOLDER" else word for word in command]
    runs = ["--runs", str(folder / "runs")] if "check" in command else []
    done = subprocess.run(
        [sys.executable, "-m", "syndet_ray", *words, *runs],
        capture_output=True,
        encoding="utf-8",
    )
    return done.stdout + done.stderr


def outcome(output: str, export: Path) -> tuple[str, str]:
    """What came out of `check`, and its notes on the labels."""
    lines = output.replace(f"{export}/", "").replace(str(export), "FOLDER").splitlines()
    if "ready" not in lines:
        return lines[-1], ""
    first = next(i for i, line in enumerate(lines) if line.startswith("data "))
    counts = lines[first].removeprefix("data     FOLDER: ").split(";")[0]
    notes = []
    for line in lines[first + 1 :]:
        if not line.startswith("  "):
            break
        note = line.strip()
        if not any(words in note for words in NOT_OF_LABELS):
            notes.append(note)
    return f"ready: {counts}", "; ".join(notes)


if __name__ == "__main__":
    main()

"""The same three pictures and boxes, written in each format, as the tools write them."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from test_data_tfrecord import example, frame


@dataclass(frozen=True, kw_only=True)
class Picture:
    """boxes: (class, x1, y1, x2, y2, visibility)"""

    stem: str
    wh: tuple[int, int]
    boxes: tuple[tuple[str, int, int, int, int, float], ...]

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((*self.wh[::-1], 3), ord(self.stem[0]), np.uint8)
        for _, x1, y1, x2, y2, _ in self.boxes:
            pixels[y1:y2, x1:x2] = (200, 30, x1)
        Image.fromarray(pixels).save(path)


PICTURES = (
    Picture(
        stem="a",
        wh=(64, 48),
        boxes=(("king", 10, 8, 30, 24, 1.0), ("white pawn", 0, 20, 15, 30, 0.58)),
    ),
    Picture(stem="b", wh=(40, 30), boxes=()),
    Picture(stem="c", wh=(50, 20), boxes=(("king", 41, 3, 50, 19, 0.25),)),
)
CLASSES = ("king", "white pawn")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """How a format is written, and what of the pictures it can express.

    names       the classes in the data, where the format cannot carry the names
    visibility  True if the format carries it
    """

    write: Callable[[Path], None]
    format: str
    names: dict[str, str] = field(default_factory=dict)
    visibility: bool = False
    labels: str = "*"  # the files that a fuzzer damages


def write_json(path: Path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def write_cvat(folder: Path) -> None:
    labels = "".join(f"<label><name>{name}</name></label>" for name in CLASSES)
    lines = [f"<annotations><version>1.1</version><meta><task><labels>{labels}</labels>"]
    lines.append("<subset>default</subset></task></meta>")
    for i, picture in enumerate(PICTURES):
        picture.save(folder / f"images/default/{picture.stem}.png")
        width, height = picture.wh
        lines.append(
            f'<image id="{i}" name="{picture.stem}.png" width="{width}" height="{height}">'
        )
        for name, x1, y1, x2, y2, _ in picture.boxes:
            box = f'xtl="{x1}.00" ytl="{y1}.00" xbr="{x2}.00" ybr="{y2}.00"'
            lines.append(f'<box label="{name}" source="manual" occluded="0" {box} z_order="0"/>')
        lines.append("</image>")
    text = '<?xml version="1.0" encoding="utf-8"?>\n' + "\n".join(lines) + "</annotations>"
    (folder / "annotations.xml").write_text(text, encoding="utf-8")


def write_label_studio(folder: Path) -> None:
    tasks = []
    for i, picture in enumerate(PICTURES):
        picture.save(folder / f"images/{i}abcdef0-{picture.stem}.png")
        width, height = picture.wh
        result = [{"type": "choices", "value": {"choices": ["sunny"]}, "id": "c"}]
        for name, x1, y1, x2, y2, _ in picture.boxes:
            value = {
                "x": 100 * x1 / width,
                "y": 100 * y1 / height,
                "width": 100 * (x2 - x1) / width,
                "height": 100 * (y2 - y1) / height,
                "rotation": 0,
                "rectanglelabels": [name],
            }
            sides = {"original_width": width, "original_height": height, "image_rotation": 0}
            result.append({"id": "r", "type": "rectanglelabels", "value": value, **sides})
        annotation = {"id": i, "completed_by": 1, "was_cancelled": False, "result": result}
        image = f"/data/upload/1/{i}abcdef0-{picture.stem}.png"
        tasks.append({"id": i, "data": {"image": image}, "annotations": [annotation]})
    write_json(folder / "project-1-at-2024-01-01.json", tasks)


def write_label_studio_min(folder: Path) -> None:
    write_label_studio(folder)
    path = folder / "project-1-at-2024-01-01.json"
    rows = []
    for task in json.loads(path.read_text(encoding="utf-8")):
        row = {"image": task["data"]["image"], "id": task["id"], "annotator": 1}
        row |= {"annotation_id": task["id"], "lead_time": 2.5}
        regions = []
        for region in task["annotations"][0]["result"][1:]:
            sides = {key: region[key] for key in ("original_width", "original_height")}
            regions.append({**region["value"], **sides})
        rows.append({**row, "label": regions} if regions else row)
    write_json(path, rows)


def write_labelme(folder: Path) -> None:
    for picture in PICTURES:
        picture.save(folder / f"{picture.stem}.png")
        shapes = []
        for name, x1, y1, x2, y2, _ in picture.boxes:
            corners = [[float(x2), float(y2)], [float(x1), float(y1)]]  # drawn from below
            more = {"group_id": None, "description": "", "flags": {}, "mask": None}
            shapes.append({"label": name, "points": corners, "shape_type": "rectangle", **more})
        width, height = picture.wh
        content = {"version": "6.3.1", "flags": {}, "shapes": shapes, "imageData": None}
        content |= {"imagePath": f"{picture.stem}.png", "imageHeight": height, "imageWidth": width}
        write_json(folder / f"{picture.stem}.json", content)


UNITY = "type.unity.com/unity.solo."


def write_solo(folder: Path) -> None:
    spec = [{"label_id": i + 1, "label_name": name} for i, name in enumerate(CLASSES)]
    definition = {"@type": UNITY + "BoundingBox2DAnnotation", "id": "bounding box", "spec": spec}
    write_json(folder / "annotation_definitions.json", {"annotationDefinitions": [definition]})
    write_json(folder / "metadata.json", {"totalFrames": len(PICTURES)})
    for i, picture in enumerate(PICTURES):
        picture.save(folder / f"sequence.{i}/step0.camera.png")
        values, shares = [], []
        for number, (name, x1, y1, x2, y2, visibility) in enumerate(picture.boxes):
            box = {"origin": [float(x1), float(y1)], "dimension": [float(x2 - x1), float(y2 - y1)]}
            label = {"instanceId": number, "labelId": CLASSES.index(name) + 1, "labelName": name}
            values.append({**label, **box})
            share = {"percentVisible": visibility, "percentInFrame": 0.5, "visibilityInFrame": 0.9}
            shares.append({"instanceId": number, **share})
        boxes = {"@type": UNITY + "BoundingBox2DAnnotation", "id": "bounding box", "values": values}
        capture = {"@type": UNITY + "RGBCamera", "id": "camera", "filename": "step0.camera.png"}
        capture |= {"dimension": [float(side) for side in picture.wh], "annotations": [boxes]}
        metric = {"@type": UNITY + "OcclusionMetric", "sensorId": "camera", "values": shares}
        frame = {"frame": i, "sequence": 0, "step": 0, "captures": [capture], "metrics": [metric]}
        write_json(folder / f"sequence.{i}/step0.frame_data.json", frame)


def write_perception(folder: Path) -> None:
    spec = [{"label_id": i + 3, "label_name": name} for i, name in enumerate(CLASSES)]
    definitions = [{"id": "s", "name": "semantic segmentation", "spec": []}]
    definitions.append({"id": "c31620e3", "name": "bounding box", "spec": spec})
    content = {"version": "0.0.1", "annotation_definitions": definitions}
    write_json(folder / "Dataset1/annotation_definitions.json", content)
    captures = []
    for i, picture in enumerate(PICTURES):
        picture.save(folder / f"RGB1/rgb_{i}.png")
        values = []
        for name, x1, y1, x2, y2, _ in picture.boxes:
            box = {
                "x": float(x1),
                "y": float(y1),
                "width": float(x2 - x1),
                "height": float(y2 - y1),
            }
            values.append({"label_id": CLASSES.index(name) + 3, "label_name": name, **box})
        boxes = {"id": "a", "annotation_definition": "c31620e3", "values": values}
        capture = {"id": f"c{i}", "sensor": {"modality": "camera"}, "annotations": [boxes]}
        captures.append({**capture, "filename": f"RGB1/rgb_{i}.png", "format": "PNG"})
    for i in (0, 1):
        half = captures[i * 2 : i * 2 + 2]
        write_json(folder / f"Dataset1/captures_00{i}.json", {"version": "0.0.1", "captures": half})


def write_ana(folder: Path) -> None:
    for i, picture in enumerate(PICTURES):
        stem = f"0000000000-{i}-RGBCamera"
        picture.save(folder / f"images/{stem}.png")
        annotations, objects = [], [{"id": 99, "type": "Tray"}]
        for number, (name, x1, y1, x2, y2, visibility) in enumerate(picture.boxes):
            bbox = [x1, y1, x2 - x1 - 1, y2 - y1 - 1]
            annotations.append({"id": number, "bbox": bbox, "obstruction": 1 - visibility})
            objects.append({"id": number, "type": name})
        labels = {"filename": f"{stem}.png", "annotations": annotations}
        write_json(folder / f"annotations/{stem}-ana.json", labels)
        metadata = {"filename": f"{stem}.png", "channel": "toybox", "objects": objects}
        write_json(folder / f"metadata/{stem}-metadata.json", metadata)


def write_bop(folder: Path) -> None:
    scene = folder / "train_pbr/000000"
    poses, infos = {}, {}
    for i, picture in enumerate(PICTURES):
        picture.save(scene / f"rgb/{i:06d}.png")
        poses[str(i)], infos[str(i)] = [{"obj_id": 7}], [{"bbox_visib": [-1, -1, -1, -1]}]
        for name, x1, y1, x2, y2, visibility in picture.boxes:
            poses[str(i)].append({"obj_id": CLASSES.index(name) + 1, "cam_t_m2c": [0, 0, 500.0]})
            bbox = [x1, y1, x2 - x1 - 1, y2 - y1 - 1]
            infos[str(i)].append({"bbox_visib": bbox, "visib_fract": visibility})
    write_json(scene / "scene_gt.json", poses)
    write_json(scene / "scene_gt_info.json", infos)


REPLICATOR = np.dtype(
    [
        ("semanticId", "<u4"),
        ("x_min", "<i4"),
        ("y_min", "<i4"),
        ("x_max", "<i4"),
        ("y_max", "<i4"),
        ("occlusionRatio", "<f4"),
    ]
)


def write_replicator(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i, picture in enumerate(PICTURES):
        picture.save(folder / f"rgb_{i:04d}.png")
        rows, labels = [], {}
        for number, (name, x1, y1, x2, y2, visibility) in enumerate(picture.boxes):
            rows.append((number, x1, y1, x2 - 1, y2 - 1, 1 - visibility))
            labels[str(number)] = {"class": name}
        np.save(folder / f"bounding_box_2d_tight_{i:04d}.npy", np.array(rows, REPLICATOR))
        write_json(folder / f"bounding_box_2d_tight_labels_{i:04d}.json", labels)
        paths = [f"/World/{number}" for number in range(len(rows))]
        write_json(folder / f"bounding_box_2d_tight_prim_paths_{i:04d}.json", paths)


def write_groceries(folder: Path) -> None:
    spec = [{"label_id": i + 1, "label_name": name} for i, name in enumerate(CLASSES)]
    definitions = {"annotation_definitions": [{"id": 1, "spec": spec}]}
    write_json(folder / "annotation_definitions.json", definitions)
    content = []
    for picture in PICTURES:
        picture.save(folder / f"images/{picture.stem}.png")
        annotations = []
        for name, x1, y1, x2, y2, _ in picture.boxes:
            bbox = [x1, y1, x2 - x1, y2 - y1]
            annotations.append({"label_id": CLASSES.index(name) + 1, "bbox": bbox})
        content.append({"file_name": f"{picture.stem}.png", "annotations": annotations})
    write_json(folder / "annotations.json", content)
    (folder / "groceries_real_train.txt").write_text("0 2 1", encoding="utf-8")


def write_tfrecord(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    records = b""
    for picture in PICTURES:
        picture.save(folder / "picture.png")
        width, height = picture.wh
        encoded = (folder / "picture.png").read_bytes()
        fields = {"image/encoded": [encoded], "image/filename": [picture.stem.encode()]}
        fields |= {"image/width": [width], "image/height": [height]}
        for i, (edge, side) in enumerate(zip(EDGES, picture.wh * 2, strict=True)):
            shares = [box[1 + i] / side for box in picture.boxes]
            fields[f"image/object/bbox/{edge}"] = shares
        fields["image/object/class/text"] = [box[0].encode() for box in picture.boxes]
        records += frame(example({name: values for name, values in fields.items() if values}))
    (folder / "picture.png").unlink()
    (folder / "train.record").write_bytes(records)
    items = [f"item {{ id: {i + 1} name: '{name}' }}" for i, name in enumerate(CLASSES)]
    (folder / "label_map.pbtxt").write_text("\n".join(items), encoding="utf-8")


EDGES = ("xmin", "ymin", "xmax", "ymax")
# the levels of occlusion, and the shares truncated, that stand for the visibilities of PICTURES
LEVELS = {1.0: (0, 0.0), 0.58: (0, 0.42), 0.25: (2, 0.0)}


def write_tao(folder: Path) -> None:
    shards = [b"", b""]
    for i, picture in enumerate(PICTURES):
        picture.save(folder / f"images/{picture.stem}.png")
        width, height = picture.wh
        fields = {"frame/id": [f"images/{picture.stem}".encode()]}
        fields |= {"frame/width": [width], "frame/height": [height]}
        for at, edge in enumerate(("x1", "y1", "x2", "y2")):
            fields[f"target/coordinates_{edge}"] = [float(box[1 + at]) for box in picture.boxes]
        fields["target/object_class"] = [box[0].encode() for box in picture.boxes]
        fields["target/occlusion"] = [LEVELS[box[5]][0] for box in picture.boxes]
        fields["target/truncation"] = [LEVELS[box[5]][1] for box in picture.boxes]
        filled = {name: values for name, values in fields.items() if values}
        shards[i % 2] += frame(example(filled))
    for i, shard in enumerate(shards):
        path = folder / f"tfrecords/chess-fold-001-of-002-shard-0000{i}-of-00002"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(shard)


def write_voc(folder: Path) -> None:
    for picture in PICTURES:
        picture.save(folder / f"JPEGImages/{picture.stem}.png")
        width, height = picture.wh
        lines = [f"<annotation><folder>chess</folder><filename>{picture.stem}.png</filename>"]
        lines.append(
            f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
        )
        for name, x1, y1, x2, y2, _ in picture.boxes:
            box = f"<xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
            flags = "<pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult>"
            lines.append(f"<object><name>{name}</name>{flags}<bndbox>{box}</bndbox></object>")
        path = folder / f"Annotations/{picture.stem}.xml"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join([*lines, "</annotation>"]), encoding="utf-8")


def write_yolo_labels(folder: Path) -> None:
    """The label files of YOLO; none for an image without objects."""
    folder.mkdir(parents=True, exist_ok=True)
    for picture in PICTURES:
        width, height = picture.wh
        lines = []
        for name, x1, y1, x2, y2, _ in picture.boxes:
            center = f"{(x1 + x2) / 2 / width:.6f} {(y1 + y2) / 2 / height:.6f}"
            sides = f"{(x2 - x1) / width:.6f} {(y2 - y1) / height:.6f}"
            lines.append(f"{CLASSES.index(name)} {center} {sides}\n")
        if lines:
            (folder / f"{picture.stem}.txt").write_text("".join(lines), encoding="utf-8")


def write_ultralytics(folder: Path) -> None:
    for picture in PICTURES:
        picture.save(folder / f"images/train/{picture.stem}.png")
    write_yolo_labels(folder / "labels/train")
    text = "path: ../datasets/chess\ntrain: images/train\nnames:\n  0: king\n  1: white pawn\n"
    (folder / "data.yaml").write_text(text, encoding="utf-8")


def write_darknet(folder: Path) -> None:
    for picture in PICTURES:
        picture.save(folder / f"obj_train_data/{picture.stem}.png")
    write_yolo_labels(folder / "obj_train_data")
    paths = [f"data/obj_train_data/{picture.stem}.png\n" for picture in PICTURES]
    (folder / "train.txt").write_text("".join(paths), encoding="utf-8")
    (folder / "obj.names").write_text("king\nwhite pawn\n", encoding="utf-8")
    text = "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n"
    (folder / "obj.data").write_text(text, encoding="utf-8")


def write_yolo_folders(folder: Path) -> None:
    for picture in PICTURES:
        picture.save(folder / f"images/{picture.stem}.png")
    write_yolo_labels(folder / "labels")
    (folder / "classes.txt").write_text("king\nwhite pawn\n", encoding="utf-8")


def write_kitti(folder: Path) -> None:
    for picture in PICTURES:
        picture.save(folder / f"training/image_2/{picture.stem}.png")
        lines = []
        for name, x1, y1, x2, y2, visibility in picture.boxes:
            level, truncated = LEVELS[visibility]
            box = f"{x1}.00 {y1}.00 {x2}.00 {y2}.00"
            lines.append(f"{name} {truncated:.2f} {level} 0 {box} 0 0 0 0 0 0 0\n")
        path = folder / f"training/label_2/{picture.stem}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(lines), encoding="utf-8")


def vott_assets() -> dict[str, dict]:
    assets = {}
    for i, picture in enumerate(PICTURES):
        width, height = picture.wh
        regions = []
        for name, x1, y1, x2, y2, _ in picture.boxes:
            box = {"left": float(x1), "top": float(y1), "width": x2 - x1, "height": y2 - y1}
            regions.append({"id": "r", "type": "RECTANGLE", "tags": [name], "boundingBox": box})
        asset = {"id": f"i{i}", "name": f"{picture.stem}.png", "format": "png", "type": 1}
        asset |= {"path": f"file:/d/my%20data/{picture.stem}.png", "state": 2 if regions else 1}
        asset |= {"size": {"width": width, "height": height}}
        assets[f"i{i}"] = {"asset": asset, "regions": regions, "version": "2.2.0"}
    return assets


def write_vott(folder: Path) -> None:
    for picture in PICTURES:
        picture.save(folder / f"{picture.stem}.png")
    tags = [{"name": name, "color": "#e81123"} for name in CLASSES]
    content = {"name": "chess", "version": "2.2.0", "tags": tags, "assets": vott_assets()}
    write_json(folder / "chess-export.json", content)


def write_vott_assets(folder: Path) -> None:
    for picture in PICTURES:
        picture.save(folder / f"{picture.stem}.png")
    for key, asset in vott_assets().items():
        write_json(folder / f"{key}-asset.json", asset)


def write_createml(folder: Path) -> None:
    content = []
    for picture in PICTURES:
        picture.save(folder / f"{picture.stem}.png")
        annotations = []
        for name, x1, y1, x2, y2, _ in picture.boxes:
            center = {"x": (x1 + x2) / 2, "y": (y1 + y2) / 2}
            coordinates = {**center, "width": x2 - x1, "height": y2 - y1}
            annotations.append({"label": name, "coordinates": coordinates})
        content.append({"image": f"{picture.stem}.png", "annotations": annotations})
    write_json(folder / "_annotations.createml.json", content)


def write_createml_each(folder: Path) -> None:
    """As LabelImg does: a list of one image, under the name of that image."""
    write_createml(folder)
    path = folder / "_annotations.createml.json"
    for entry in json.loads(path.read_text(encoding="utf-8")):
        write_json(folder / f"{Path(entry['image']).stem}.json", [entry])
    path.unlink()


def write_kitti_of_cvat(folder: Path) -> None:
    """As CVAT and Datumaro do: -1 for all that is unknown, and a score behind each label."""
    write_kitti(folder)
    for path in (folder / "training/label_2").iterdir():
        lines = []
        for line in path.read_text(encoding="utf-8").splitlines():
            box = line.removesuffix(" 0 0 0 0 0 0 0")
            lines.append(f"{box} -1 -1 -1 -1 -1 -1 -1 1.0\n")
        path.write_text("".join(lines), encoding="utf-8")


BOP_NAMES = {"king": "obj_000001", "white pawn": "obj_000002"}
SAMPLES = {
    "TFRecord": Sample(write=write_tfrecord, format="TFRecord", labels="*.*[dt]"),
    "TFRecord of TAO": Sample(
        write=write_tao, format="TFRecord", visibility=True, labels="*-fold-*"
    ),
    "VOC": Sample(write=write_voc, format="VOC", labels="*.xml"),
    "YOLO of Ultralytics": Sample(write=write_ultralytics, format="YOLO", labels="*.[ty]*[tl]"),
    "YOLO of Darknet": Sample(write=write_darknet, format="YOLO", labels="*.[tdn]*[tas]"),
    "YOLO, plain": Sample(write=write_yolo_folders, format="YOLO", labels="*.txt"),
    "KITTI": Sample(write=write_kitti, format="KITTI", visibility=True, labels="*.txt"),
    "KITTI of CVAT": Sample(
        write=write_kitti_of_cvat, format="KITTI", visibility=True, labels="*.txt"
    ),
    "VoTT": Sample(write=write_vott, format="VoTT", labels="*.json"),
    "VoTT, image by image": Sample(write=write_vott_assets, format="VoTT", labels="*.json"),
    "CreateML": Sample(write=write_createml, format="CreateML", labels="*.json"),
    "CreateML, image by image": Sample(
        write=write_createml_each, format="CreateML", labels="*.json"
    ),
    "CVAT": Sample(write=write_cvat, format="CVAT", labels="annotations.xml"),
    "Label Studio": Sample(write=write_label_studio, format="LabelStudio", labels="*.json"),
    "Label Studio, minimal": Sample(
        write=write_label_studio_min, format="LabelStudio", labels="*.json"
    ),
    "labelme": Sample(write=write_labelme, format="labelme", labels="*.json"),
    "SOLO": Sample(write=write_solo, format="SOLO", visibility=True, labels="*.json"),
    "Perception": Sample(write=write_perception, format="Perception", labels="*.json"),
    "ana": Sample(write=write_ana, format="ana", visibility=True, labels="*.json"),
    "BOP": Sample(write=write_bop, format="BOP", visibility=True, names=BOP_NAMES, labels="*.json"),
    "Replicator": Sample(
        write=write_replicator, format="Replicator", visibility=True, labels="bounding_box*"
    ),
    "GroceriesReal": Sample(write=write_groceries, format="GroceriesReal", labels="*.*[nt]"),
}

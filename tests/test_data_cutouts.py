"""Cut-outs of annotated photos: who is cut, how well, and what is left out."""

import json

import numpy as np
import pytest
from PIL import Image, ImageDraw

from syndet_ray.data.cutouts import cut_out, foreground
from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.parts_of_photos import box_of_part
from syndet_ray.errors import DataError
from syndet_ray.scenes.assets import load

SIDE = 160


def photo(shapes, seed=0):
    """Noisy grey ground with shapes (draw method, xyxy, colour) on it, and the shapes' own pixels."""
    rng = np.random.default_rng(seed)
    image = Image.fromarray(np.uint8(rng.normal(150, 5, (SIDE, SIDE, 3))))
    truth = Image.new("L", (SIDE, SIDE))
    for kind, xyxy, color in shapes:
        getattr(ImageDraw.Draw(image), kind)(xyxy, fill=color)
        getattr(ImageDraw.Draw(truth), kind)(xyxy, fill=255)
    return image, np.asarray(truth)


def dataset(folder, photos, split="train", classes=("disc", "plate")):
    """A COCO dataset of photos, each a list of (label, shape); boxes are two pixels looser than the
    shapes.
    """
    (folder / split).mkdir(parents=True)
    images, annotations = [], []
    for i, content in enumerate(photos):
        photo([shape for _, shape in content], i)[0].save(folder / split / f"{i}.png")
        images.append({"id": i, "file_name": f"{i}.png"})
        for label, (_, (x1, y1, x2, y2), _) in content:
            box = [x1 - 2, y1 - 2, x2 - x1 + 5, y2 - y1 + 5]
            annotations.append(
                {"id": len(annotations), "image_id": i, "category_id": label, "bbox": box}
            )
    categories = [{"id": k, "name": name} for k, name in enumerate(classes)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / split / "_annotations.coco.json").write_text(json.dumps(content))
    return folder


DISC = ("ellipse", (20, 20, 70, 70), (200, 30, 30))
PLATE = ("ellipse", (100, 40, 155, 80), (20, 60, 160))


def test_grab_cut_finds_the_thing_and_not_its_box():
    image, truth = photo([DISC])
    alpha = foreground(np.asarray(image)[:90, :90], np.array([15, 15, 76, 76]))
    found, wanted = alpha >= 128, truth[:90, :90] > 0
    assert (found & wanted).sum() / (found | wanted).sum() > 0.95


def test_what_has_no_outline_is_no_foreground():
    image, _ = photo([])
    assert not foreground(np.asarray(image)[:90, :90], np.array([15, 15, 76, 76])).any()
    # no background to learn from
    assert not foreground(np.asarray(image), np.array([0, 0, SIDE, SIDE])).any()


def test_cut_outs_are_transparent_pngs_by_class(tmp_path):
    told = []
    data = dataset(tmp_path / "data", [[(0, DISC), (1, PLATE)]] * 3)
    counts = cut_out(
        data, tmp_path / "out", 2, 0, progress=lambda done, total: told.append((done, total))
    )
    assert counts == {"disc": 2, "plate": 2}
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    files = sorted((tmp_path / "out").rglob("*.png"))
    assert [file.parent.name for file in files] == ["disc", "disc", "plate", "plate"]
    with Image.open(files[0]) as image:
        assert image.mode == "RGBA"
        assert np.abs(np.array(image.size) - 51).max() <= 2
        rgba = np.asarray(image)
    assert rgba[0, 0, 3] == 0 and rgba[25, 25, 3] == 255
    # the label is two pixels looser than the disc
    assert np.abs(box_of_part(files[0]) - [-2, -2, 53, 53]).max() <= 2
    assert abs((rgba[..., 3] >= 128).mean() - np.pi / 4) < 0.06


def test_the_same_seed_cuts_the_same(tmp_path):
    data = dataset(tmp_path / "data", [[(0, DISC), (1, PLATE)]] * 6)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        cut_out(data, tmp_path / name, 2, seed)
    content = {
        name: {
            file.relative_to(tmp_path / name): file.read_bytes()
            for file in (tmp_path / name).rglob("*.png")
        }
        for name in "abc"
    }
    assert content["a"] == content["b"] != content["c"]


def test_lonely_things_come_first(tmp_path):
    near = ("ellipse", (60, 30, 120, 90), (20, 60, 160))
    crowded, alone = [(0, DISC), (1, near)], [(0, DISC), (1, PLATE)]
    data = dataset(tmp_path / "data", [crowded, crowded, alone, crowded])
    cut_out(data, tmp_path / "out", 1, 0)
    assert sorted(file.name for file in (tmp_path / "out").rglob("*.png")) == [
        "train_2-0.png",
        "train_2-1.png",
    ]


def test_given_masks_are_taken_as_they_are(tmp_path):
    data = dataset(tmp_path / "data", [[(0, DISC), (1, PLATE)]])
    (tmp_path / "masks" / "train").mkdir(parents=True)
    mask = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(mask).rectangle((30, 30, 59, 59), fill=255)
    mask.save(tmp_path / "masks" / "train" / "0.png")
    counts = cut_out(data, tmp_path / "out", 1, 0, masks=tmp_path / "masks")
    assert counts == {"disc": 1, "plate": 0}
    with Image.open(tmp_path / "out" / "disc" / "train_0-0.png") as image:
        alpha = np.asarray(image)[..., 3]
    # an opaque rectangle, which is refused as a cut-out unless a border says what it is
    assert alpha.shape == (32, 32) and (alpha[1:-1, 1:-1] == 255).all()
    assert (alpha == 255).sum() == 30 * 30
    assert list(load(str(tmp_path / "out"), "").assets) == ["disc/train_0-0.png"]


def test_masks_that_do_not_fit_are_named(tmp_path):
    data = dataset(tmp_path / "data", [[(0, DISC), (1, PLATE)]])
    (tmp_path / "masks" / "train").mkdir(parents=True)
    with pytest.raises(DataError, match=r"0.png: no mask for .*0.png. Put one"):
        cut_out(data, tmp_path / "out", 1, 0, masks=tmp_path / "masks")
    Image.new("L", (10, 8)).save(tmp_path / "masks" / "train" / "0.png")
    with pytest.raises(DataError, match=r"as large as its photo, 160 x 160 pixels, got \(10, 8\)"):
        cut_out(data, tmp_path / "out", 1, 0, masks=tmp_path / "masks")


def test_only_training_photos_are_cut(tmp_path):
    data = dataset(tmp_path / "data", [[(0, DISC), (1, PLATE)]], split="test")
    with pytest.raises(DataError, match=r"has no training photos, got \['test'\]"):
        cut_out(data, tmp_path / "out", 1, 0)


@pytest.mark.parametrize("has_masks", [False, True])
def test_a_dataset_of_which_nothing_can_be_cut_out_is_named(tmp_path, has_masks):
    data = dataset(tmp_path / "data", [[]])
    labels = data / "train/_annotations.coco.json"
    content = json.loads(labels.read_text())
    content["annotations"] = [{"id": 0, "image_id": 0, "category_id": 0, "bbox": [9, 9, 60, 60]}]
    labels.write_text(json.dumps(content))
    masks = tmp_path / "masks" if has_masks else None
    if has_masks:
        (masks / "train").mkdir(parents=True)
        Image.new("L", (SIDE, SIDE)).save(masks / "train/0.png")
    advice = "Check that objects are bright" if has_masks else "Give `data cutouts` masks"
    message = f"has no object of at least 12 px in train that can be cut out.* {advice}"
    with pytest.raises(DataError, match=message):
        cut_out(data, tmp_path / "out", 1, 0, masks=masks)
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten(tmp_path):
    data = dataset(tmp_path / "data", [[(0, DISC), (1, PLATE)]])
    with pytest.raises(DataError, match="must be a new or an empty folder"):
        cut_out(data, data, 1, 0)


@pytest.mark.parametrize(
    "names",
    [
        ("soda/can", "soda_can"),
        ("_cup", ".cup"),
        ("..", "."),
        ("a_x2f_b", "a/b"),
        ("../../a", "/etc"),
        ("可/口" * 12, "x" * 250),
    ],
    ids=repr,
)
def test_cut_outs_of_any_classes_are_assets_of_the_same_classes(tmp_path, names):
    data = dataset(tmp_path / "data", [[(0, DISC), (1, PLATE)]], classes=names)
    counts = cut_out(data, tmp_path / "out", 1, 0)
    assert counts == dict.fromkeys(names, 1)
    assert {path.name for path in tmp_path.iterdir()} == {"data", "out"}
    (tmp_path / "out" / "_notes").mkdir()
    sizes = {names[0]: 0.2, names[1]: 0.1}
    (tmp_path / "out" / "assets.json").write_text(json.dumps({"size_m": sizes}))
    library = load(str(tmp_path / "out"), surroundings="")
    scales = {library.classes[asset.label]: asset.scale for asset in library.assets.values()}
    assert scales == sizes


def test_a_class_whose_name_no_folder_can_have_is_named(tmp_path):
    data = dataset(tmp_path / "data", [[(0, DISC), (1, PLATE)]], classes=("cup", "x" * 300))
    with pytest.raises(DataError, match=r"at most 255 bytes, got 'x{40}\.\.\.'. Rename it with"):
        cut_out(data, tmp_path / "out", 1, 0)
    assert not (tmp_path / "out").exists()
    names = {"x" * 300: "plate"}
    assert cut_out(data, tmp_path / "out", 1, 0, labels=LabelOptions(classes=names))["plate"] == 1


def test_photos_of_like_names_have_a_cut_out_each(tmp_path):
    data = dataset(tmp_path / "data", [[(0, DISC), (1, PLATE)]] * 2)
    labels = data / "train" / "_annotations.coco.json"
    (data / "train" / "a").mkdir()
    for old, new in (("0.png", "a/b.png"), ("1.png", "a_b.png")):
        (data / "train" / old).rename(data / "train" / new)
        labels.write_text(labels.read_text().replace(f'"{old}"', f'"{new}"'))
    assert cut_out(data, tmp_path / "out", 2, 0) == {"disc": 2, "plate": 2}
    names = sorted(path.name for path in (tmp_path / "out" / "disc").iterdir())
    assert names == ["train_a_b-0-2.png", "train_a_b-0.png"]


def test_an_interrupted_command_leaves_nothing_in_its_way(tmp_path):
    data = dataset(tmp_path / "data", [[(0, DISC), (1, PLATE)]])

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut_out(data, tmp_path / "out", 1, 0, progress=interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_real_photos(shared, tmp_path):
    counts = cut_out(shared("data/d6_dice"), tmp_path / "out", 1, 0)
    assert set(counts.values()) == {1}


def test_what_is_left_out_of_labels_is_told_with_cut_outs_and_backgrounds(tmp_path, syndet_here):
    data = dataset(tmp_path / "data", [[(0, DISC)]] * 2, classes=("disc",))
    file = data / "train" / "_annotations.coco.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content["annotations"].append({"id": 99, "image_id": 0, "category_id": 0, "bbox": [1, 1, 0, 9]})
    file.write_text(json.dumps(content), encoding="utf-8")
    for words in (
        ("cutouts", data, tmp_path / "cutouts", "--per-class", "1"),
        ("backgrounds", data, tmp_path / "backgrounds", "--count", "1"),
    ):
        done = syndet_here("data", *words, "--skip-bad")
        assert "note: 1 bad label or image skipped" in done.stdout, done.stderr

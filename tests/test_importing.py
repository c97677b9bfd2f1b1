"""Settings of other tools become a sweep that loads; nothing is lost without a word."""

import ast
import subprocess
import sys

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from syndet_ray.definitions.loader import load
from syndet_ray.importing.literals import literal

SPEC = """\
# a comment
random_seed: 42
enc_key: 'very secret'
model_config {
  input_image_config { size_height_width { height: 360 width: 640 } max_objects_num_per_image: 9 }
  arch: "resnet:18"
  anchor_box_config { scale: 128.0 scale: 64.0 ratio: 1.0 ratio: 0.25 }
  freeze_bn: True
  freeze_blocks: 0
  freeze_blocks: 1
  rpn_stride: 16
}
dataset_config {
  data_sources: { tfrecords_path: "/data/tfrecords/*" image_directory_path: "/data/images/" }
  target_class_mapping { key: "car" value: "car" }
  target_class_mapping { key: "van" value: "car" }
  target_class_mapping { key: "it's\\n\\"x\\"" value: "DontCare" }
}
augmentation_config {
  spatial_augmentation { hflip_probability: 0.5 zoom_min: 0.7 zoom_max: 1.2 }
  color_augmentation { hue_rotation_max: 0.0 saturation_shift_max: 0.2 contrast_scale_max: 0.1 }
}
training_config {
  enable_augmentation: True
  batch_size_per_gpu: 4
  num_epochs: 12
  pretrained_weights: "/weights/resnet_18.hdf5"
  regularizer { type: L2 weight: 1e-4 }
  optimizer { sgd { lr: 0.5 momentum: 0.8 nesterov: False } }
  learning_rate { soft_start {
    base_lr: 0.02 start_lr: 0.002 soft_start: 0.1
    annealing_points: 0.8 annealing_points: 0.9 annealing_divider: 10.0
  } }
}
"""
CONVERSION = """\
kitti_config { root_directory_path: "/data/images" val_split: 20 num_shards: 10 }
image_directory_path: "/data/images"
"""
UNITY = """\
estimator: FasterRCNN
backbone: resnet50
num_classes: 64
train:
  epochs: 10
  batch_size: 4
  accumulation_steps: 8
  dataset: {name: GroceriesReal, args: {version: v3}}
optimizer: {name: Adam, args: {lr: 2.0e-4}}
pretrained: False
pretrained_backbone: True
checkpoint_file: None
"""
PROJECT = """\
tao_config: {gpus: 2, gpu_indices: [0, 1]}
experiments:
  frcnn:
    head: faster_rcnn
    backbone: resnet18
    repository: pretrained
    model_key: very secret
    dataset: kitti
    export_model: x
    export_type: fp16
  dssd:
    {head: dssd, backbone: resnet34, repository: pretrained, model_key: x, dataset: kitti}
  again:
    {head: dssd, backbone: resnet34, repository: other, model_key: x, dataset: kitti}
"""


@pytest.fixture
def imported(tmp_path, monkeypatch, syndet_here):
    """Imports a text as a file of this name; returns what the command said, and the sweep."""
    monkeypatch.chdir(tmp_path)

    def run(name, text, *arguments):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        done = syndet_here("import", name, "out", "--force", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout, load("out")

    return run


def refusal(syndet_here, *arguments):
    """The message of an import that fails."""
    done = syndet_here("import", *arguments)
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_tao_spec_becomes_a_recipe(imported, tmp_path):
    said, sweep = imported("spec.txt", SPEC, "--images-per-epoch", "500")
    detector, training = sweep.recipe.detector, sweep.recipe.training
    assert (detector.backbone, detector.weights, detector.frozen_stages) == (
        "resnet18",
        "imagenet",
        2,
    )
    assert (detector.working_px, detector.anchor_px) == (640, (64.0, 128.0))
    # width / height in TAO, height / width here
    assert detector.aspect_ratios == (1.0, 4.0)
    assert (training.images, training.batch_size) == (6000, 4)
    assert (training.optimizer, training.learning_rate, training.momentum) == ("sgd", 0.02, 0.8)
    assert (training.warmup, training.final_rate) == (0.1, 0.01)
    # Keras adds weight x w^2 to the loss; PyTorch adds weight_decay x w to its slope
    assert training.weight_decay == 2e-4
    assert (training.flip_horizontal, training.scale_jitter, training.color_jitter) == (
        0.5,
        0.3,
        0.2,
    )
    assert (sweep.seed, sweep.recipe.mix.schedule) == (42, "real_only")
    assert sweep.variants == {"spec": {}}
    classes = (tmp_path / "sweeps" / "out_classes.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(classes) == {"car": "car", "van": "car", 'it\'s\n"x"': None}
    assert "data     /data/images\n" in said
    following = "check out --real FOLDER --classes sweeps/out_classes.yaml\n"
    assert f"next     python -m syndet_ray {following}" in said


def test_the_folder_of_a_project_has_its_specs_in_specs(tmp_path, monkeypatch, syndet_here):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "project" / "specs").mkdir(parents=True)
    (tmp_path / "project" / "specs" / "toys.txt").write_text(SPEC, encoding="utf-8")
    done = syndet_here("import", "project")
    assert done.returncode == 0, done.stderr
    assert "sweep    sweeps/toys.py\n" in done.stdout


def test_where_each_value_comes_from_stands_before_it(imported, tmp_path):
    said, _ = imported("spec.txt", SPEC)
    lines = (tmp_path / "sweeps" / "out.py").read_text(encoding="utf-8").splitlines()
    place = lines.index("            momentum=0.8,")
    assert lines[place - 1].strip() == "# spec.txt:29 training_config.optimizer.sgd.momentum = 0.8"
    (assumed,) = [line for line in said.splitlines() if "ASSUMED" in line]
    assert "x 1000 images an epoch, which is ASSUMED: say how many by --images-per-epoch" in assumed
    assert "very secret" not in said + "".join(lines)


def test_every_setting_is_taken_or_listed_in_the_sweep(imported, tmp_path):
    imported("spec.txt", SPEC.replace("verbose", "") + "surprise { x: 3 }\n")
    written = (tmp_path / "sweeps" / "out.py").read_text(encoding="utf-8")
    missing, ignored = written.split("# Ignored, since it does not matter here:\n")
    _, missing = missing.split("# Has no counterpart here:\n")
    assert (
        "#   is off\n#     spec.txt:21 augmentation_config.color_augmentation.hue_rotation_max"
        in ignored
    )
    assert "#   saved models are not encrypted\n#     spec.txt:3 enc_key (not shown)\n" in ignored
    assert (
        "#   as in torchvision's Faster R-CNN\n#     spec.txt:11 model_config.rpn_stride = 16\n"
        in missing
    )
    assert missing.startswith("#   is not known here\n#     spec.txt:35 surprise.x = 3\n")


def test_what_matters_stands_first_and_what_is_ignored_is_counted(imported):
    more = "".join(f"surprise {{ x{k}: 3 }}\n" for k in range(5))
    said, _ = imported("spec.txt", SPEC + more)
    lines = said.splitlines()
    at = [lines.index(line) for line in lines if line.startswith(("sweep ", "recipe ", "next "))]
    at.append(lines.index("Has no counterpart here: 7 settings"))
    assert at == sorted(at)
    assert lines[at[-1] + 1 :] == [
        "  is not known here",
        "    spec.txt:35 surprise.x0 = 3",
        "    spec.txt:36 surprise.x1 = 3",
        "    spec.txt:37 surprise.x2 = 3",
        "    and 2 more",
        "  momentum is always Nesterov's",
        "    spec.txt:29 training_config.optimizer.sgd.nesterov = False",
        "  as in torchvision's Faster R-CNN",
        "    spec.txt:11 model_config.rpn_stride = 16",
        "Ignored, since it does not matter here: 15 settings",
        "The end of sweeps/out.py lists all of this.",
    ]


def test_what_the_spec_leaves_out(imported):
    text = SPEC.replace('pretrained_weights: "/weights/resnet_18.hdf5"', "")
    text = text.replace("sgd {", "adam {").replace("momentum: 0.8 nesterov: False", "")
    said, sweep = imported("spec.txt", text.replace("soft_start {", "step {"))
    training, detector = sweep.recipe.training, sweep.recipe.detector
    assert (detector.weights, detector.frozen_stages) == ("none", "auto")
    assert "random weights cannot be frozen" in said
    assert (training.optimizer, training.weight_decay, training.warmup) == ("adamw", 0.0, 0.0)
    assert "adamw decouples its decay" in said


def test_steps_of_the_rate_become_its_end(imported):
    start = SPEC.index("soft_start {")
    schedule = "step { base_lr: 0.01 gamma: 0.1 step_size: 25.0 } } }\n"
    _, sweep = imported("spec.txt", SPEC[:start] + schedule)
    assert (sweep.recipe.training.learning_rate, sweep.recipe.training.final_rate) == (0.01, 0.001)


def test_no_augmentation(imported):
    _, sweep = imported("spec.txt", SPEC.replace("augmentation: True", "augmentation: False"))
    training = sweep.recipe.training
    assert (training.flip_horizontal, training.scale_jitter, training.color_jitter) == (0, 0, 0)


def test_a_conversion_alone_tells_the_data(imported):
    said, sweep = imported("convert.txt", CONVERSION)
    assert "data     /data/images\n" in said
    assert sweep.variants == {"convert": {}}


def test_a_folder_of_specs_is_one_sweep(tmp_path, monkeypatch, syndet_here):
    monkeypatch.chdir(tmp_path)
    specs = tmp_path / "my specs"
    specs.mkdir()
    slow = SPEC.replace("base_lr: 0.02", "base_lr: 0.01").replace('"resnet:18"', '"resnet:50"')
    texts = {
        "a.txt": SPEC,
        "b.txt": slow,
        "c.txt": CONVERSION,
        "README.txt": "About these files.\n",
    }
    for name, text in texts.items():
        (specs / name).write_text(text, encoding="utf-8")
    (specs / "image.png").write_bytes(b"\0")
    done = syndet_here("import", "my specs")
    assert "README.txt is not a file of settings that can be imported\n" in done.stdout
    why = "a sweep has one seed: that of the first experiment"
    written = (tmp_path / "sweeps" / "my_specs.py").read_text(encoding="utf-8")
    assert f"#   {why}\n#     b.txt:2 random_seed = 42\n" in written
    changes = {"detector.backbone": "resnet50", "training.learning_rate": 0.01}
    assert load("my_specs").variants == {"a": {}, "b": changes}


def test_a_project_of_tao_runner(imported, tmp_path):
    spec = tmp_path / "toys" / "specs" / "frcnn" / "train.txt"
    spec.parent.mkdir(parents=True)
    spec.write_text(SPEC, encoding="utf-8")
    (tmp_path / "toys" / "data" / "kitti").mkdir(parents=True)
    said, sweep = imported("toys/experiments.yml", PROJECT)
    assert sweep.recipe.detector.architecture == "faster_rcnn"
    assert sweep.recipe.training.batch_size == 8  # 4 on each of 2 GPUs
    assert sweep.variants == {
        "frcnn": {},
        "dssd": {"detector.architecture": "retinanet", "detector.backbone": "resnet34"},
    }
    assert "this detector is not there; retinanet is the nearest detector here\n" in said
    assert "dssd has only a detector: specs/dssd/train.txt, with its training, is not there" in said
    assert "next     python -m syndet_ray check out --real toys/data/kitti --classes " in said
    written = (tmp_path / "sweeps" / "out.py").read_text(encoding="utf-8")
    assert '# "again" has the same settings here as "dssd"' in written
    assert "# specs/frcnn/train.txt:29 training_config.optimizer.sgd.momentum = 0.8" in written
    assert "very secret" not in said + written


def test_specs_are_read_inside_the_project_only(imported, tmp_path):
    outside = tmp_path / "outside" / "train.txt"
    outside.parent.mkdir()
    outside.write_text(SPEC, encoding="utf-8")
    project = tmp_path / "toys"
    (project / "specs").mkdir(parents=True)
    (project / "specs" / "frcnn").symlink_to(outside.parent)
    said, _ = imported("toys/experiments.yml", PROJECT.replace("  dssd:", "  ../../outside:"))
    assert "spec.txt:" not in said and "train.txt:" not in said


def test_a_configuration_of_datasetinsights(imported):
    said, sweep = imported("faster_rcnn.yaml", UNITY)
    detector, training = sweep.recipe.detector, sweep.recipe.training
    assert (detector.backbone, detector.weights) == ("resnet50", "imagenet")
    assert (training.images, training.batch_size) == (7600, 32)
    assert (training.optimizer, training.learning_rate) == ("adamw", 2e-4)
    assert (training.weight_decay, training.warmup, training.final_rate) == (0.0, 0.0, 1.0)
    assert "ASSUMED" not in said  # GroceriesReal has 760 training photos
    said, sweep = imported(
        "faster_rcnn.yaml",
        UNITY.replace("pretrained: False", "pretrained: True").replace(
            "GroceriesReal", "SynDetection2D"
        ),
    )
    assert (sweep.recipe.detector.backbone, sweep.recipe.detector.weights) == (
        "resnet50_fpn_v2",
        "coco",
    )
    assert "ASSUMED" in said and "is synthetic: give the photos by --real" in said


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("base_lr: 0.02", "base_lr: -0.02", "spec.txt:31: training_config.learning_rate.soft_start.base_lr: must be at least 0, got '-0.02'."),
        ("base_lr: 0.02", "base_lr: 0", "becomes training.learning_rate, which must be greater than 0, got '0'."),
        ("base_lr: 0.02", f"base_lr: {'9' * 400}", f"base_lr: must be a finite number, got '{'9' * 60}...'."),
        ("base_lr: 0.02", "base_lr: nan", "base_lr: must be a number, got 'nan'."),
        ("num_epochs: 12", 'num_epochs: "twelve"', "spec.txt:26: training_config.num_epochs: must be a number, got 'twelve'."),
        ("num_epochs: 12", "num_epochs: 1.5", "must be a whole number, got '1.5'."),
        ("num_epochs: 12", "num_epochs: 12 num_epochs: 13", "must be given once, and line 26 has it too, got '13'."),
        ("num_epochs: 12", "num_epochs: 1e30", "must be between 1 and 1e+09, got '1e30'."),
        ("batch_size_per_gpu: 4", "batch_size_per_gpu: 4000", "becomes training.batch_size, which must be less than or equal to 512, got '4000'."),
        ("batch_size_per_gpu: 4", "batch_size_per_gpu: True", "batch_size_per_gpu: must be a number, got True."),
        ("resnet:18", "resnet:7", "model_config.arch: is not a backbone that can be imported, got 'resnet:7'."),
        ("arch: \"resnet:18\"", "arch: 18", "model_config.arch: must be text, got '18'."),
        ("freeze_bn: True", "freeze_bn: 3", "model_config.freeze_bn: must be true or false, got '3'."),
        ("hflip_probability: 0.5", "hflip_probability: 5", "must be between 0 and 1, got '5'."),
        ("key: \"car\"", "", "spec.txt:15: dataset_config.target_class_mapping.value: must have a key and a value, got 'car'."),
        ("random_seed: 42", "random_seed: -1", "spec.txt:2: random_seed: must be between 0 and"),
        ("momentum: 0.8", "momentum: 1.5", "becomes training.momentum, which must be less than 1, got '1.5'."),
        ("width: 640", "width: 99999", "becomes detector.working_px, which must be less than or equal to 8192"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_with_its_line(
    tmp_path, syndet_here, monkeypatch, old, new, message
):
    monkeypatch.chdir(tmp_path)
    assert old in SPEC
    (tmp_path / "spec.txt").write_text(SPEC.replace(old, new, 1), encoding="utf-8")
    assert message.replace("1e30", "1e+30") in refusal(syndet_here, "spec.txt")
    assert not (tmp_path / "sweeps").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("other.yaml", b"hello: world\n", "other.yaml: is not a file of settings that can be imported. Give an experiments.yml of Tao-Runner"),
        ("other.txt", b"a { b: 1 }\n", "other.txt: is not a file of settings"),
        ("words.txt", b"hello world\n", "words.txt: is not a file of settings"),
        ("empty.txt", b" \n", "empty.txt: is empty."),
        ("binary.txt", bytes(range(256)), "binary.txt: is not a text file in UTF-8."),
        ("zero.txt", b"a {\0}", "zero.txt: is not a text file: it has a zero byte."),
        ("large.txt", b"# \n" * 400_000, "large.txt: is larger than 1 MB"),
        ("cut.txt", SPEC[: SPEC.index("  arch:")].encode(), "cut.txt:6:1: must end with '}': the message of line 4, column 14 is not closed"),
        ("unity.yaml", b"estimator: DeeplabV3\n", "unity.yaml:1: estimator: must be FasterRCNN: other estimators are no detectors, got 'DeeplabV3'."),
        ("a.yml", b"experiments: {}\n", "a.yml:1: experiments: must have settings below it, got None."),
        ("a.yml", b"experiments: {a: 3}\n", "a.yml:1: experiments.a: must have settings below it, got '3'."),
        ("a.yml", b"experiments: {a: {head: dssd, backbone: resnet18}}\n", "a.yml:1: a: has no dataset. Every experiment must have one."),
        ("a.yml", b"experiments: {a: {head: faster, backbone: resnet18, dataset: x}}\n", "a.yml:1: experiments.a.head: is not a detection head of TAO, got 'faster'. Did you mean"),
        ("a.yml", b"experiments: {a: {head: [x, y], backbone: resnet18, dataset: x}}\n", "experiments.a.head: must be given once, and line 1 has it too, got 'y'."),
    ],
)  # fmt: skip
def test_what_is_no_file_of_settings(tmp_path, syndet_here, monkeypatch, name, content, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(content)
    assert message in refusal(syndet_here, name)
    assert not (tmp_path / "sweeps").exists()


def test_a_path_without_settings(tmp_path, syndet_here, monkeypatch, hide):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    assert "folder: has no files of settings." in refusal(syndet_here, "folder")
    assert "nothing.txt: does not exist. Check the path." in refusal(syndet_here, "nothing.txt")
    assert "is not a file. Check the path." in refusal(syndet_here, "/dev/null")
    (tmp_path / "loop").symlink_to("loop")
    assert "loop: does not exist." in refusal(syndet_here, "loop")
    assert "no file or folder has such a long name" in refusal(syndet_here, "x" * 300)
    for name, text in {"folder/a.txt": SPEC, "folder/b.yaml": UNITY}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert "folder: has settings of NVIDIA TAO Faster R-CNN and Unity" in refusal(
        syndet_here, "folder"
    )
    hide(tmp_path / "folder" / "a.txt")
    message = refusal(syndet_here, "folder/a.txt")
    assert "folder/a.txt: cannot be read (Permission denied). Ask its owner" in message


def test_nothing_is_overwritten_unless_told(tmp_path, syndet_here, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("spec.txt", "mix.txt", "(-).txt"):
        (tmp_path / name).write_text(SPEC, encoding="utf-8")
    for out in ((), ("other/place.py",), ("named",)):
        assert syndet_here("import", "spec.txt", *out).returncode == 0
        message = refusal(syndet_here, "spec.txt", *out)
        assert "exists. Give another name, or --force to replace it." in message
    assert load("other/place.py").variants == load("named").variants == {"spec": {}}
    (tmp_path / "sweeps" / "spec.py").unlink()
    assert "sweeps/spec_classes.yaml: exists." in refusal(syndet_here, "spec.txt")
    message = refusal(syndet_here, "mix.txt")
    assert (
        "sweeps/mix.py: would hide the sweep of this name that comes with the package." in message
    )
    assert syndet_here("import", "mix.txt", "--force").returncode == 0
    assert "sweep    sweeps/imported.py\n" in syndet_here("import", "(-).txt").stdout
    for name in ("a b", "../x", "x.txt", "a/b.c.py", "_a"):
        assert "is not the path of a sweep." in refusal(syndet_here, "spec.txt", name)


def test_names_cannot_leave_their_literals(imported, tmp_path):
    name = '"a\\"\\"\\"\\n\'; open(\\"hacked\\", \\"w\\") #"'
    text = PROJECT.replace("  frcnn:", f"  {name}:").replace("  again:", "  best:")
    text = text.replace("dataset: kitti\n", 'dataset: "x\\r\\u2028y = 1"\n').replace(
        "other,", '"\\ud800",'
    )
    said, sweep = imported(
        "evil.yml", text.replace('resnet34, repository: "', 'resnet50, repository: "')
    )
    source = (tmp_path / "sweeps" / "out.py").read_text(encoding="utf-8")
    assert not (tmp_path / "hacked").exists()
    names = [type(node) for node in ast.parse(source).body]
    assert names == [ast.Expr, ast.ImportFrom, ast.Assign]
    calls = [node.func.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    assert set(calls) == {"Sweep", "Recipe", "Mix", "Detector"}
    assert list(sweep.variants) == [
        *('a"""\\n\'; open("hacked", "w") #', "dssd", "best of the other tool"),
    ]
    assert "data     data/x\\r\\u2028y = 1\n" in said


@pytest.mark.parametrize("width", ["88", "100"])
def test_the_sweep_is_formatted_as_ruff_does(imported, tmp_path, width):
    scales = " ".join(f"scale: {size}" for size in range(10, 40))
    quoted = PROJECT.replace("  dssd:", "  'it''s \"x\" \\':").replace(
        "  again:", '  "say \\"x\\"":'
    )
    for name, text in {
        "spec.txt": SPEC.replace("scale: 64.0", scales),
        "faster_rcnn.yaml": UNITY,
        "experiments.yml": quoted.replace("34, repository: other", "50, repository: other"),
    }.items():
        imported(name, text)
        path = tmp_path / "sweeps" / "out.py"
        command = [sys.executable, "-m", "ruff", "format", "--isolated", "--line-length", width]
        done = subprocess.run(
            [*command, "--diff", path], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout


@settings(max_examples=50)
@given(st.text() | st.text(alphabet="'\"\\\nab"))
def test_a_literal_has_its_value(text):
    assert ast.literal_eval(literal(text)) == text
    assert "\n" not in literal(text)


def test_the_sample_specs(shared, tmp_path, monkeypatch, syndet_here):
    specs = shared("data/formats/rendered_ana/ana_tao_specs/specs")
    monkeypatch.chdir(tmp_path)
    for path in (specs, *sorted(specs.iterdir())):
        done = syndet_here("import", path, f"from_{path.stem}")
        assert done.returncode == 0, done.stderr
        recipe = load(f"from_{path.stem}").recipe
        assert recipe.training.images == (4000 if "tfrecords" in path.stem else 12000)
    classes = yaml.safe_load(
        (tmp_path / "sweeps" / "from_specs_classes.yaml").read_text(encoding="utf-8")
    )
    assert list(classes) == ["bubblebottle", "skateboard", "rubikscube", "yoyo", "playdough"]

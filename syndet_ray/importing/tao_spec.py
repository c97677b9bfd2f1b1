"""TAO spec: the training and tfrecords specs of NVIDIA TAO's Faster R-CNN.

What the keys mean is that of NVIDIA/tao_tensorflow1_backend at 2ec95cb, cv/faster_rcnn.
"""

from collections.abc import Sequence

from syndet_ray.importing.experiment import Experiment, put_backbone, put_optimizer
from syndet_ray.importing.settings import (
    ForeignSetting,
    Settings,
    flag,
    number,
    short_value,
    text,
    whole,
)

_RESNETS = {f"{layers}": f"resnet{layers}" for layers in (18, 34, 50, 101)} | {"10": "resnet10t"}
BACKBONES = {
    "googlenet": "inception_v3",
    "mobilenet_v1": "mobilenetv1_100",
    "mobilenet_v2": "mobilenetv2_100",
    "squeezenet": "mobilenetv2_100",
}
# Tao-Runner and older specs write resnet18 instead of resnet:18.
for _colon in (":", ""):
    BACKBONES |= {f"resnet{_colon}{layers}": name for layers, name in _RESNETS.items()}
    BACKBONES |= {f"vgg{_colon}{layers}": f"vgg{layers}" for layers in (16, 19)}
    BACKBONES |= {f"darknet{_colon}{layers}": "darknet53" for layers in (19, 53)}
    BACKBONES |= {f"cspdarknet{_colon}{layers}": "cspdarknet53" for layers in (19, 53)}
for _sign in (":", "_"):
    BACKBONES |= {f"efficientnet{_sign}b{size}": f"tf_efficientnet_b{size}" for size in range(8)}
_SCHEDULES = ("training_config.learning_rate.soft_start", "training_config.learning_rate.step")
_NO_REGULARIZATION = ("NO_REG", "0")
_LEFT_OUT = ("dontcare", "don't care", "dont_care", "-1")  # TAO's class that is no object
_MIX = "say which are the photos: Mix(sources={...: Photos(folder=...)}, parts=...)"
_AS_TORCHVISION = "as in torchvision's Faster R-CNN"
_DATA = "the images are those of `real`"
_IGNORED = {
    "enc_key": "saved models are not encrypted",
    "verbose": "the terminal shows what it has room for",
    "model_config.input_image_config.image_channel_order": "comes with the weights",
    "model_config.input_image_config.image_channel_mean": "comes with the weights",
    "model_config.input_image_config.image_scaling_factor": "comes with the weights",
    "model_config.input_image_config.max_objects_num_per_image": "there is no limit",
    "dataset_config.image_extension": "files are recognized by their content",
    "dataset_config.validation_fold": "val/ of `real` is the validation set, else a fifth of train",
    "augmentation_config.preprocessing.output_image": "photos are decoded as RGB",
    "augmentation_config.preprocessing.enable_auto_resize": "photos are always resized",
    "augmentation_config.spatial_augmentation.translate": "random crops move objects already",
    "augmentation_config.color_augmentation.contrast_center": "contrast changes around the mean",
    "training_config.output_model": "a run keeps its models in its own folder",
    "training_config.checkpoint_interval": "every rung has a checkpoint",
    "training_config.visualizer": "MLflow, event files and the report show a run",
    "training_config.model_parallelism": "a trial is trained on one device",
    "training_config.enable_qat": "training is in floating point",
    "inference_config": "is for `predict`, not for training",
    "evaluation_config": "scores are COCO's, at every rung",
    "kitti_config": _DATA,
    "coco_config": _DATA,
    "image_directory_path": _DATA,
    "target_class_mapping": _DATA,
}
_MISSING = {
    "model_config.input_image_config.image_type": "photos are decoded as RGB",
    "model_config.input_image_config.size_min": "working_px is the longer side, not the shorter",
    "model_config": _AS_TORCHVISION,
    "dataset_config.data_sources.source_weight": _MIX,
    "dataset_config.sampling_mode": _MIX,
    "dataset_config.validation_data_source": "put these images into val/ of `real`",
    "augmentation_config.spatial_augmentation": "no such augmentation",
    "augmentation_config.color_augmentation": "no such augmentation",
    "augmentation_config.preprocessing": "no such preprocessing of the images",
    "training_config.resume_from_model": "start a new run; `resume` continues our own",
    "training_config.retrain_pruned_model": "models are not pruned; Optuna's pruners stop trials",
    "training_config.early_stopping": 'Pruning(name="patient") of a search stops trials',
    "training_config.optimizer": "has PyTorch's value",
    "training_config": _AS_TORCHVISION,
}


def is_training(settings: Settings) -> bool:
    """True for the spec of a training of a Faster R-CNN."""
    return "training_config" in settings and "model_config" in settings


def is_tfrecords(settings: Settings) -> bool:
    """True for the spec of a conversion into TFRecord files."""
    return "kitti_config" in settings or "coco_config" in settings


def put_training(
    experiment: Experiment, settings: Settings, images_per_epoch: int | None, gpus: int = 1
) -> None:
    """Puts the settings of a training spec into an experiment.

    Raises DefinitionError for values that mean nothing, with their line.

    gpus  that train together, each on a batch of its own
    """
    experiment.put_seed(settings.one("random_seed"))
    _put_input(experiment, settings)
    _put_model(experiment, settings)
    _put_data(experiment, settings)
    _put_augmentation(experiment, settings)
    _put_length(experiment, settings, images_per_epoch, gpus)
    _put_optimizer(experiment, settings)
    _put_rate(experiment, settings)
    experiment.note_left(settings, _IGNORED, _MISSING)


def put_tfrecords(experiment: Experiment, settings: Settings) -> None:
    """Puts what a tfrecords spec says into an experiment: where the images are, and their split."""
    for kind, folder in (("kitti_config", "root_directory_path"), ("coco_config", "img_dir_path")):
        location = settings.one(f"{kind}.{folder}")
        if location is not None:
            experiment.data.append(text(location))
            experiment.ignore(location, _DATA)
        share = settings.one(f"{kind}.val_split")
        if share is not None:
            number(share, least=0, most=100)
            why = "val/ of `real` is the validation set, else a fifth of train"
            experiment.ignore(share, why)
    experiment.note_left(settings, _IGNORED, _MISSING)


def _put_input(experiment: Experiment, settings: Settings) -> None:
    sides = []
    for side in ("width", "height"):
        size = settings.one(f"model_config.input_image_config.size_height_width.{side}")
        output = settings.one(f"augmentation_config.preprocessing.output_image_{side}")
        if size is not None:
            experiment.ignore(output, "as the size of the model's input")
        size = size or output
        if size is not None:
            sides.append(size)
    if sides:
        longer = max(sides, key=lambda side: whole(side, least=1))
        why = "the longer side; photos keep their shape"
        experiment.put("detector.working_px", whole(longer, least=1), longer, why=why)
        for other in sides:
            if other is not longer:
                experiment.ignore(other, "the longer side decides; photos keep their shape")
    kind = settings.one("model_config.input_image_config.image_type")
    if kind is not None and kind.value in ("RGB", 0):
        experiment.ignore(kind, "photos are decoded as RGB")
    else:
        experiment.miss(kind, "photos are decoded as RGB")


def _put_model(experiment: Experiment, settings: Settings) -> None:
    arch = settings.one("model_config.arch")
    if arch is not None:
        put_backbone(experiment, arch, BACKBONES)
    sizes = settings.all("model_config.anchor_box_config.scale")
    if sizes:
        values = {number(size, least=1) for size in sizes}
        experiment.put("detector.anchor_px", tuple(sorted(values)), *sizes)
    ratios = settings.all("model_config.anchor_box_config.ratio")
    if ratios:
        # TAO's is width / height
        inverse = {round(1 / number(ratio, least=1e-3), 4) for ratio in ratios}
        why = "height / width here, width / height there"
        experiment.put("detector.aspect_ratios", tuple(sorted(inverse)), *ratios, why=why)
    norms = settings.one("model_config.freeze_bn")
    if norms is not None and flag(norms):
        experiment.ignore(norms, "batch norms are always frozen if weights are given")
    else:
        experiment.miss(norms, "batch norms are frozen if weights are given")
    _put_weights(experiment, settings)
    _put_frozen(experiment, settings.all("model_config.freeze_blocks"), arch)


def _put_weights(experiment: Experiment, settings: Settings) -> None:
    weights = settings.one("training_config.pretrained_weights")
    if weights is None or weights.value == "":
        experiment.assume("detector.weights", "none", "the spec names no pretrained weights")
        experiment.ignore(weights, "is empty")
        return
    why = "ImageNet weights of the same backbone instead: files of Keras are not read"
    experiment.put("detector.weights", "imagenet", weights, why=why)


def _put_frozen(
    experiment: Experiment, blocks: Sequence[ForeignSetting], arch: ForeignSetting | None
) -> None:
    """Sets the frozen stages, where TAO's blocks are the first stages of the backbone."""
    numbers = sorted({whole(block, least=0, most=99) for block in blocks})
    name = "" if arch is None else str(arch.value).lower()
    first = 1 if name.startswith("vgg") else 0
    is_known = name.startswith(("resnet", "vgg"))
    is_first = numbers == list(range(first, first + len(numbers)))
    has_weights = experiment.settings["detector.weights"] != "none"
    if not blocks:
        experiment.assume("detector.frozen_stages", 0, "the spec freezes no block")
    elif not has_weights:
        for block in blocks:
            experiment.miss(block, "random weights cannot be frozen")
    elif is_known and is_first:
        why = "the number of stages, counted from the image on"
        experiment.put("detector.frozen_stages", len(numbers), *blocks, why=why)
    else:
        for block in blocks:
            experiment.miss(block, "stages are frozen from the image on: see frozen_stages")


def _put_data(experiment: Experiment, settings: Settings) -> None:
    for key in ("image_directory_path", "tfrecords_path"):
        for location in settings.all(f"dataset_config.data_sources.{key}"):
            experiment.ignore(location, _DATA)
            if key == "image_directory_path":
                experiment.data.append(text(location))
    for entry in settings.groups("dataset_config.target_class_mapping"):
        first = next(iter(entry.values()))
        if set(entry) != {"key", "value"}:
            first.refuse("must have a key and a value")
        name = text(entry["value"])
        is_object = name.strip().lower() not in _LEFT_OUT
        experiment.classes[text(entry["key"])] = name if is_object else None


def _put_augmentation(experiment: Experiment, settings: Settings) -> None:
    enabled = settings.one("training_config.enable_augmentation")
    is_enabled = enabled is None or flag(enabled)
    for name, path in (("hflip", "flip_horizontal"), ("vflip", "flip_vertical")):
        share = settings.one(f"augmentation_config.spatial_augmentation.{name}_probability")
        if share is not None:
            value = number(share, least=0, most=1)
            experiment.put(f"training.{path}", value if is_enabled else 0.0, share)
        else:
            experiment.assume(f"training.{path}", 0.0, "the spec does not say: TAO's default")
    _put_strongest(experiment, settings, is_enabled)
    if enabled is not None and not is_enabled:
        experiment.put("training.scale_jitter", 0.0, enabled)
    elif enabled is not None:
        experiment.ignore(enabled, "augmentations are on unless they are 0")


def _put_strongest(experiment: Experiment, settings: Settings, is_enabled: bool) -> None:
    """Sets the jitters of scale and colour: one number each, where TAO has two."""
    zooms = [
        settings.one(f"augmentation_config.spatial_augmentation.zoom_{end}")
        for end in ("min", "max")
    ]
    colors = [
        settings.one(f"augmentation_config.color_augmentation.{name}_max")
        for name in ("saturation_shift", "contrast_scale")
    ]
    for path, pair, neutral in (("scale_jitter", zooms, 1), ("color_jitter", colors, 0)):
        values = [setting for setting in pair if setting is not None]
        if not values:
            experiment.assume(f"training.{path}", 0.0, "the spec does not say: TAO's default")
            continue
        strengths = {abs(number(setting) - neutral): setting for setting in values}
        strength = round(max(strengths), 6)
        strongest = strengths[max(strengths)]
        why = "the stronger of TAO's two"
        experiment.put(f"training.{path}", strength if is_enabled else 0.0, strongest, why=why)
        for setting in values:
            if setting is not strongest:
                experiment.ignore(setting, "one strength here: the stronger of two counts")


def _put_length(
    experiment: Experiment, settings: Settings, images_per_epoch: int | None, gpus: int
) -> None:
    epochs = settings.one("training_config.num_epochs")
    if epochs is not None:
        experiment.put_images(epochs, images_per_epoch)
    batch = settings.one("training_config.batch_size_per_gpu")
    if batch is not None:
        size = whole(batch, least=1)
        why = f"x {gpus} GPUs: a trial has one" if gpus > 1 else ""
        experiment.put("training.batch_size", size * gpus, batch, why=why)


def _put_optimizer(experiment: Experiment, settings: Settings) -> None:
    for name in ("sgd", "adam", "rmsprop"):
        path = f"training_config.optimizer.{name}"
        if path not in settings:
            continue
        rate = settings.one(f"{path}.lr")
        momentum = settings.one(f"{path}.momentum")
        mark = rate or momentum or settings.first
        put_optimizer(experiment, name, mark, momentum)
        if rate is not None and any(f"{schedule}.base_lr" in settings for schedule in _SCHEDULES):
            experiment.ignore(rate, "base_lr of the schedule takes its place, as in TAO")
        elif rate is not None:
            experiment.put("training.learning_rate", number(rate, least=0), rate)
        nesterov = settings.one(f"{path}.nesterov")
        if nesterov is not None and not flag(nesterov):
            experiment.miss(nesterov, "momentum is always Nesterov's")
        else:
            experiment.ignore(nesterov, "momentum is always Nesterov's")
        decay = settings.one(f"{path}.decay")
        if decay is not None and number(decay, least=0) == 0:
            experiment.ignore(decay, "the rate follows the schedule alone")
        else:
            experiment.miss(decay, "the rate follows the schedule alone")
    _put_decay(experiment, settings)


def _put_decay(experiment: Experiment, settings: Settings) -> None:
    kind = settings.one("training_config.regularizer.type")
    weight = settings.one("training_config.regularizer.weight")
    name = "NO_REG" if kind is None else str(kind.value)
    is_sgd = experiment.settings.get("training.optimizer") == "sgd"
    if weight is not None and name == "L2" and is_sgd:
        why = "twice it: Keras adds weight x w^2 to the loss, whose slope is 2 x weight x w"
        value = 2 * number(weight, least=0, most=1)
        experiment.put("training.weight_decay", value, weight, why=why)
        experiment.ignore(kind, "that of sgd is L2")
        return
    if weight is not None:
        number(weight, least=0, most=1)
    no_decay = f"the regularizer is {short_value(name)}"
    if name not in _NO_REGULARIZATION:
        why = "adamw decouples its decay, sgd has L2 alone: set weight_decay yourself"
        experiment.miss(kind, why)
        experiment.miss(weight, why)
    else:
        experiment.ignore(kind, "weight_decay is 0")
        experiment.ignore(weight, "weight_decay is 0")
    experiment.assume("training.weight_decay", 0.0, no_decay)


def _put_rate(experiment: Experiment, settings: Settings) -> None:
    soft, step = _SCHEDULES
    if soft in settings:
        _put_soft_start(experiment, settings, soft)
    elif step in settings:
        _put_steps(experiment, settings, step)


def _put_soft_start(experiment: Experiment, settings: Settings, path: str) -> None:
    _put_base(experiment, settings, path)
    warmup = settings.one(f"{path}.soft_start")
    if warmup is not None:
        value = number(warmup, least=0, most=1)
        experiment.put("training.warmup", value, warmup)
    experiment.ignore(settings.one(f"{path}.start_lr"), "the warm-up rises from 0")
    points = settings.all(f"{path}.annealing_points")
    divider = settings.one(f"{path}.annealing_divider")
    if divider is None:
        return
    for point in points:
        number(point, least=0, most=1)
        experiment.ignore(point, "the rate falls by a cosine, without steps")
    final = number(divider, least=1) ** -len(points)
    why = f"to the power of -{len(points)}, the number of annealing_points; by a cosine, no steps"
    experiment.put("training.final_rate", _short_share(final), divider, why=why)


def _put_steps(experiment: Experiment, settings: Settings, path: str) -> None:
    _put_base(experiment, settings, path)
    experiment.assume("training.warmup", 0.0, "this schedule has no warm-up")
    size, gamma = settings.one(f"{path}.step_size"), settings.one(f"{path}.gamma")
    if size is None or gamma is None:
        return
    # in percent of the training; one at its very end changes nothing any more
    steps = int(99.999 // number(size, least=0.01, most=100))
    experiment.ignore(size, "the rate falls by a cosine, without steps")
    final = number(gamma, least=0, most=1) ** steps
    why = f"to the power of {steps}, the number of steps; by a cosine, no steps"
    experiment.put("training.final_rate", _short_share(final), gamma, why=why)


def _put_base(experiment: Experiment, settings: Settings, path: str) -> None:
    base = settings.one(f"{path}.base_lr")
    if base is not None:
        experiment.put("training.learning_rate", number(base, least=0), base)


def _short_share(share: float) -> float:
    """A share without the last digits, which are rounding: 0.01 instead of 0.010000000000000002."""
    return float(f"{share:.6g}")

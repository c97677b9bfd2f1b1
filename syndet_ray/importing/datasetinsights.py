"""datasetinsights: the training configurations of Unity's Faster R-CNN estimator.

The keys are those of Unity-Technologies/datasetinsights before e423d50, which removed estimators.
"""

from syndet_ray.importing.experiment import Experiment, put_backbone, put_optimizer
from syndet_ray.importing.settings import Settings, choice, flag, number, text, whole

_BACKBONES = {f"resnet{layers}": f"resnet{layers}" for layers in (18, 34, 50, 101, 152)} | {
    "mobilenet_v3_large": "mobilenetv3_large_100"
}
# Training images of the datasets that it downloads by name.
_SIZES = {"groceriesreal": "760", "cocodetection": "118287"}
# Its detectors with COCO weights, by the name of their backbone.
_COCO = {"resnet50": "resnet50_fpn_v2", "mobilenet_v3_large": "mobilenet_v3_large_fpn"}
_IGNORED = {
    "task": "all models are detectors",
    "num_classes": "classes are those of the images",
    "train.log_frequency": "the terminal and MLflow follow a training by themselves",
    "train.dataset": "the images are those of `real`",
    "val": "val/ of `real` is the validation set, else a fifth of train",
    "test": "test/ of `real` is the test set, which is opened once",
    "metrics": "scores are COCO's",
    "val_interval": "a trial is scored at every rung",
    "synchronize_metrics": "every trial is scored by one process",
    "mlflow": "see `tracking`",
    "system": "a run keeps its files in its own folder",
}
_MISSING = {"optimizer.args": "has PyTorch's value"}
_SYNTHETIC = (
    "is synthetic: give the photos by `real`, and this dataset by "
    'Mix(sources={"synthetic": Synthetic(folder=...)})'
)


def is_config(settings: Settings) -> bool:
    """True for the configuration of an estimator."""
    return "estimator" in settings


def put_config(experiment: Experiment, settings: Settings, images_per_epoch: int | None) -> None:
    """Puts the settings of a configuration into an experiment.

    Raises DefinitionError for values that mean nothing, with their line.
    """
    experiment.put_common()
    estimator = settings.one("estimator")
    assert estimator is not None
    if choice(estimator, {"fasterrcnn": "faster_rcnn"}) is None:
        estimator.refuse("must be FasterRCNN: other estimators are no detectors")
    experiment.put("detector.architecture", "faster_rcnn", estimator)
    _put_weights(experiment, settings)
    _put_length(experiment, settings, images_per_epoch)
    _put_optimizer(experiment, settings)
    for name in ("flip_horizontal", "scale_jitter", "color_jitter"):
        why = "datasetinsights does not augment images"
        experiment.assume(f"training.{name}", 0.0, why)
    experiment.put_seed(settings.one("train.dataset.args.random_seed"))
    checkpoint = settings.one("checkpoint_file")
    if checkpoint is not None and checkpoint.value not in (None, "", "None"):
        why = "its checkpoints are pickles, which are not read; weights may be a .safetensors file"
        experiment.miss(checkpoint, why)
    else:
        experiment.ignore(checkpoint, "is not set")
    experiment.note_left(settings, _IGNORED, _MISSING)


def _put_weights(experiment: Experiment, settings: Settings) -> None:
    backbone, coco = settings.one("backbone"), settings.one("pretrained")
    imagenet = settings.one("pretrained_backbone")
    name = "" if backbone is None else text(backbone).strip().lower()
    if backbone is not None and coco is not None and flag(coco) and name in _COCO:
        experiment.put(
            "detector.backbone", _COCO[name], backbone, why="torchvision's newer version"
        )
        experiment.put("detector.weights", "coco", coco)
        experiment.ignore(imagenet, "COCO weights are those of the backbone too")
        return
    if backbone is not None:
        put_backbone(experiment, backbone, _BACKBONES)
    if coco is not None and flag(coco):
        experiment.miss(coco, "this backbone has no COCO weights here")
    else:
        experiment.ignore(coco, "weights are not those of COCO")
    if imagenet is not None:
        weights = "imagenet" if flag(imagenet) else "none"
        experiment.put("detector.weights", weights, imagenet)


def _put_length(experiment: Experiment, settings: Settings, images_per_epoch: int | None) -> None:
    dataset = settings.one("train.dataset.name")
    size = 0
    if dataset is not None:
        size = int(choice(dataset, _SIZES) or 0)
        experiment.data.append(text(dataset))
        if text(dataset).lower().startswith("syn"):
            experiment.miss(dataset, _SYNTHETIC)
        else:
            experiment.ignore(dataset, "the images are those of `real`")
    epochs = settings.one("train.epochs")
    if epochs is not None:
        experiment.put_images(epochs, images_per_epoch, size)
    batch, steps = settings.one("train.batch_size"), settings.one("train.accumulation_steps")
    count = 1 if steps is None else whole(steps, least=1)
    if batch is not None:
        why = f"x {count} accumulation_steps: a step here sees them at once" if count > 1 else ""
        experiment.put("training.batch_size", whole(batch, least=1) * count, batch, why=why)
    experiment.ignore(steps, "is a factor of batch_size here")


def _put_optimizer(experiment: Experiment, settings: Settings) -> None:
    kind = settings.one("optimizer.name")
    if kind is not None:
        momentum = settings.one("optimizer.args.momentum")
        put_optimizer(experiment, text(kind), kind, momentum)
    rate = settings.one("optimizer.args.lr")
    if rate is not None:
        experiment.put("training.learning_rate", number(rate, least=0), rate)
    decay = settings.one("optimizer.args.weight_decay")
    is_sgd = experiment.settings.get("training.optimizer") == "sgd"
    if decay is not None and (is_sgd or number(decay, least=0) == 0):
        experiment.put("training.weight_decay", number(decay, least=0), decay)
    else:
        experiment.miss(decay, "adamw decouples its decay: set weight_decay yourself")
        experiment.assume("training.weight_decay", 0.0, "PyTorch's default of this optimizer")
    experiment.assume("training.warmup", 0.0, "datasetinsights has no warm-up")
    if "optimizer.args.lr_step_size" not in settings:
        why = "datasetinsights keeps the rate constant"
        experiment.assume("training.final_rate", 1.0, why)
        return
    why = "the rate falls by a cosine, without steps: see final_rate"
    for name in ("lr_step_size", "lr_gamma"):
        experiment.miss(settings.one(f"optimizer.args.{name}"), why)

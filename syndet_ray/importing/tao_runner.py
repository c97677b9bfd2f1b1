"""Tao-Runner: the experiments of a project, with their TAO specs.

The keys are those of jhoogstraat/tao-runner at b28ea41.
"""

from collections.abc import Iterator
from pathlib import Path

from syndet_ray.errors import DefinitionError, nearest
from syndet_ray.importing import protobuf_text, tao_spec
from syndet_ray.importing.experiment import Experiment, put_backbone
from syndet_ray.importing.settings import ForeignSetting, Settings, choice, text, whole
from syndet_ray.wording import printable

_SAME = {"faster_rcnn": "faster_rcnn", "fasterrcnn": "faster_rcnn", "retinanet": "retinanet"}
# RetinaNet for heads with anchors, FCOS for the one without
_NEAREST = {
    **dict.fromkeys(("ssd", "dssd", "efficientdet"), "retinanet"),
    **dict.fromkeys(("yolo_v3", "yolo_v4", "yolo_v4_tiny"), "retinanet"),
    "detectnet_v2": "fcos",
}
_IGNORED = {
    "model_key": "saved models are not encrypted",
    "tao_config": "`gpus_per_trial` and `parallel` divide the GPUs among the trials",
}
_MISSING = {
    "repository": "names weights of Keras, which are not read: ImageNet weights instead",
    "export_model": "models are not exported; `predict RUN` uses the best one as it is",
    "export_type": "models are not exported; `predict RUN` uses the best one as it is",
}
_MOST_GPUS = 1024


def is_project(settings: Settings) -> bool:
    """True for the file of a project."""
    return "experiments" in settings


def experiments(
    file: Path, settings: Settings, images_per_epoch: int | None
) -> Iterator[Experiment]:
    """Yields the experiments of a project, in the order of the file.

    Raises DefinitionError for values that mean nothing, with their line.
    """
    gpus = settings.one("tao_config.gpus")
    count = 1 if gpus is None else whole(gpus, least=1, most=_MOST_GPUS)
    sections = settings.sections("experiments")
    for position, (name, section) in enumerate(sections.items()):
        experiment = Experiment(name=name, file=file)
        experiment.put_common()
        _put_spec(experiment, section, images_per_epoch, count)
        _put_section(experiment, section)
        if position == 0:  # they are of the project, and told once
            experiment.note_left(settings, _IGNORED, {})
            experiment.ignore(gpus, "`gpus_per_trial` says how many GPUs a trial has")
        yield experiment


def _put_section(experiment: Experiment, section: Settings) -> None:
    first = section.first
    for key in ("head", "backbone", "dataset"):
        if key not in section:
            place = f"{printable(str(first.file))}:{first.line}: {printable(experiment.name)}"
            raise DefinitionError(place, f"has no {key}", do="Every experiment must have one.")
    _put_head(experiment, section)
    backbone = section.one("backbone")
    assert backbone is not None
    if "detector.backbone" in experiment.settings:
        experiment.ignore(backbone, "the training spec decides, as in TAO")
    else:
        put_backbone(experiment, backbone, tao_spec.BACKBONES)
    repository = section.one("repository")
    if repository is not None and "detector.weights" not in experiment.settings:
        why = "ImageNet weights of the same backbone instead: files of Keras are not read"
        experiment.put("detector.weights", "imagenet", repository, why=why)
    else:
        experiment.miss(repository, _MISSING["repository"])
    dataset = section.one("dataset")
    assert dataset is not None
    experiment.data.append(str(experiment.file.parent / "data" / text(dataset)))
    experiment.ignore(dataset, "the images are those of `real`")
    experiment.note_left(section, _IGNORED, _MISSING)


def _put_head(experiment: Experiment, section: Settings) -> None:
    head = section.one("head")
    assert head is not None
    architecture, nearest_one = choice(head, _SAME), choice(head, _NEAREST)
    if architecture is not None:
        experiment.put("detector.architecture", architecture, head)
    elif nearest_one is not None:
        why = "the nearest detector here"
        experiment.put("detector.architecture", nearest_one, head, why=why)
        experiment.miss(head, f"this detector is not there; {nearest_one} is {why}")
    else:
        head.refuse("is not a detection head of TAO", nearest(text(head)[:60], _SAME | _NEAREST))


def _put_spec(
    experiment: Experiment, section: Settings, images_per_epoch: int | None, gpus: int
) -> None:
    """Puts specs/<experiment>/train.txt into an experiment; only one of a Faster R-CNN."""
    spec = _spec_file(experiment)
    settings = None if spec is None else Settings(protobuf_text.read(spec))
    if settings is not None and tao_spec.is_training(settings) and _is_faster_rcnn(section):
        tao_spec.put_training(experiment, settings, images_per_epoch, gpus)
        experiment.data.clear()  # where Docker has it: the project says where it is here
        return
    experiment.partial = True
    reason = "is not there" if spec is None else "is not the spec of a Faster R-CNN"
    name = printable(experiment.name)
    experiment.remarks.append(
        f"{name} has only a detector: specs/{name}/train.txt, with its training, {reason}"
    )


def _is_faster_rcnn(section: Settings) -> bool:
    head: ForeignSetting | None = section.one("head")
    return head is not None and choice(head, _SAME) == "faster_rcnn"


def _spec_file(experiment: Experiment) -> Path | None:
    """The training spec of an experiment; None if there is none inside the project's folder."""
    name = experiment.name
    if "/" in name or "\0" in name or name in ("", ".", ".."):
        return None
    project = experiment.file.parent.resolve()
    spec = (project / "specs" / name / "train.txt").resolve()
    try:
        return spec if spec.is_relative_to(project) and spec.is_file() else None
    except OSError:  # a name that is too long for a file
        return None

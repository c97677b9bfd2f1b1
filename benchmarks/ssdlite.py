"""torchvision's SSDLite as a training program of one's own.

    detector="command:python benchmarks/ssdlite.py"

detector.weights may be none, or the path of a .safetensors file: of its tensors all are taken that
fit by name and shape. See docs/own_program.md.
"""

from pathlib import Path
from typing import Any

import torch
from own_program import Detections, Images, Order, Task, load, report, save, write_predictions
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models.detection import ssdlite320_mobilenet_v3_large


def _new_model(task: Task) -> nn.Module:
    """The model with the starting weights of the recipe; label 0 is its background."""
    count = len(task.classes) + 1
    model = ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=count, score_thresh=0.01
    )
    weights = task.setting("detector.weights") if task.trains else "none"
    if weights not in ("none", "auto"):
        own = model.state_dict()
        given = load_file(Path(weights))
        fitting = {
            name: tensor
            for name, tensor in given.items()
            if name in own and own[name].shape == tensor.shape
        }
        model.load_state_dict(fitting, strict=False)
        print(f"{len(fitting)} of {len(own)} tensors from {weights}", flush=True)
    return model


def _batch(
    sources: dict[str, Images], draws: list[tuple[str, int]], flip: float, device: torch.device
) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Images and targets as torchvision takes them, some mirrored."""
    images, targets = [], []
    for source, index in draws:
        image = sources[source].image(index)
        boxes, labels = sources[source].target(index)
        if torch.rand(()) < flip:
            image = image.flip(-1)
            left, top, right, bottom = boxes.unbind(1)
            width = image.shape[-1]
            boxes = torch.stack([width - right, top, width - left, bottom], dim=1)
        images.append(image.to(device))
        targets.append({"boxes": boxes.to(device), "labels": labels.to(device) + 1})
    return images, targets


@torch.inference_mode()
def _predict(model: nn.Module, images: Images, device: torch.device) -> list[Detections]:
    model.eval()
    detections = []
    for index in range(len(images)):
        (output,) = model([images.image(index).to(device)])
        found = Detections(
            boxes=output["boxes"], labels=output["labels"] - 1, scores=output["scores"]
        )
        detections.append(found)
    model.train()
    return detections


def _optimizer(task: Task, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer that the recipe names."""
    rate, decay = task.setting("training.learning_rate"), task.setting("training.weight_decay")
    if task.setting("training.optimizer") == "adamw":
        return torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay)
    momentum = task.setting("training.momentum")
    return torch.optim.SGD(model.parameters(), lr=rate, weight_decay=decay, momentum=momentum)


def _effective(task: Task, optimizer: torch.optim.Optimizer, flip: float) -> dict[str, Any]:
    """The settings that this program has used, read from the optimizer where it has them."""
    group = optimizer.param_groups[0]
    effective = {
        "training.optimizer": type(optimizer).__name__.lower(),
        "training.learning_rate": group["initial_lr"],
        "training.weight_decay": group["weight_decay"],
        "training.warmup": task.setting("training.warmup"),
        "training.flip_horizontal": flip,
        "training.batch_size": task.setting("training.batch_size"),
        "detector.weights": task.setting("detector.weights"),
    }
    if "momentum" in group:
        effective["training.momentum"] = group["momentum"]
    return effective


def _train(task: Task, model: nn.Module) -> None:
    sources = {name: Images(files, task.classes) for name, files in task.facts["sources"].items()}
    val, order = Images(task.facts["val"], task.classes), Order(task)
    flip, total = task.setting("training.flip_horizontal"), task.setting("training.images")
    warmup = task.setting("training.warmup") * total
    optimizer = _optimizer(task, model)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    seen = task.facts["images_seen"]
    restored = task.saved()
    if restored is not None:
        optimizer.load_state_dict(load(restored)["optimizer"])
    for rung in task.facts["rungs"]:
        losses = []
        for draws in order.batches(seen, rung):
            torch.manual_seed(task.facts["seed"] + seen)  # so that a restored training is the same
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * min(1.0, (seen + 1) / max(1.0, warmup))
            images, targets = _batch(sources, draws, flip, task.device)
            loss = torch.stack(list(model(images, targets).values())).sum()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            losses.append(loss.item())
            seen += len(draws)
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        goes_on = report(
            {
                "images": rung,
                "predictions": write_predictions(task, _predict(model, val, task.device)),
                "checkpoint": save(task, state),
                "metrics": {"loss": sum(losses) / len(losses)},
                "effective": _effective(task, optimizer, flip) | {"drawn": order.drawn(rung)},
            }
        )
        if not goes_on:
            return


def main() -> None:
    task = Task()
    if task.trains:
        torch.manual_seed(task.facts["seed"])
    model = _new_model(task)
    saved = task.saved()
    if saved is not None:
        model.load_state_dict(load(saved)["model"])
    model.to(task.device).train()
    if task.trains:
        _train(task, model)
        return
    images = Images(task.facts["images"], task.classes)
    report({"predictions": write_predictions(task, _predict(model, images, task.device))})


if __name__ == "__main__":
    main()

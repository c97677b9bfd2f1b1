"""Optimizer: what a recipe's optimizer trains, in named groups with settings of their own."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from syndet_ray.definitions.recipe import Recipe, Training

BODY = "backbone.body"  # name of the backbone without its pyramid in every model
# Recorded settings of each of the optimizer's groups: not every optimizer has all of them.
_GROUP_FACTS = ("lr", "initial_lr", "weight_decay", "momentum", "betas")


def optimizer_of(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The optimizer of all parameters that train, in named groups.

    The backbone has a learning rate of its own.
    """
    training = recipe.training
    groups = _parameter_groups(model, training, recipe.detector.backbone_rate)
    optimizer: torch.optim.Optimizer
    if training.optimizer == "adamw":
        optimizer = torch.optim.AdamW(groups)
    else:
        momentum = training.momentum
        optimizer = torch.optim.SGD(groups, momentum=momentum, nesterov=momentum > 0)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return optimizer


def _parameter_groups(
    model: nn.Module, training: Training, backbone_rate: float
) -> list[dict[str, Any]]:
    """The optimizer's groups, without empty ones.

    Weight decay is on weights alone: biases and norms have one dimension.
    """
    members: dict[str, list[nn.Parameter]] = {
        "weights": [],
        "biases_and_norms": [],
        "backbone_weights": [],
        "backbone_biases_and_norms": [],
    }
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            prefix = "backbone_" if name.startswith(f"{BODY}.") else ""
            kind = "weights" if parameter.ndim > 1 else "biases_and_norms"
            members[prefix + kind].append(parameter)
    groups = []
    for name, parameters in members.items():
        factor = backbone_rate if name.startswith("backbone_") else 1.0
        decay = training.weight_decay if name.endswith("weights") else 0.0
        if parameters:
            settings = {"lr": training.learning_rate * factor, "weight_decay": decay}
            groups.append({"name": name, "params": parameters} | settings)
    return groups


def group_facts(group: Mapping[str, Any]) -> dict[str, Any]:
    """The number of parameters of a group of the optimizer, and its settings."""
    settings = {name: group[name] for name in _GROUP_FACTS if name in group}
    if "betas" in settings:
        settings["betas"] = list(settings["betas"])
    count = sum(parameter.numel() for parameter in group["params"])
    return {"parameters": count} | settings

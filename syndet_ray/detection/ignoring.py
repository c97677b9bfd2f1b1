"""Ignoring: torchvision's detectors with regions in which nothing is learned.

A target's "ignored", (m, 4) boxes, are crowds, and objects of which a crop left too little to be
found. A proposal there is neither an object nor background: it adds nothing to the loss. Of two
stages, a target's "seeds" are those of the samples of its anchors and of its proposals.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.models.detection._utils import Matcher
from torchvision.models.detection.fcos import FCOSHead
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import box_area

from syndet_ray.detection.samples import ImageSampler, box_loss, mean_weights

# A box is in an ignored region if they share more than this part of the smaller of the two: a
# sliver lies within the anchor that would find its object, a crowd holds the anchors of many.
_SHARED = 0.5
_LEAST_LOGIT = -100.0  # its probability rounds to 0 in float32, and so does its loss as background


def in_ignored(boxes: Tensor, ignored: Tensor) -> Tensor:
    """(n,) bool: which of `boxes` (n, 4) lie in one of the regions `ignored` (m, 4)."""
    if not len(ignored):
        return torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    top_left = torch.maximum(boxes[:, None, :2], ignored[None, :, :2])
    bottom_right = torch.minimum(boxes[:, None, 2:], ignored[None, :, 2:])
    shared = (bottom_right - top_left).clamp(min=0).prod(dim=2)
    smaller = torch.minimum(box_area(boxes)[:, None], box_area(ignored)[None])
    return (shared > _SHARED * smaller).any(dim=1)


class IgnoringRPN(RegionProposalNetwork):
    """The first stage: proposals. `levels` names the maps that they are made from."""

    levels: tuple[str, ...]
    fg_bg_sampler: ImageSampler

    def forward(self, images: Any, features: dict[str, Tensor], targets: Any = None) -> Any:
        proposing = {level: features[level] for level in self.levels}
        return super().forward(images, proposing, targets)

    def assign_targets_to_anchors(
        self, anchors: list[Tensor], targets: list[dict[str, Any]]
    ) -> tuple[list[Tensor], list[Tensor]]:
        self.fg_bg_sampler.seeds = [target["seeds"][0] for target in targets]
        labels, boxes = super().assign_targets_to_anchors(anchors, targets)
        for image_labels, image_anchors, target in zip(labels, anchors, targets, strict=True):
            background = image_labels == 0
            image_labels[background & in_ignored(image_anchors, target["ignored"])] = -1.0
        return labels, boxes

    def compute_loss(
        self,
        objectness: Tensor,
        pred_bbox_deltas: Tensor,
        labels: list[Tensor],
        regression_targets: list[Tensor],
    ) -> tuple[Tensor, Tensor]:
        """As torchvision's, but as the mean of the losses of the images."""
        objects, background = self.fg_bg_sampler(labels)
        masks = [image | other for image, other in zip(objects, background, strict=True)]
        counts = torch.stack(masks).sum(dim=1).tolist()
        sampled = torch.where(torch.cat(masks))[0]
        is_object = torch.cat(objects)[sampled] == 1
        weights = mean_weights(counts, objectness)
        truth = torch.cat(labels)[sampled]
        logits = objectness.flatten()[sampled]
        losses = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
        learned = sampled[is_object]
        expected = torch.cat(regression_targets)[learned]
        return losses @ weights, box_loss(pred_bbox_deltas[learned], expected, weights[is_object])


class IgnoringRoIHeads(RoIHeads):
    """The second stage: classes and boxes of proposals.

    always_computes  whether it computes without any sample too: others wait for its statistics
    """

    always_computes = False
    fg_bg_sampler: ImageSampler
    _ignored: tuple[Tensor, ...] = ()

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: Any,
        targets: Any = None,
    ) -> Any:
        """As torchvision's, but the losses are the mean of those of the images."""
        if not self.training:
            return super().forward(features, proposals, image_shapes, targets)
        if not self.always_computes and _nothing_to_learn(proposals, targets):
            zero = proposals[0].new_zeros(())
            return [], {"loss_classifier": zero, "loss_box_reg": zero}
        samples, _, labels, expected = self.select_training_samples(proposals, targets)
        regions = self.box_head(self.box_roi_pool(features, samples, image_shapes))
        logits, deltas = self.box_predictor(regions)
        return [], _region_losses(logits, deltas, labels, torch.cat(expected))

    def select_training_samples(self, proposals: list[Tensor], targets: Any) -> Any:
        self._ignored = tuple(target["ignored"] for target in targets)
        self.fg_bg_sampler.seeds = [target["seeds"][1] for target in targets]
        return super().select_training_samples(proposals, targets)

    def assign_targets_to_proposals(
        self, proposals: list[Tensor], gt_boxes: list[Tensor], gt_labels: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        matched, labels = super().assign_targets_to_proposals(proposals, gt_boxes, gt_labels)
        for image_labels, image_proposals, ignored in zip(
            labels, proposals, self._ignored, strict=True
        ):
            background = image_labels == 0
            image_labels[background & in_ignored(image_proposals, ignored)] = -1
        return matched, labels


class IgnoringRetinaNetHead(RetinaNetHead):
    """RetinaNet's head.

    An anchor in an ignored region counts as between object and background, which has no loss.
    """

    def forward(self, x: list[Tensor]) -> dict[str, Tensor]:
        return _logits(super().forward(x), self.training)

    def compute_loss(
        self,
        targets: Any,
        head_outputs: dict[str, Tensor],
        anchors: list[Tensor],
        matched_idxs: list[Tensor],
    ) -> dict[str, Tensor]:
        for matches, image_anchors, target in zip(matched_idxs, anchors, targets, strict=True):
            background = matches == Matcher.BELOW_LOW_THRESHOLD
            neutral = background & in_ignored(image_anchors, target["ignored"])
            matches[neutral] = Matcher.BETWEEN_THRESHOLDS
        return super().compute_loss(targets, head_outputs, anchors, matched_idxs)


class IgnoringFCOSHead(FCOSHead):
    """FCOS's head.

    It has no third kind besides object and background, so an ignored point becomes certain
    background.

    object_points  number of points of the last batch that learn an object: its losses are means
                   over them
    """

    object_points = 0

    def forward(self, x: list[Tensor]) -> dict[str, Tensor]:
        return _logits(super().forward(x), self.training)

    def compute_loss(
        self,
        targets: Any,
        head_outputs: dict[str, Tensor],
        anchors: list[Tensor],
        matched_idxs: list[Tensor],
    ) -> dict[str, Tensor]:
        self.object_points = int((torch.stack(matched_idxs) >= 0).sum())
        masks = []
        for matches, image_anchors, target in zip(matched_idxs, anchors, targets, strict=True):
            background = matches < 0
            masks.append(background & in_ignored(_centres(image_anchors), target["ignored"]))
        neutral = torch.stack(masks)[..., None]
        logits = head_outputs["cls_logits"].masked_fill(neutral, _LEAST_LOGIT)
        outputs = head_outputs | {"cls_logits": logits}
        return super().compute_loss(targets, outputs, anchors, matched_idxs)


def _logits(head_outputs: dict[str, Tensor], training: bool) -> dict[str, Tensor]:
    """The outputs, without label 0 in prediction.

    No object has label 0, but torchvision's one-stage detectors score it too.
    """
    if not training:
        head_outputs["cls_logits"][..., 0] = _LEAST_LOGIT
    return head_outputs


def _region_losses(
    logits: Tensor, deltas: Tensor, labels: list[Tensor], expected: Tensor
) -> dict[str, Tensor]:
    """The losses of torchvision's `fastrcnn_loss`, each as the mean of those of the images.

    logits    (n, classes) of the sampled regions of all images
    deltas    (n, 4 * classes)
    labels    of the regions of each image
    expected  (n, 4) deltas
    """
    weights = mean_weights([len(image_labels) for image_labels in labels], logits)
    truth = torch.cat(labels)
    losses = functional.cross_entropy(logits, truth, reduction="none")
    objects = torch.where(truth > 0)[0]
    of_class = deltas.reshape(*logits.shape, 4)[objects, truth[objects]]
    return {
        "loss_classifier": losses @ weights,
        "loss_box_reg": box_loss(of_class, expected[objects], weights[objects]),
    }


def _nothing_to_learn(proposals: list[Tensor], targets: Any) -> bool:
    """True if all proposals of a batch are ignored, and there is no object.

    An object is a proposal itself, from which the heads learn.
    """
    for boxes, target in zip(proposals, targets, strict=True):
        if len(target["boxes"]) or not in_ignored(boxes, target["ignored"]).all():
            return False
    return True


def _centres(boxes: Tensor) -> Tensor:
    """(n, 4) boxes of one pixel in the middle of `boxes`.

    FCOS learns at points: the size of its anchors means nothing.
    """
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    return torch.cat([middle - 0.5, middle + 0.5], dim=1)

"""Parts: a batch that is computed in parts gives the losses and the step of the whole batch, and
one that needs too much memory is computed so.
"""

import copy
import weakref
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from made_models import ARCHITECTURES, batch, made, two_source_trainer
from torch.nn.modules.batchnorm import _BatchNorm

from syndet_ray.detection import predict as predict_module
from syndet_ray.detection.feed import Batch
from syndet_ray.detection.predict import predict
from syndet_ray.errors import SyndetError

pytestmark = pytest.mark.usefixtures("one_thread", "float32")

CPU = torch.device("cpu")

trainer = partial(two_source_trainer, images=8, batch_size=4)


def fix_norms(model):
    """Makes batch norms use fixed statistics, which alone depend on the images beside an image."""
    for norm in model.modules():
        if isinstance(norm, _BatchNorm):
            norm.eval()
            norm.train = lambda mode=True, norm=norm: norm


@dataclass
class SmallMemory:
    """A model's forward with memory for so many images at once."""

    images: int
    forward: object
    in_backward: bool = False
    most: int = 0

    def __call__(self, images, targets=None):
        if len(images) > self.images and not self.in_backward:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        losses = self.forward(images, targets)
        if len(images) > self.images:
            losses["loss_box_reg"].register_hook(_raise)
        self.most = max(self.most, len(images))
        return losses


def _raise(gradient):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")


def shrink(training, images, **given):
    small = SmallMemory(images, training._model.forward, **given)
    training._model.forward = small
    return small


def same_steps(one, other):
    assert one.images_seen == other.images_seen
    assert one.effective["drawn"] == other.effective["drawn"]
    for name, tensor in one.model.state_dict().items():
        found = other.model.state_dict()[name]
        torch.testing.assert_close(found, tensor, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("parts", [2, 3])
def test_parts_give_the_losses_and_gradients_of_the_whole_batch(architecture, parts, squares):
    whole = trainer(squares, architecture=architecture)
    fix_norms(whole._model)
    images, targets = batch(np.random.default_rng(3), count=5)
    targets[3] |= {name: targets[3][name][:0] for name in ("boxes", "labels")}  # without objects
    for number, wanted in enumerate(targets):
        wanted["seeds"] = (number, 100 + number)
    together = Batch(images=images, targets=targets)
    expected = whole._gradients.of_batch(together, number=0, least=5)
    gradients = {name: each.grad.clone() for name, each in graded(whole._model)}
    whole._gradients.set_parts(parts)
    found = whole._gradients.of_batch(together, number=0, least=5)
    for name, loss in expected.items():
        torch.testing.assert_close(found[name], loss, rtol=1e-6, atol=0, msg=name)
    for name, each in graded(whole._model):
        torch.testing.assert_close(each.grad, gradients[name], rtol=1e-3, atol=1e-5, msg=name)


def graded(model):
    return [(name, each) for name, each in model.named_parameters() if each.grad is not None]


@pytest.mark.parametrize("in_backward", [False, True])
def test_a_step_without_memory_is_done_again_in_parts(in_backward, squares, tmp_path):
    whole, divided = trainer(squares), trainer(squares)
    for each in (whole, divided):
        fix_norms(each._model)
    small = shrink(divided, images=1, in_backward=in_backward)
    whole.train_until(4)
    divided.train_until(4)
    same_steps(whole, divided)
    assert divided.effective["batch_parts"] == 4
    assert whole.effective | {"batch_parts": 4} == divided.effective
    assert in_backward or small.most == 1

    divided.save(tmp_path)
    restored = trainer(squares, restore=tmp_path)
    fix_norms(restored._model)
    shrink(restored, images=1)
    restored.train_until(8)
    divided.train_until(8)
    assert restored.effective == divided.effective
    for name, tensor in divided.model.state_dict().items():
        assert torch.equal(tensor, restored.model.state_dict()[name]), name


def test_statistics_of_norms_forget_a_step_that_failed(squares):
    training = trainer(squares)
    shrink(training, images=2, in_backward=True)
    before = copy.deepcopy(training._model.state_dict())
    momenta = [norm.momentum for norm in norms(training)]
    (drawn,) = list(training._draws(4))
    (prepared,) = training._feed.batches(iter([drawn]))
    training._gradients.of_batch(prepared, number=0, least=4)
    whole = training._model.state_dict()
    tracked = [name for name in whole if name.endswith("num_batches_tracked")]
    assert tracked
    for name in tracked:
        assert whole[name] - before[name] == 2, "the two halves, not the failed whole"
    assert [norm.momentum for norm in norms(training)] == [value / 2 for value in momenta]


def norms(training):
    return [module for module in training._model.modules() if isinstance(module, _BatchNorm)]


def test_one_image_without_memory_says_what_to_lower(squares):
    training = trainer(squares)
    shrink(training, images=0)
    with pytest.raises(SyndetError, match=r"^training: one image at a time .*2 GiB\)\. Lower"):
        training.train_until(8)
    assert training.images_seen == 0


def test_an_optimizer_without_memory_says_that_no_batch_is_small_enough(squares):
    training = trainer(squares)
    training._optimizer.register_step_pre_hook(lambda *given: _raise(given))
    rule = r"^training: weights, gradients and .* however small the batch is .*2 GiB\)\. Take a sm"
    with pytest.raises(SyndetError, match=rule):
        training.train_until(8)
    assert (training.images_seen, training.effective["batch_parts"]) == (0, 1)


def test_images_that_do_not_fit_beside_one_another_are_validated_in_halves(squares, monkeypatch):
    model, pool = made(), squares(4)
    alive = []

    def image_of(pool, i, device):
        alive[:] = [each for each in alive if each() is not None]
        if len(alive) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        image = load(pool, i, device)
        alive.append(weakref.ref(image))
        return image

    load = predict_module._image
    monkeypatch.setattr(predict_module, "_image", image_of)
    assert len(predict(model, pool, device=CPU, batch_size=4)) == 4


def test_validation_without_memory_is_done_in_halves(squares):
    model, pool = made(), squares(5)
    expected = predict(model, pool, device=CPU)
    small = SmallMemory(2, model.forward)
    model.forward = small
    found = predict(model, pool, device=CPU, batch_size=5)
    assert small.most == 2
    for one, other in zip(expected, found, strict=True):
        assert one.labels.tolist() == other.labels.tolist()
        torch.testing.assert_close(torch.tensor(other.xyxy), torch.tensor(one.xyxy))
    model.forward = SmallMemory(0, small.forward)
    with pytest.raises(SyndetError, match=r"^prediction: one image at a time"):
        predict(model, pool, device=CPU)

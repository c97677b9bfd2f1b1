"""On a GPU: what trains there learns, goes on from a checkpoint, and finds what it finds on a CPU."""

import math

import pytest
import torch
from made_models import detector

from syndet_ray import Mix, Recipe, SceneParameters, Training
from syndet_ray.data.pool import Pool
from syndet_ray.detection.models import load_model
from syndet_ray.detection.predict import predict
from syndet_ray.detection.score import score
from syndet_ray.detection.train import Trainer
from syndet_ray.detection.weights import LITE0
from syndet_ray.errors import NonFiniteLoss
from syndet_ray.scenes.dice import CLASSES
from syndet_ray.scenes.generate import draw_scene, render

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
GPU, CPU = torch.device("cuda"), torch.device("cpu")


@pytest.fixture(scope="module")
def pool():
    """Rendered dice, from above, in pictures of two sizes."""
    drawn = [
        render(draw_scene(SceneParameters(objects=6, image_px=(160, 192)[i % 2]), 0, i))
        for i in range(20)
    ]
    images, boxes = zip(*drawn, strict=True)
    return Pool.of("real", CLASSES, list(images), list(boxes), [str(i) for i in range(len(drawn))])


def trainer(pool, restore=None, **training):
    settings = {"images": 400, "batch_size": 8, "crop_px": 128, "learning_rate": 2e-3} | training
    named = detector(backbone=LITE0, weights="imagenet", frozen_stages="all", working_px=192)
    recipe = Recipe(mix=Mix(synthetic=0), detector=named, training=Training(**settings))
    return Trainer(recipe, {"real": pool}, device=GPU, seed=0, restore=restore)


def test_a_model_trained_on_a_gpu_finds_the_same_on_a_cpu(pool, tmp_path):
    """In batches there and one by one here, with the rounding of bfloat16 in other places."""
    made = trainer(pool)
    made.train_until(400)
    made.save(tmp_path)
    there = predict(made.model, pool, device=GPU)
    here = predict(load_model(tmp_path).model, pool, device=CPU)
    scores = [score(pool, predictions).metrics["AP50_any_class"] for predictions in (there, here)]
    assert scores[0] > 0.5, "it has learned what there is to find"
    assert scores[0] == pytest.approx(scores[1], abs=0.05)
    for on_gpu, on_cpu in zip(there, here, strict=True):
        assert on_gpu.scores[:3] == pytest.approx(on_cpu.scores[:3], abs=0.1)


def test_a_checkpoint_of_a_gpu_is_gone_on_from(pool, tmp_path):
    whole, halves = trainer(pool), trainer(pool)
    whole.train_until(200)
    whole_loss = whole.train_until(400).metrics["train/loss"]
    halves.train_until(200)
    halves.save(tmp_path)
    rest = trainer(pool, restore=tmp_path)
    assert rest.images_seen == 200
    rest_loss = rest.train_until(400).metrics["train/loss"]
    assert rest_loss == pytest.approx(whole_loss, rel=0.1), "sums on a GPU are not in a fixed order"


def test_divergence_is_found_although_losses_are_looked_at_seldom(pool):
    made = trainer(pool)
    trained = next(parameter for parameter in made.model.parameters() if parameter.requires_grad)
    with torch.no_grad():
        trained.fill_(math.nan)
    with pytest.raises(NonFiniteLoss) as error:
        made.train_until(400)
    assert not all(math.isfinite(value) for value in error.value.got.values())


def test_random_numbers_of_others_on_the_gpu_are_left_alone(pool):
    torch.cuda.manual_seed(1)
    expected = torch.rand(4, device=GPU)
    torch.cuda.manual_seed(1)
    trainer(pool).train_until(16)
    assert torch.equal(torch.rand(4, device=GPU), expected)

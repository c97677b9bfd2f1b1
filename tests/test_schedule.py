"""Mixes say what a detector sees, schedules when; over a training the one adds up to the other."""

import itertools
import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from syndet_ray import Mix, Photos, Recipe, Scenes
from syndet_ray.data.mix import BatchMixer
from syndet_ray.definitions.schedule import images_until, shares_between, switch_at
from syndet_ray.errors import DefinitionError

unhurried = settings(deadline=None)  # a busy machine is no bug
SCHEDULES = ("mixed", "staged", "annealed", "real_only", "synthetic_only")


@st.composite
def mixes(draw, schedules=SCHEDULES, sources=(1, 4)):
    """Any mix of so many synthetic sources."""
    weights = draw(
        st.lists(st.integers(0, 9), min_size=sources[0], max_size=sources[1]).filter(any)
    )
    names = [f"s{i}" for i in range(len(weights))]
    return Mix(
        synthetic=draw(
            st.one_of(
                st.sampled_from([0, 0.25, 0.5, 0.75, 1]), st.floats(0, 1).map(lambda x: round(x, 6))
            )
        ),
        schedule=draw(st.sampled_from(schedules)),
        anneal=draw(st.sampled_from(["linear", "cosine"])),
        sources={name: Scenes() for name in names},
        parts={name: weight / sum(weights) for name, weight in zip(names, weights, strict=True)},
    )


def batches(images, batch_size):
    """(images seen before a batch, images in it) for every batch of a training."""
    return [(done, min(batch_size, images - done)) for done in range(0, images, batch_size)]


def through(mix, images, batch_size):
    """(images seen before, images in it, shares) of every batch of a training."""
    for done, count in batches(images, batch_size):
        yield done, count, shares_between(mix, done / images, (done + count) / images)


@unhurried
@given(mixes(), st.integers(1, 300), st.integers(1, 40))
def test_over_a_training_shares_add_up_to_what_the_mix_asks_for(mix, images, batch_size):
    planned = dict.fromkeys(mix.shares, 0.0)
    for _, count, shares in through(mix, images, batch_size):
        assert shares.keys() == mix.shares.keys()
        assert math.isclose(sum(shares.values()), 1, abs_tol=1e-9)
        assert all(0 <= share <= 1 for share in shares.values())
        planned = {source: planned[source] + share * count for source, share in shares.items()}
    assert planned == pytest.approx(
        {source: share * images for source, share in mix.shares.items()}, abs=1e-9 * images
    )
    assert images_until(mix, images, images) == pytest.approx(planned, abs=1e-9 * images)


@unhurried
@given(mixes(), st.integers(1, 300), st.integers(1, 40))
def test_realised_counts_stay_with_the_plan_from_batch_to_batch(mix, images, batch_size):
    """Never a whole image ahead, and behind by less than n - 1 where there are n sources: see
    Trainer for why.
    """
    sources = [source for source, share in mix.shares.items() if share > 0]
    mixer = BatchMixer(dict.fromkeys(sources, 7), batch_size, seed=1)
    for done, count, shares in through(mix, images, batch_size):
        mixer.draw(shares, count)
        planned = images_until(mix, done + count, images)
        ahead = {source: mixer.drawn[source] - planned[source] for source in sources}
        assert max(ahead.values()) < 1
        assert -min(ahead.values()) < max(1, len(sources) - 1)


@unhurried
@given(mixes(["staged"]), st.integers(1, 300), st.integers(1, 40))
def test_staged_is_synthetic_until_the_switch_and_real_after_it(mix, images, batch_size):
    assert switch_at(mix) == mix.synthetic
    for done, count, shares in through(mix, images, batch_size):
        if (done + count) / images <= mix.synthetic:
            assert shares["real"] == 0
        if done / images >= mix.synthetic:
            assert shares["real"] == 1


@unhurried
@given(mixes(["annealed"]), st.integers(2, 300))
def test_annealed_falls_and_never_rises(mix, images):
    real = [shares["real"] for _, _, shares in through(mix, images, 1)]
    assert all(later >= earlier - 1e-9 for earlier, later in itertools.pairwise(real))
    assume(0.01 < mix.synthetic < 0.99)
    assert real[-1] > real[0]


@pytest.mark.parametrize("anneal", ["linear", "cosine"])
@pytest.mark.parametrize(
    ("synthetic", "first", "last"),
    [(0.5, 1, 0), (0.75, 1, 0.5), (0.25, 0.5, 0), (1, 1, 1), (0, 0, 0)],
)
def test_annealed_goes_as_far_as_shares_allow(anneal, synthetic, first, last):
    mix = Mix(schedule="annealed", synthetic=synthetic, anneal=anneal)
    assert shares_between(mix, 0, 1e-5)["synthetic"] == pytest.approx(first, abs=1e-4)
    assert shares_between(mix, 1 - 1e-5, 1)["synthetic"] == pytest.approx(last, abs=1e-4)


@unhurried
@given(mixes(["mixed", "real_only", "synthetic_only"]), st.floats(0, 0.9), st.floats(0.01, 0.1))
def test_other_schedules_are_the_same_in_every_batch(mix, start, length):
    assert shares_between(mix, start, start + length) == mix.shares
    assert switch_at(mix) == 1


@pytest.mark.parametrize(
    ("given", "synthetic"),
    [
        ({"schedule": "real_only", "synthetic": 0.7}, 0),
        ({"schedule": "synthetic_only", "synthetic": 0.7}, 1),
        ({"real_images": 0, "synthetic": 0.7}, 1),
        ({"schedule": "staged", "switch_at": 0.3, "synthetic": 0.7}, 0.3),
        ({"schedule": "staged", "synthetic": 0.7}, 0.7),
        ({"schedule": "mixed", "switch_at": 0.3, "synthetic": 0.7}, 0.7),
    ],
)
def test_a_schedule_that_leaves_no_choice_settles_the_share(given, synthetic):
    assert Mix(**given).synthetic == synthetic
    recipe = Recipe().replace({f"mix.{name}": value for name, value in given.items()})
    assert recipe.mix == Mix(**given)
    assert Recipe().replace(recipe.flat()) == recipe


def test_parts_divide_the_synthetic_share_and_none_means_evenly():
    two = {"ours": Scenes(), "theirs": Photos(folder="theirs")}
    assert Mix(sources=two).shares == {"real": 0.5, "ours": 0.25, "theirs": 0.25}
    assert Mix(sources=two, parts={"ours": 1.0}).shares == {"real": 0.5, "ours": 0.5, "theirs": 0}
    rounded = Mix(sources=two, parts={"ours": 0.3333333, "theirs": 0.6666666})
    assert math.isclose(sum(rounded.shares.values()), 1, abs_tol=1e-15)


def test_scenes_are_asked_for_only_where_they_have_a_share():
    sources = {
        "plain": Scenes(),
        "crowded": Scenes(changes={"scene.objects": 70}, images=9),
        "theirs": Photos(folder="theirs"),
    }
    recipe = Recipe(mix=Mix(sources=sources, synthetic_images=50))
    scenes = recipe.scenes()
    assert {name: (scene.objects, count) for name, (scene, count) in scenes.items()} == {
        "plain": (40, 50),
        "crowded": (70, 9),
    }
    assert recipe.replace({"mix.parts": {"plain": 1.0}}).scenes().keys() == {"plain"}
    assert recipe.replace({"mix.schedule": "real_only"}).scenes() == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"mix.sources": {"real": {"kind": "scenes"}}},
            "'real' are the photos that a sweep is given",
        ),
        ({"mix.parts": {"synthtic": 1.0}}, "'synthtic' is no source. Did you mean 'synthetic'?"),
        ({"mix.parts": {"synthetic": 0.5}}, "parts must sum to 1, got"),
        ({"mix.real_images": -1}, "real_images must be at least 0 or 'all', got -1"),
        (
            {"mix.real_images": 1.0},
            "mix.real_images: must be a whole number, a share between 0 and 1, or 'all', got 1.0",
        ),
        (
            {"mix.schedule": "real_only", "mix.real_images": 0},
            "real_images must be at least 1 or 'all', got 0",
        ),
        (
            {"mix.sources": {"a": {"kind": "scenes", "changes": {"scene.objcts": 3}}}},
            "mix.sources: a: recipe: scene.objcts: is not a setting of a recipe. Did you mean 'scene.objects'?",
        ),
        (
            {"mix.sources": {"a": {"kind": "scenes", "changes": {"scene.objects": 0}}}},
            "mix.sources: a: scene: objects: must be greater than or equal to 1, got 0",
        ),
        (
            {"mix.sources": {"a": {"kind": "scenes", "changes": {"mix.synthetic": 0}}}},
            "is not a setting of scenes",
        ),
    ],
)
def test_a_mix_that_cannot_be_is_refused(changes, message):
    with pytest.raises(DefinitionError) as error:
        Recipe().replace(changes)
    assert message in str(error.value)

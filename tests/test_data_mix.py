"""The mix is exact, fair to every image, and goes on where it left off."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syndet_ray.data.mix import BatchMixer
from syndet_ray.errors import SyndetError

weights = st.lists(st.integers(0, 50), min_size=2, max_size=5).filter(any)


@given(weights, st.integers(1, 17), st.integers(1, 60))
def test_the_realised_count_never_strays_by_a_whole_place_from_the_asked(parts, batch_size, batches):
    shares = {f"s{i}": part / sum(parts) for i, part in enumerate(parts)}
    mixer = BatchMixer(dict.fromkeys(shares, 7), batch_size, seed=1)
    for k in range(1, batches + 1):
        batch = mixer.draw(shares)
        assert len(batch) == batch_size
        for source, share in shares.items():
            assert abs(mixer.drawn[source] - share * batch_size * k) < (1 if len(shares) == 2 else len(shares))
            assert share > 0 or mixer.drawn[source] == 0


@given(st.floats(0, 1), st.integers(1, 16))
def test_two_sources_are_within_one_image_for_ever(share, batch_size):
    mixer = BatchMixer({"real": 5, "synthetic": 9}, batch_size, seed=1)
    for k in range(1, 200):
        mixer.draw({"real": 1 - share, "synthetic": share})
        assert abs(mixer.drawn["synthetic"] - share * batch_size * k) < 1 + 1e-6


@given(st.integers(1, 40), st.integers(1, 12))
def test_every_image_is_used_equally_often_and_not_twice_in_a_batch(size, batch_size):
    mixer = BatchMixer({"real": size}, batch_size, seed=2)
    batches = [[i for _, i in mixer.draw({"real": 1.0})] for _ in range(30)]
    used = Counter(i for batch in batches for i in batch)
    assert max(used.values()) - min(used[i] for i in range(size)) <= 1
    if size >= 3 * batch_size:
        assert all(len(set(batch)) == batch_size for batch in batches)


def test_a_restored_mixer_goes_on_as_if_nothing_had_been():
    shares = {"real": 0.37, "synthetic": 0.63}
    undisturbed = BatchMixer({"real": 11, "synthetic": 30}, 8, seed=5)
    expected = [undisturbed.draw(shares) for _ in range(20)]
    first = BatchMixer({"real": 11, "synthetic": 30}, 8, seed=5)
    got = [first.draw(shares) for _ in range(7)]
    second = BatchMixer({"real": 11, "synthetic": 30}, 8, seed=5)
    second.load_state_dict(first.state_dict())
    assert got + [second.draw(shares) for _ in range(13)] == expected


def test_a_short_last_batch_keeps_the_shares():
    mixer = BatchMixer({"real": 10, "synthetic": 10}, 8, seed=0)
    assert len(mixer.draw({"real": 0.5, "synthetic": 0.5}, count=3)) == 3
    mixer.draw({"real": 0.5, "synthetic": 0.5}, count=1)
    assert mixer.drawn == {"real": 2, "synthetic": 2}


@pytest.mark.parametrize(
    ("sizes", "shares", "said"),
    [
        ({"real": 3}, {"real": 0.5}, "sum to 1"),
        ({"real": 3, "synthetic": 3}, {"real": 1.5, "synthetic": -0.5}, "0 or more"),
        ({"real": 3}, {"real": 0.5, "synthetic": 0.5}, "synthetic has a share but no images"),
        ({"real": 0}, {"real": 1.0}, "real has a share but no images"),
    ],
)
def test_shares_that_cannot_be_are_refused(sizes, shares, said):
    with pytest.raises(SyndetError, match=said):
        BatchMixer(sizes, 8, seed=0).draw(shares)

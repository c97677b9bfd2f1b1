"""The mix is exact, fair to every image, and goes on where it left off."""

import json
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syndet_ray.data.mix import BatchMixer
from syndet_ray.errors import SyndetError

unhurried = settings(deadline=None)  # a busy machine is no bug
weights = st.lists(st.integers(0, 50), min_size=2, max_size=5).filter(any)
shares_of_two = st.lists(st.integers(0, 20), min_size=1, max_size=40)


def shares(parts):
    return {f"s{i}": part / sum(parts) for i, part in enumerate(parts)}


def strays(mixer, asked):
    """The most by which any source differs from what it was asked to have in all; exact, so that 1
    is 1.
    """
    return max(abs(total - mixer.drawn[source]) for source, total in asked.items())


@unhurried
@given(weights, st.integers(1, 17), st.integers(1, 60))
def test_no_source_ever_strays_by_a_whole_image(parts, batch_size, batches):
    mixer = BatchMixer(dict.fromkeys(shares(parts), 7), batch_size, seed=1)
    for k in range(1, batches + 1):
        assert len(mixer.draw(shares(parts))) == batch_size
        asked = {
            f"s{i}": Fraction(part * batch_size * k, sum(parts)) for i, part in enumerate(parts)
        }
        assert strays(mixer, asked) < 1
    assert all(part > 0 or mixer.drawn[f"s{i}"] == 0 for i, part in enumerate(parts))


def test_five_sources_stay_exact_where_the_largest_remainder_strays():
    parts = [1, 16, 38, 1, 38]
    mixer = BatchMixer(dict.fromkeys(shares(parts), 7), 1, seed=1)
    owed, worst = [Fraction(0)] * 5, Fraction(0)
    for k in range(1, sum(parts) + 1):
        mixer.draw(shares(parts))
        assert (
            strays(mixer, {f"s{i}": Fraction(part * k, sum(parts)) for i, part in enumerate(parts)})
            < 1
        )
        owed = [due + Fraction(part, sum(parts)) for due, part in zip(owed, parts, strict=True)]
        owed[owed.index(max(owed))] -= 1
        worst = max(worst, *map(abs, owed))
    assert worst > 1, "the plain method is good enough, and the mixer could be simpler"
    assert list(mixer.drawn.values()) == parts


@unhurried
@given(shares_of_two, st.integers(1, 9))
def test_two_sources_stay_exact_while_their_shares_change(parts, batch_size):
    mixer = BatchMixer({"s0": 5, "s1": 9}, batch_size, seed=1)
    asked = {"s0": Fraction(0), "s1": Fraction(0)}
    for part in parts:
        batch = mixer.draw(shares([part, 20 - part]))
        asked["s0"] += Fraction(part * batch_size, 20)
        asked["s1"] += Fraction((20 - part) * batch_size, 20)
        assert strays(mixer, asked) < 1
        assert part > 0 or all(source == "s1" for source, _ in batch)


@unhurried
@given(st.lists(weights, min_size=1, max_size=12), st.integers(1, 9))
def test_more_sources_stay_close_while_their_shares_change(changes, batch_size):
    mixer = BatchMixer({f"s{i}": 9 for i in range(5)}, batch_size, seed=1)
    asked = dict.fromkeys(mixer.drawn, Fraction(0))
    for parts in changes:
        mixer.draw(shares(parts))
        for i, part in enumerate(parts):
            asked[f"s{i}"] += Fraction(part * batch_size, sum(parts))
    assert sum(mixer.drawn.values()) == batch_size * len(changes)
    assert strays(mixer, asked) < 3


def test_rounding_does_not_add_up():
    mixer = BatchMixer({"real": 50, "synthetic": 50}, 8, seed=0)
    for _ in range(10_000):
        mixer.draw({"real": 0.1, "synthetic": 0.9 + 4e-7})
    assert mixer.drawn == {"real": 8_000, "synthetic": 72_000}


@unhurried
@given(st.integers(1, 40), st.integers(1, 50))
def test_every_image_is_used_equally_often_and_twice_in_a_batch_only_where_there_are_too_few(
    size, batch_size
):
    mixer = BatchMixer({"real": size}, batch_size, seed=2)
    used = Counter(dict.fromkeys(range(size), 0))
    for _ in range(30):
        batch = Counter(index for _, index in mixer.draw({"real": 1.0}))
        assert max(batch.values()) == -(-batch_size // size)
        used += batch
        assert max(used.values()) - min(used[index] for index in range(size)) <= 1


@unhurried
@given(st.lists(st.integers(0, 8), min_size=1, max_size=40), st.integers(1, 12))
def test_the_same_holds_while_places_change(places, size):
    mixer = BatchMixer({"s0": size, "s1": 99}, 8, seed=2)
    used = Counter(dict.fromkeys(range(size), 0))
    for number in places:
        batch = Counter(
            index for source, index in mixer.draw(shares([number, 8 - number])) if source == "s0"
        )
        assert max(batch.values(), default=0) <= -(-number // size)
        used += batch
        assert max(used.values(), default=0) - min(used[index] for index in range(size)) <= 2


def test_every_pass_has_an_order_of_its_own():
    mixer = BatchMixer({"real": 20}, 20, seed=0)
    first, second = (mixer.draw({"real": 1.0}) for _ in range(2))
    assert sorted(first) == sorted(second)
    assert first != second
    assert BatchMixer({"real": 20}, 20, seed=0).draw({"real": 1.0}) == first
    assert BatchMixer({"real": 20}, 20, seed=1).draw({"real": 1.0}) != first


@unhurried
@given(st.lists(st.integers(0, 20), min_size=2, max_size=30), st.integers(1, 12), st.data())
def test_a_restored_mixer_goes_on_as_if_nothing_had_been(parts, batch_size, data):
    undisturbed = BatchMixer({"s0": 5, "s1": 30}, batch_size, seed=5)
    expected = [undisturbed.draw(shares([part, 20 - part])) for part in parts]
    cut = data.draw(st.integers(0, len(parts)))
    first, second = (BatchMixer({"s0": 5, "s1": 30}, batch_size, seed=5) for _ in range(2))
    got = [first.draw(shares([part, 20 - part])) for part in parts[:cut]]
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    got += [second.draw(shares([part, 20 - part])) for part in parts[cut:]]
    assert got == expected
    assert second.state_dict() == undisturbed.state_dict()


def test_the_state_stays_small():
    mixer = BatchMixer({"real": 50_000, "synthetic": 50_000}, 16, seed=0)
    for _ in range(20):
        mixer.draw({"real": 0.5, "synthetic": 0.5})
    assert len(json.dumps(mixer.state_dict())) < 300


def test_a_state_of_other_data_is_refused():
    state = BatchMixer({"real": 5}, 4, seed=0).state_dict()
    with pytest.raises(
        SyndetError, match=r"was made with sources of \{'real': 5\} images, got \{'real': 6\}"
    ):
        BatchMixer({"real": 6}, 4, seed=0).load_state_dict(state)


def test_a_short_last_batch_keeps_the_shares():
    mixer = BatchMixer({"real": 10, "synthetic": 10}, 8, seed=0)
    assert len(mixer.draw({"real": 0.5, "synthetic": 0.5}, count=3)) == 3
    mixer.draw({"real": 0.5, "synthetic": 0.5}, count=1)
    assert mixer.drawn == {"real": 2, "synthetic": 2}


@pytest.mark.parametrize(
    ("sizes", "shares", "said"),
    [
        ({"real": 3}, {"real": 0.5}, "mix: shares must be 0 or more and sum to 1, got"),
        ({"real": 3}, {}, "sum to 1"),
        ({"real": 3}, {"real": float("nan")}, "sum to 1"),
        ({"real": 3, "synthetic": 3}, {"real": 1.5, "synthetic": -0.5}, "0 or more"),
        (
            {"real": 3},
            {"real": 0.5, "fake": 0.5},
            r"fake has a share but is no source, got 0.5. There are \['real'\]",
        ),
        (
            {"real": 0},
            {"real": 1.0},
            r"real has a share but no images, got 1.0. Set its share to 0",
        ),
    ],
)
def test_shares_that_cannot_be_are_refused(sizes, shares, said):
    with pytest.raises(SyndetError, match=said):
        BatchMixer(sizes, 8, seed=0).draw(shares)


def test_a_source_without_a_share_may_be_empty_or_unknown():
    assert BatchMixer({"real": 3, "synthetic": 0}, 2, seed=0).draw(
        {"real": 1.0, "synthetic": 0.0, "other": 0.0}
    )


def test_a_source_in_order_is_dealt_as_it_stands_pass_after_pass():
    mixer = BatchMixer({"real": 5, "synthetic": 7}, 4, seed=0, in_order=["synthetic"])
    batches = [mixer.draw({"real": 0.5, "synthetic": 0.5}) for _ in range(10)]
    shown = [index for batch in batches for source, index in batch if source == "synthetic"]
    assert shown == [k % 7 for k in range(20)]
    restored = BatchMixer({"real": 5, "synthetic": 7}, 4, seed=0, in_order=["synthetic"])
    restored.load_state_dict(mixer.state_dict())
    assert restored.draw({"synthetic": 1.0}) == mixer.draw({"synthetic": 1.0})

"""Response curves: a planted curve is found again, too little data says so, and drawings hold the
same numbers.
"""

import warnings
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_runs import MadeRun, of_kind, train
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from syndet_ray.analysis import response, varied
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.mix import Scenes
from syndet_ray.definitions.parameter import Choice, Float, Int, Simplex
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.definitions.space import SearchSpace
from syndet_ray.report import page
from syndet_ray.report.figures import plot, responses
from syndet_ray.runs.results import Rung, Trial

SHARE = varied.Setting(path="mix.synthetic", axis=Float(low=0, high=1))
RATE = varied.Setting(path="training.learning_rate", axis=Float(low=1e-4, high=1e-2, log=True))
OBJECTS = varied.Setting(path="scene.objects", axis=Choice(values=(10, 40, 70)))


def trial(number, path, x, value, state="COMPLETE", kind="search"):
    params = {path: x} if kind == "search" else {}
    return Trial(
        number=number,
        **of_kind(kind),
        params=params,
        recipe=Recipe().replace(params),
        state=state,
        reason="",
        rungs=(Rung(100, {"val/mAP": value}),),
    )


def planted(setting, truth, count=24, noise=0.01, seed=0):
    """Trials spread over the setting's range that reach truth(position) and noise."""
    rng = np.random.default_rng(seed)
    low, high, places = setting.axis.low, setting.axis.high, rng.random(count)
    values = [low * (high / low) ** p if setting.log else low + p * (high - low) for p in places]
    pairs = enumerate(zip(values, places, strict=True))
    return [
        trial(k, setting.path, float(x), float(truth(p) + noise * rng.standard_normal()))
        for k, (x, p) in pairs
    ]


def hill(place):
    return 0.3 - 0.4 * (place - 0.6) ** 2


@pytest.mark.parametrize("setting", [SHARE, RATE], ids=["linear", "log"])
def test_a_planted_curve_lies_within_the_band(setting):
    inside = []
    for seed in range(5):
        found = response.band(response.response(setting, planted(setting, hill, seed=seed)))
        truth = hill(np.array([setting.position(x) for x in found.x]))
        inside.append(np.mean((np.array(found.low) <= truth) & (truth <= np.array(found.high))))
        assert np.abs(np.array(found.mean) - truth).max() < 0.03
        assert np.mean(np.array(found.high) - np.array(found.low)) < 0.03, (
            "the noise of single trials is no part of it"
        )
    assert np.mean(inside) > 0.85


def exact_band(x, y, at):
    """Mean and standard error by Gaussian processes of all trials, averaged over the kernels that a
    curve is averaged over.
    """
    places, wanted = x[:, None] / np.ptp(x), at[:, None] / np.ptp(x)
    kernels = product(response._STRENGTHS, response._LENGTHS, response._NOISES)
    fits = []
    for strength, length, noise in kernels:
        kernel = ConstantKernel(1.0) + ConstantKernel(strength) * RBF(length) + WhiteKernel(noise)
        model = GaussianProcessRegressor(kernel, optimizer=None).fit(
            places, (y - y.mean()) / y.std()
        )
        mean, deviation = model.predict(wanted, return_std=True)
        fits.append((model.log_marginal_likelihood_value_, mean, deviation**2 - noise))
    likelihoods, means, variances = map(np.array, zip(*fits, strict=True))
    weights = (
        np.exp(likelihoods - likelihoods.max()) / np.exp(likelihoods - likelihoods.max()).sum()
    )
    mean = weights @ means
    return y.mean() + y.std() * mean, y.std() * np.sqrt(weights @ (variances + (means - mean) ** 2))


@pytest.mark.parametrize("noise", [0.001, 0.05], ids=["clear", "noisy"])
@pytest.mark.parametrize("count", [6, 40])
def test_the_curve_is_that_of_gaussian_processes_of_all_trials(count, noise):
    trials = planted(SHARE, hill, count, noise)
    band = response.band(response.response(SHARE, trials))
    x, y = np.array([(trial.params[SHARE.path], trial.value) for trial in trials]).T
    mean, error = exact_band(x, y, np.array(band.x))
    assert np.abs(np.array(band.mean) - mean).max() < 1e-5 * y.std()
    assert np.abs(np.array(band.high) - mean - 1.96 * error).max() < 1e-5 * y.std()
    assert np.abs(np.array(band.low) - mean + 1.96 * error).max() < 1e-5 * y.std()


def test_a_curve_of_ten_thousand_trials_is_as_soon_there_and_as_good():
    """In memory for all pairs of trials 64 kernels would take 50 GB, one after the other hours."""
    rng = np.random.default_rng(0)
    shares = rng.random(10_000)
    values = hill(shares) + 0.05 * rng.standard_normal(10_000)
    points = zip(shares.tolist(), values.tolist(), strict=True)
    tried = [
        response.Tried(trial=k, x=x, value=value, state="COMPLETE", images=100)
        for k, (x, value) in enumerate(points)
    ]
    band = response.band(response.Response(setting=SHARE, points=tuple(tried), controls={}))
    truth = hill(np.array(band.x))
    assert np.abs(np.array(band.mean) - truth).max() < 0.01
    assert np.mean((np.array(band.low) <= truth) & (truth <= np.array(band.high))) > 0.85


def test_a_flat_response_is_flat_and_fitting_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = response.band(response.response(SHARE, planted(SHARE, lambda place: 0.3)))
    assert max(found.mean) - min(found.mean) < 0.02


def test_the_same_trials_give_the_same_curve():
    trials = planted(SHARE, hill)
    assert response.band(response.response(SHARE, trials)) == response.band(
        response.response(SHARE, trials)
    )


@pytest.mark.parametrize(
    ("xs", "values", "fitted", "levelled"),
    [
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.1, 0.2, 0.2, 0.3, 0.2, 0.1], True, False),
        ([0.1, 0.2, 0.3, 0.4, 0.5], [0.1, 0.2, 0.2, 0.3, 0.2], False, False),
        ([0.1, 0.1, 0.2, 0.2, 0.3, 0.3], [0.1, 0.2, 0.2, 0.3, 0.2, 0.1], False, True),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.2] * 6, False, False),
        ([], [], False, False),
    ],
    ids=["enough", "too few trials", "too few values", "all alike", "none"],
)
def test_a_curve_takes_six_trials_at_four_values(xs, values, fitted, levelled):
    trials = [trial(k, SHARE.path, x, v) for k, (x, v) in enumerate(zip(xs, values, strict=True))]
    found = response.response(SHARE, trials)
    assert (found.fitted, found.levelled) == (fitted, levelled)
    assert (response.band(found) is not None) == fitted
    assert bool(response.levels(found)) == levelled


def test_pruned_trials_are_shown_and_count_for_nothing():
    trials = [
        trial(0, OBJECTS.path, 10, 0.1, "PRUNED"),
        trial(1, OBJECTS.path, 10, 0.3),
        trial(2, "", 0, 0.2, kind="confirm"),
    ]
    found = response.response(OBJECTS, trials)
    assert [(point.x, point.value, point.state) for point in found.points] == [
        ("10", 0.1, "PRUNED"),
        ("10", 0.3, "COMPLETE"),
    ]
    assert [(level.x, level.count, level.mean, level.low) for level in response.levels(found)] == [
        ("10", 1, 0.3, None)
    ]


def test_what_diverged_counts_as_nothing_reached_whatever_it_reported_before():
    """Left out, a learning rate that kills two trainings of three looked as good as any other."""
    before = replace(trial(0, OBJECTS.path, 10, 0.4, "FAILED"), cause="diverged")
    never = replace(before, number=1, rungs=())
    found = response.response(OBJECTS, [before, never, trial(2, OBJECTS.path, 10, 0.3)])
    assert [point.value for point in found.points] == [0.0, 0.0, 0.3]
    ((x, count, mean),) = [(level.x, level.count, level.mean) for level in response.levels(found)]
    assert (x, count, mean) == ("10", 3, pytest.approx(0.1))


def test_the_interval_of_a_mean_is_students():
    def level(*values):
        trials = [trial(k, OBJECTS.path, 40, v) for k, v in enumerate(values)]
        return response.levels(response.response(OBJECTS, trials))[0]

    found = level(0.24, 0.25, 0.26)
    reach = 4.30265 * 0.01 / 3**0.5
    assert (found.low, found.high) == (
        pytest.approx(0.25 - reach, abs=1e-5),
        pytest.approx(0.25 + reach, abs=1e-5),
    )
    assert level(0.1, 0.5, 0.9).low == 0, "no score is less"
    assert level(0.2, 0.3).low is None, "of two it would tell nothing"


def test_controls_are_those_that_were_trained_to_the_end():
    trials = [
        trial(0, "", 0, 0.25, kind="real_only"),
        trial(1, "", 0, 0.1, "RUNNING", kind="synthetic_only"),
    ]
    assert response.response(SHARE, trials).controls == {"real_only": 0.25}


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 1))
def test_positions_run_from_end_to_end(place):
    for setting in (SHARE, RATE):
        low, high = setting.axis.low, setting.axis.high
        value = low * (high / low) ** place if setting.log else low + place * (high - low)
        assert setting.position(value) == pytest.approx(place, abs=1e-9)


def test_sources_that_share_the_images_are_settings_of_their_own():
    space = SearchSpace({"mix.shares": Simplex(sources=("real", "few", "many"))})
    mix = {"mix.sources": {"few": Scenes(), "many": Scenes()}}
    found = varied.settings(LoadedSweep(question="?", space=(space,), recipe=Recipe().replace(mix)))
    assert [(setting.name, setting.key) for setting in found] == [
        ("share of real", "mix_shares_real"),
        ("share of few", "mix_shares_few"),
        ("share of many", "mix_shares_many"),
    ]
    changes = mix | {"mix.synthetic": 0.6, "mix.parts": {"few": 0.5, "many": 0.5}}
    one = Trial(
        number=0,
        role="search",
        params={"mix.synthetic": 0.6},
        recipe=Recipe().replace(changes),
    )
    assert [setting.of(one) for setting in found] == pytest.approx([0.4, 0.3, 0.3])


SPACE = SearchSpace(
    {
        "scene.lamps": Int(low=1, high=4),
        "scene.blur": Float(low=0, high=1),
        "scene.background_scale": Choice(values=((0.5, 1.0), (0.9, 1.5))),
        "scene.arrangement": Choice(values=("tray", "layers")),
        "scene.object_scale": Float(low=0, high=1, when={"scene.arrangement": "tray"}),
    }
)


def searched_run(count=14):
    """A run whose score is set by blur alone; every sixth trial is pruned."""
    rng, sweep = np.random.default_rng(0), LoadedSweep(question="What of blur?", space=(SPACE,))
    run = MadeRun(sweep)
    for number in range(count):
        blur, tray = float(rng.random()), bool(rng.integers(2))
        params = {
            "scene.lamps": int(rng.integers(1, 5)),
            "scene.blur": blur,
            "scene.arrangement": "tray" if tray else "layers",
        }
        params |= {"scene.background_scale": ((0.5, 1.0), (0.9, 1.5))[rng.integers(2)]}
        params |= {"scene.object_scale": float(rng.random())} if tray else {}
        run.ledger.append(
            "asked",
            number,
            kind="search",
            params=params,
            recipe=sweep.recipe.replace(params).flat(),
        )
        train(run, number, (0.1, 0.3 - 0.2 * blur), *(("PRUNED", "") if number % 6 == 5 else ()))
    return run


def test_there_is_a_figure_of_every_setting_the_most_important_first(tmp_path):
    run = searched_run()
    drawn = responses.responses(run.read())
    assert next(iter(drawn)) == "response_scene_blur"
    assert set(drawn) == {f"response_{path.replace('.', '_')}" for path, _ in SPACE.items()}
    rows = [
        dict(zip(drawn["response_scene_blur"].header, row, strict=True))
        for row in drawn["response_scene_blur"].rows
    ]
    assert sum(row["trial"] is not None for row in rows) == 14
    assert {row["what"] for row in rows} == {"best recipe", "searched", "pruned (×)", "curve"}
    plot.save(drawn["response_scene_background_scale"], tmp_path / "figure")
    assert (tmp_path / "figure.parquet").exists()


def test_captions_say_what_is_drawn():
    content = page.content(searched_run().read())
    told = {key: caption for key, _, caption in content["responses"]}
    assert "Gaussian process" in told["response_scene_blur"]
    assert "t interval" in told["response_scene_arrangement"]
    assert all("differ in the other varied settings too" in words for words in told.values())


def test_only_where_others_are_varied_do_trials_differ_in_them():
    curve = response.response(SHARE, planted(SHARE, hill))
    assert "The trials differ in the other varied settings too." in responses.caption(
        curve, is_only=False
    )
    assert "differ" not in responses.caption(curve, is_only=True)


def test_a_report_of_one_varied_setting_speaks_of_no_others():
    sweep = LoadedSweep(
        question="What of blur?", space=(SearchSpace({"scene.blur": Float(low=0, high=1)}),)
    )
    run = MadeRun(sweep)
    for number in range(2):
        params = {"scene.blur": 0.25 * number}
        run.ledger.append(
            "asked",
            number,
            kind="search",
            params=params,
            recipe=sweep.recipe.replace(params).flat(),
        )
        train(run, number, (0.1, 0.2))
    ((_, _, caption),) = page.content(run.read())["responses"]
    assert caption.startswith("Each mark is a trial of the search, by its blur. Bars: mean")


def test_captions_say_what_pruning_does_to_them(tmp_path):
    run = searched_run()
    biased = "2 pruned trials are left out: at a bad value only the luckier trials were completed, so the effect looks too small."
    assert all(
        responses.caption(found, is_only=False).endswith(biased)
        for found in responses.curves(run.read())[:2]
    )
    html = page.write(run.read(), run.write(tmp_path / "run")).read_text()
    assert (
        "2 pruned trials are left out: at a bad value only the luckier trials were completed, so shares may"
        in html
    )
    whole = response.response(SHARE, planted(SHARE, hill))
    assert "pruned" not in responses.caption(whole, is_only=True)


def test_settings_of_a_sweep_never_share_a_key():
    names = ("a-b", "a_b", "a_b_2", "long" * 20, "long" * 20 + "er")
    space = SearchSpace({"mix.shares": Simplex(sources=("real", *names))})
    mix = {"mix.sources": {name: Scenes() for name in names}}
    found = varied.settings(LoadedSweep(question="?", space=(space,), recipe=Recipe().replace(mix)))
    assert len({setting.key for setting in found}) == len(found) == 6
    assert [setting.key for setting in found[1:4]] == [
        "mix_shares_a_b",
        "mix_shares_a_b_2",
        "mix_shares_a_b_2_2",
    ]


def test_what_was_tried_at_one_value_has_no_figure():
    assert responses.responses(searched_run(count=1).read()) == {}

"""How many hours a run held and used, and what they cost: numbers from its ledger, sentences and
figure.
"""

import pytest
from made_runs import ABOUT, SWEEP, MadeRun, made_run

from syndet_ray.analysis.spending import spending
from syndet_ray.analysis.usage import Hours, NodeHours, usage
from syndet_ray.errors import DefinitionError
from syndet_ray.metrics import FIRST_STEP, GPU_PERCENT, OBJECTIVE, SCENES_WAIT
from syndet_ray.report import page
from syndet_ray.report.figures.usage import trials_at_once
from syndet_ray.report.usage import sentences
from syndet_ray.runs.prices import Prices, prices_of, with_prices
from syndet_ray.wording import money

H = 3600.0
GPU_NODE, HEAD = (8, 1), (4, 0)


def timed_run(*events, finished=None, options=None):
    """A run of these events: (hours, event, trial, facts)."""
    run = MadeRun(SWEEP, ABOUT | {"finished": finished, "options": options or {}})
    for hours, event, trial, facts in events:
        run.ledger.append(event, trial, **facts)
        run.ledger.events[-1]["time"] = hours * H
    return run.read()


def attempt(hours):
    return hours, "attempt", None, {}


def cluster(hours, nodes, trials, gpus=1.0, cores=2):
    facts = {"nodes": nodes, "trials": trials, "cores": cores, "gpus": gpus}
    return hours, "cluster", None, facts


def trained(number, asked, first_step, reported, ended, waited_s=0.0):
    """The events of a trial; `ended` is None for one that goes on."""
    recipe = SWEEP.recipe.flat()
    effective = {FIRST_STEP: first_step * H, SCENES_WAIT: waited_s}
    metrics = {OBJECTIVE: 0.3, GPU_PERCENT: 60.0 + 20 * number}
    facts = {"images": 100, "metrics": metrics, "effective": effective}
    events = [
        (asked, "asked", number, {"kind": "search", "params": {}, "recipe": recipe}),
        (reported, "report", number, facts),
    ]
    if ended is not None:
        events.append((ended, "ended", number, {"state": "COMPLETE", "reason": "done"}))
    return events


TWO_TRIALS = sorted(
    [
        attempt(0.0),
        cluster(0.01, [[*GPU_NODE, 2], [*HEAD, 1]], trials=2),
        *trained(0, asked=0.1, first_step=0.5, reported=1.0, ended=2.0, waited_s=90.0),
        *trained(1, asked=0.1, first_step=1.0, reported=1.5, ended=4.0),
        cluster(3.0, [[*GPU_NODE, 1], [*HEAD, 1]], trials=1),
    ],
    key=lambda event: event[0],
)


def test_hours_are_counted_by_node_by_trial_and_by_what_no_trial_took():
    used = usage(timed_run(*TWO_TRIALS, finished=5.0 * H))
    assert used.resource == "GPU"
    assert used.nodes == (
        NodeHours(cores=8, gpus=1, hours=pytest.approx(2 * 3 + 2)),
        NodeHours(cores=4, gpus=0, hours=pytest.approx(5)),
    )
    assert used.total == Hours(gpus=pytest.approx(8), cores=pytest.approx(8 * 8 + 5 * 4))
    assert used.by_trial == {0: Hours(gpus=1.5, cores=3.0), 1: Hours(gpus=3.0, cores=6.0)}
    assert used.count(used.for_trials) == pytest.approx(8)
    assert used.count(used.idle_at_start) == pytest.approx(2 * 0.5)
    assert used.count(used.idle_between) == pytest.approx(0.5), "until the second began"
    assert used.count(used.idle_at_end) == pytest.approx(1 + 1), "one of two, then one of one"
    assert used.count(used.idle + used.trained) == pytest.approx(used.count(used.for_trials))
    assert used.gpu_percent == 70.0 and used.waited_s == 90.0


def test_steps_are_the_trials_that_trained_and_could_have_over_time():
    run = timed_run(*TWO_TRIALS, finished=5.0 * H)
    plot = trials_at_once(run)
    assert [tuple(map(float, row)) for row in plot.rows] == [
        (0.0, 0.5, 2, 0),
        (0.5, 1.0, 2, 1),
        (1.0, 2.0, 2, 2),
        (2.0, 3.0, 2, 1),
        (3.0, 4.0, 1, 1),
        (4.0, 5.0, 1, 0),
    ]


def test_pauses_between_attempts_count_for_nothing():
    """A kill, after which nothing is written, ends an attempt at its last event."""
    events = [
        attempt(0.0),
        cluster(0.0, [[2, 0, 1]], trials=2, gpus=0.0, cores=1),
        *trained(0, asked=0.0, first_step=0.5, reported=1.0, ended=None),
        attempt(100.0),
        cluster(100.0, [[2, 0, 1]], trials=2, gpus=0.0, cores=1),
        (101.0, "report", 0, {"images": 200, "metrics": {OBJECTIVE: 0.3}, "effective": {}}),
        (101.5, "ended", 0, {"state": "COMPLETE", "reason": "done"}),
    ]
    used = usage(timed_run(*events, finished=50.0 * H))
    assert used.resource == "core"
    assert used.total == Hours(cores=pytest.approx(2 * 2.5))
    assert used.by_trial[0].cores == pytest.approx(0.5 + 0.5), "from its first step, or its report"
    assert used.steps[-1].end_h == pytest.approx(2.5)


def test_a_trial_that_its_machine_loses_before_it_reports_has_trained_if_there_was_a_notice():
    events = [
        attempt(0.0),
        cluster(0.0, [[*GPU_NODE, 1]], trials=1),
        *trained(0, asked=0.0, first_step=1.5, reported=2.0, ended=3.0),
        (0.9, "training", 0, {FIRST_STEP: 0.2 * H}),
        (1.0, "retry", 0, {"reason": "its node died"}),
    ]
    used = usage(timed_run(*sorted(events, key=lambda event: event[0]), finished=3.0 * H))
    assert used.by_trial[0].gpus == pytest.approx(0.8 + 1.5)
    assert used.idle.gpus == pytest.approx(0.2 + 0.5)


def test_a_lost_worker_and_a_wrong_clock_give_no_negative_hours():
    """The first step was done before the run began, says the worker."""
    events = [
        attempt(10.0),
        cluster(10.0, [[*GPU_NODE, 1]], trials=1),
        *trained(0, asked=10.0, first_step=2.0, reported=11.0, ended=None),
        cluster(11.5, [], trials=0),
        (12.0, "retry", 0, {"reason": "its worker was lost"}),
        *trained(0, asked=0, first_step=2.0, reported=13.0, ended=13.5)[1:],
    ]
    used = usage(timed_run(*events))
    assert used.by_trial == {0: Hours(gpus=3.5, cores=7.0)}, "no time twice"
    assert used.count(used.total) == pytest.approx(1.5)
    assert used.count(used.idle) == 0


def test_a_run_that_trained_nothing_was_idle_before_its_first_trial():
    used = usage(timed_run(attempt(0.0), cluster(0.0, [[2, 0, 1]], trials=1, gpus=0), attempt(1.0)))
    assert used is not None and used.by_trial == {} and used.steps == ()
    used = usage(timed_run(attempt(0.0), cluster(0.0, [[2, 0, 1]], 1, gpus=0), finished=H))
    assert used.count(used.idle_at_start) == pytest.approx(2.0)


def test_a_ledger_of_an_earlier_version_says_nothing():
    run = made_run().read()
    assert usage(run) is None and trials_at_once(run) is None
    assert spending(run, None) is None and sentences(None, None) == []


def test_many_steps_are_plotted_as_means():
    events = [attempt(0.0), cluster(0.0, [[2, 0, 1]], trials=2, gpus=0.0)]
    for number in range(700):
        start = number / 100
        events += trained(number, start, start + 0.001, start + 0.004, start + 0.006)
    plot = trials_at_once(timed_run(*events))
    values = plot.figure.layer[0].data.values
    assert len(plot.rows) > 1000 and len(values) == 501
    assert 0.4 < sum(value["trials"] for value in values) / len(values) < 0.6


def test_sentences_say_what_was_held_idle_and_paid():
    run = timed_run(*TWO_TRIALS, finished=5.0 * H, options={"gpu_hour_price": 2.5})
    used = usage(run)
    words = sentences(used, spending(run, used))
    assert words == [
        "The run held 8.0 GPU hours (hours of nodes: 8.0 with 1 GPU and 8 cores; 5.0 with 4 cores).",
        "Trials trained in 4.5 of them.",
        "3.5 GPU hours that trials could have taken were idle (44 %): 1.0 before the first trial trained, 0.5 in between, 2.0 from the start of the last one to the end of the run.",
        "While trials had them, GPUs computed in 70 % of the time.",
        "Trials waited 1 min 30 s for scenes, all together.",
        "At 2.5 a GPU hour the run cost 20.00, 8.75 of it for idle GPUs.",
        "It had cost 10.00 when the best recipe (trial 0) had been trained once.",
    ]


def test_cores_that_no_trial_can_take_are_named_apart():
    events = [attempt(0.0), cluster(0.0, [[4, 0, 1]], trials=1, gpus=0.0, cores=3)]
    events += trained(0, asked=0.0, first_step=0.0, reported=0.5, ended=1.0)
    assert sentences(usage(timed_run(*events)), None)[:3] == [
        "The run held 4.0 core hours (hours of nodes: 1.0 with 4 cores).",
        "Trials trained in 3.0 of them; 1.0 are not for trials, such as those of a head.",
        "0 core hours that trials could have taken were idle (0 %).",
    ]


def test_each_trial_and_each_recipe_has_its_cost():
    run = timed_run(*TWO_TRIALS, options={"gpu_hour_price": 2.0, "core_hour_price": 0.1})
    spent = spending(run, usage(run))
    assert spent.by_trial == {0: pytest.approx(3.3), 1: pytest.approx(6.6)}
    assert spent.by_recipe == spent.by_trial
    again = with_prices(run, Prices(gpu_hour_price=4.0))
    assert prices_of(again.about) == Prices(gpu_hour_price=4.0, core_hour_price=0.1)
    assert with_prices(run, Prices()).about == run.about


def test_the_page_shows_it_where_there_is_something_to_show():
    run = timed_run(*TWO_TRIALS, finished=5.0 * H, options={"gpu_hour_price": 2.5})
    html = page.html(run, {})
    assert "How busy the machines were, and what the run cost" in html
    assert '<td data-by="3.75">3.75</td>' in html and ">cost</button>" in html
    free = page.html(with_prices(run, Prices()), {}).replace("what the run cost", "")
    assert "3.5 GPU hours that trials could have taken were idle" in free
    assert "How busy" not in page.html(made_run().read(), {})


@pytest.mark.parametrize("price", [-0.01, float("nan"), float("inf"), 10**400, True, "2.5"])
def test_a_price_is_a_finite_number_of_at_least_0(price):
    with pytest.raises(DefinitionError, match=r"^`gpu_hour_price`: must be a finite number of at"):
        Prices(gpu_hour_price=price)


def test_money_has_two_decimals_or_two_digits():
    assert [money(amount) for amount in (1234.5, 0.9, 0.0341, 0.00002, 0.0)] == [
        "1,234.50",
        "0.90",
        "0.034",
        "< 0.001",
        "0",
    ]

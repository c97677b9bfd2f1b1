"""Which type of node Ray's own scheduler starts with the score that cluster.yaml names."""

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from syndet_ray.clusters import spot_first

ROOT = Path(__file__).parents[1]
CONTENT = yaml.safe_load((ROOT / "cluster.yaml").read_text(encoding="utf-8"))
FIRST, SECOND, LAST = "gpu_spot_l4", "gpu_spot_a10g", "gpu_on_demand"
TRIAL = {"CPU": 8, "GPU": 1}
RENDERING = {"CPU": 1}


@pytest.fixture
def started(monkeypatch):
    """Returns the nodes that Ray's scheduler would start for demands, with the file's autoscaler.

    failed  seconds since EC2 last refused to start a type
    """
    from ray.autoscaler._private import resource_demand_scheduler as scheduling
    from ray.autoscaler._private.node_provider_availability_tracker import (
        NodeProviderAvailabilityTracker,
    )
    from ray.autoscaler.node_launch_exception import NodeLaunchException

    (command,) = [text for text in CONTENT["head_start_ray_commands"] if "ray start" in text]
    variable = scheduling.AUTOSCALER_UTILIZATION_SCORER_KEY
    (scorer,) = [word for word in command.split() if word.startswith(f"{variable}=")]
    monkeypatch.setenv(variable, scorer.rstrip(";").removeprefix(f"{variable}="))
    monkeypatch.setattr(spot_first, "own_configuration", lambda: CONTENT)
    spot_first._priorities.cache_clear()

    def start(demands, failed=None, updates=None):
        tracker = NodeProviderAvailabilityTracker(ttl=600)
        for name, seconds in (failed or {}).items():
            error = NodeLaunchException("InsufficientInstanceCapacity", "none left", None)
            tracker.update_node_availability(name, int(time.time()) - seconds, error)
        scheduler = scheduling.ResourceDemandScheduler(
            None, CONTENT["available_node_types"], CONTENT["max_workers"], "head", 1.0
        )
        for name, resources in (updates or {}).items():
            scheduler.node_types[name]["resources"] |= resources
        nodes, _ = scheduler.get_nodes_to_launch(
            [], {"head": 1}, demands, {}, [], {}, [], tracker.summary()
        )
        return nodes

    yield start
    spot_first._priorities.cache_clear()


def test_the_types_for_trials_have_equal_resources():
    kinds = CONTENT["available_node_types"]
    assert all(kinds[name]["resources"] == TRIAL for name in (FIRST, SECOND, LAST))


def test_nothing_starts_without_demand(started):
    assert started([]) == {}


@pytest.mark.parametrize(
    ("failed", "expected"),
    [
        ({}, FIRST),
        ({FIRST: 5}, SECOND),
        ({SECOND: 5}, FIRST),
        ({FIRST: 300, SECOND: 5}, LAST),
        ({FIRST: 700, SECOND: 5}, FIRST),  # long enough ago to try again
        ({FIRST: 60, SECOND: 30, LAST: 5}, FIRST),  # all fail: in turns
        ({FIRST: 5, SECOND: 30, LAST: 60}, LAST),
    ],
)
def test_on_demand_nodes_start_only_while_no_spot_node_is_to_be_had(failed, expected, started):
    assert started([TRIAL] * 3, failed) == {expected: 3}


def test_a_type_of_which_nodes_have_been_up_is_still_first(started):
    """Ray then knows its memory too, which no trial asks for, and its own score drops to 0."""
    assert started([TRIAL], updates={FIRST: {"memory": 30e9}}) == {FIRST: 1}


def test_scenes_are_rendered_on_nodes_without_a_gpu(started):
    assert started([RENDERING] * 20) == {"cpu_spot": 2}
    assert started([RENDERING] * 4, {"cpu_spot": 5}) == {"cpu_spot": 1}
    assert started([TRIAL, *[RENDERING] * 4]) == {FIRST: 1, "cpu_spot": 1}


def test_all_types_together_stay_within_the_limit(started):
    nodes = started([TRIAL] * 30)
    assert sum(nodes.values()) <= CONTENT["max_workers"]
    assert LAST not in nodes


def test_ray_alone_takes_no_notice_of_a_failure(started, monkeypatch):
    """The name of a type decides between equal ones: the checks above could fail."""
    monkeypatch.delenv("RAY_AUTOSCALER_UTILIZATION_SCORER")
    kinds = CONTENT["available_node_types"]
    monkeypatch.setitem(kinds, "zz_on_demand", kinds[LAST])
    assert started([TRIAL], {"zz_on_demand": 5}) == {"zz_on_demand": 1}


def test_the_second_autoscaler_forgets_what_ec2_refused():
    """This is why cluster.yaml asks for the first; it notices only nodes that come up too late."""
    from ray.autoscaler.v2.instance_manager.subscribers.cloud_resource_monitor import (
        CloudResourceMonitor,
    )
    from ray.core.generated.instance_manager_pb2 import Instance, InstanceUpdateEvent

    monitor = CloudResourceMonitor()
    for status, expected in (
        (Instance.ALLOCATION_FAILED, {}),
        (Instance.ALLOCATION_TIMEOUT, {FIRST: 0}),
    ):
        monitor.notify([InstanceUpdateEvent(new_instance_status=status, instance_type=FIRST)])
        assert monitor.get_recoverable_resource_availabilities() == expected
    (command,) = [text for text in CONTENT["head_start_ray_commands"] if "ray start" in text]
    assert "export RAY_enable_autoscaler_v2=0" in command


def test_priorities_are_those_of_the_file_that_the_autoscaler_was_started_with():
    code = "from syndet_ray.clusters import spot_first; print(spot_first._priorities())"
    config = f"--autoscaling-config={ROOT / 'cluster.yaml'}"
    for arguments, expected in (([config], {FIRST: 2, SECOND: 1, LAST: 0}), ([], {})):
        command = [sys.executable, "-c", code, "monitor.py", *arguments]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True, cwd=ROOT)
        priorities = ast.literal_eval(done.stdout)
        assert {name: priorities[name] for name in expected} == expected
        assert bool(priorities) == bool(expected)

"""What trials may occupy: shares of GPUs, cores besides them, and nodes that are not up yet but may
join.
"""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray
import yaml

from syndet_ray.detection.memory import memory_fraction
from syndet_ray.errors import DefinitionError, MachineError
from syndet_ray.search.task import Resources, check_gpus
from syndet_ray.workers.nodes import autoscaler, capacity, unfit
from syndet_ray.workers.nodes.autoscaler import NO_GROWTH, Growth, growth_at, growth_of
from syndet_ray.workers.nodes.capacity import Capacity, has_spare_cores, resource_words, resources
from syndet_ray.workers.nodes.census import Census
from syndet_ray.workers.nodes.node import Node

ROOT = Path(__file__).parents[1]
UNKNOWN = Growth(is_known=False)


@pytest.fixture(scope="module")
def documented():
    """What may join the cluster of cluster.yaml, as Ray prepares it for the autoscaler."""
    from ray.autoscaler._private.util import prepare_config

    return growth_of(prepare_config(yaml.safe_load((ROOT / "cluster.yaml").read_text())))


def trial_of(cpus, gpus):
    return Resources(cpus=cpus, gpus=gpus, parallel=1)


@pytest.fixture
def up(monkeypatch):
    """Sets the nodes that are up, each (cores, GPUs), the first of them the head.

    unfit  the same for those that lack what trials need
    """

    def make(*nodes, unfit=()):
        fit = [Node(cpus=cpus, gpus=gpus, is_head=i == 0) for i, (cpus, gpus) in enumerate(nodes)]
        lacking = [Node(cpus=cpus, gpus=gpus) for cpus, gpus in unfit]
        monkeypatch.setattr(capacity, "alive_nodes", lambda: fit)
        both = [*fit, *lacking], fit
        monkeypatch.setattr(capacity, "paid_and_fit_nodes", lambda: both)

    return make


def test_the_documented_cluster_trains_on_all_that_it_may_have_before_any_of_it_is_up(
    documented, up
):
    up((0, 0), (16, 0))
    use = resources(None, None, documented)
    assert use == Resources(cpus=8, gpus=1, parallel=10)
    assert has_spare_cores(use, documented), "the node without a GPU renders"
    assert resource_words(use, documented) == [
        "10 trials may run at once: 0 on the nodes that are up, the rest as nodes join"
    ]
    up((0, 0), (16, 0), *[(8, 1)] * 10)
    assert resources(None, 1, documented) == use
    assert resource_words(use, documented) == []


def test_a_cluster_grows_no_larger_than_all_its_nodes_together_may():
    kind = {"resources": {"CPU": 4, "GPU": 1}}
    large = {"resources": {"CPU": 8, "GPU": 4}, "max_workers": 1}
    config = {
        "max_workers": 3,
        "head_node_type": "head",
        "available_node_types": {"head": kind, "a": kind, "b": large},
    }
    grown = growth_of(config)
    assert (len(grown.nodes), grown.most) == (4, 3)
    assert grown.trials(trial_of(cpus=1, gpus=1)) == 4 + 1 + 1
    assert grown.trials(trial_of(cpus=8, gpus=1)) == 1


def test_types_that_stand_in_for_one_another_and_idle_nodes_count_once():
    """Two spot types and a fall-back may each fill the cluster, and nodes that only render are up
    all the time.
    """
    kind = {"resources": {"CPU": 8, "GPU": 1}, "max_workers": 6}
    renders = {"resources": {"CPU": 16}, "min_workers": 2, "max_workers": 4}
    kinds = {"head": {"resources": {"CPU": 0}}, "a": kind, "b": kind, "c": kind, "renders": renders}
    grown = growth_of({"max_workers": 8, "head_node_type": "head", "available_node_types": kinds})
    assert grown.trials(trial_of(cpus=8, gpus=1)) == 6
    assert grown.trials(trial_of(cpus=16, gpus=0)) == 4
    assert grown.trials(trial_of(cpus=8, gpus=0)) == 4 * 2 + 4


def test_whole_numbers_may_be_written_with_a_point():
    worker = {"resources": {"CPU": 8}, "min_workers": 1.0, "max_workers": 2.0}
    kinds = {"head": {"resources": {"CPU": 0}}, "w": worker}
    grown = growth_of({"max_workers": 3.0, "head_node_type": "head", "available_node_types": kinds})
    assert (len(grown.nodes), len(grown.always), str(grown.most)) == (2, 1, "3")


def test_machines_that_count_their_resources_themselves_have_unknown_ones():
    kinds = {"local.cluster.node": {"resources": {}, "node_config": {}, "max_workers": 2}}
    config = {
        "max_workers": 2,
        "head_node_type": "local.cluster.node",
        "available_node_types": kinds,
    }
    assert growth_of(config) == UNKNOWN


@pytest.mark.parametrize(
    ("nodes", "parallel", "gpus", "expected"),
    [
        ([(4, 0)], None, None, Resources(cpus=1, gpus=0, parallel=4)),
        ([(4, 0)], 2, None, Resources(cpus=2, gpus=0, parallel=2)),
        # a trial lies on one node
        ([(4, 0), (4, 0), (4, 0)], 2, None, Resources(cpus=4, gpus=0, parallel=2)),
        ([(4, 0), (4, 0), (4, 0)], 4, None, Resources(cpus=2, gpus=0, parallel=4)),
        ([(4, 0)], 9, None, Resources(cpus=1, gpus=0, parallel=9)),
        ([(16, 2)], None, None, Resources(cpus=8, gpus=1, parallel=2)),
        ([(16, 2)], None, 0.6, Resources(cpus=8, gpus=0.6, parallel=2)),  # a third would be of both
        ([(16, 2)], None, 0.5, Resources(cpus=4, gpus=0.5, parallel=4)),
        ([(12, 1)], None, 0.1, Resources(cpus=1, gpus=0.1, parallel=10)),
        ([(12, 1)], None, 1 / 3, Resources(cpus=4, gpus=1 / 3, parallel=3)),
        ([(0, 0), (4, 1), (16, 1)], None, 1, Resources(cpus=4, gpus=1, parallel=2)),
        (
            [(64, 0), (4, 1)],
            None,
            None,
            Resources(cpus=4, gpus=1, parallel=1),
        ),  # cores without a GPU have nothing for a trial
        ([(16, 2)], None, 0, Resources(cpus=1, gpus=0, parallel=16)),
        # the processes of a trial lie on one node, with its share of the cores for each
        ([(16, 2)], None, 2, Resources(cpus=8, gpus=1, parallel=1, processes=2)),
        ([(8, 5), (4, 1)], None, 2.0, Resources(cpus=1, gpus=1, parallel=2, processes=2)),
        ([(32, 8), (16, 4)], None, 4, Resources(cpus=4, gpus=1, parallel=3, processes=4)),
    ],
)
def test_what_fits_on_the_nodes_that_are_up(nodes, parallel, gpus, expected, up):
    up(*nodes)
    assert resources(parallel, gpus) == expected


@pytest.mark.parametrize("gpus", [2.5, 1.0001, -1, -2, float("nan"), float("inf")])
def test_a_trial_trains_on_a_share_of_a_gpu_or_on_whole_ones(gpus):
    rule = r"^`gpus_per_trial`: must be a share of a GPU, 0 to 1, or a whole number of GPUs"
    with pytest.raises(DefinitionError, match=rule):
        check_gpus(gpus)
    for possible in (None, 0, 0.6, 1, 2, 8.0):
        check_gpus(possible)


@pytest.mark.parametrize(
    ("device", "share", "fraction"),
    [("cuda", 0.25, 0.25), ("cuda", 1, 1), ("cuda", 0, 1), ("cpu", 0.25, None)],
)
def test_a_process_may_use_its_share_of_the_memory_of_its_gpu(device, share, fraction):
    assert memory_fraction(device, share) == fraction


def test_several_gpus_must_be_on_one_node(up):
    up((16, 2), (16, 2))
    rule = "no node has 4 GPUs, and no node with 4 GPUs may join: a trial trains on one node, got 4"
    with pytest.raises(MachineError, match=f"^`gpus_per_trial`: {rule}"):
        resources(None, 4)
    waiting = Growth(nodes=(Node(cpus=32, gpus=4),), most=1)
    expected = Resources(cpus=8, gpus=1, parallel=1, processes=4)
    assert resources(None, 4, waiting) == expected
    assert not has_spare_cores(Resources(cpus=8, gpus=1, parallel=2, processes=2))
    assert Resources(cpus=8, gpus=1, parallel=2, processes=2).gpus_per_trial == 2


def test_a_gpu_that_no_node_will_have_is_refused(up):
    up((4, 0))
    with pytest.raises(
        MachineError,
        match=r"`gpus_per_trial`: no node has a GPU, and no node with a GPU may join, got 1",
    ):
        resources(None, 1)
    with pytest.raises(MachineError, match=r"no node with a GPU may join, got 0\.5\. Leave it out"):
        resources(None, 0.5)


def test_if_the_next_nodes_are_unknown_one_trial_waits_and_brings_a_node(up, monkeypatch):
    monkeypatch.setattr(capacity, "_RECOUNT_S", 0.0)
    up((0, 0), (8, 1))
    use = resources(None, None, UNKNOWN)
    assert use == Resources(cpus=8, gpus=1, parallel=2)
    counted, asked = (
        Capacity(use, UNKNOWN, fixed=False),
        Capacity(Resources(cpus=8, gpus=1, parallel=5), UNKNOWN, fixed=True),
    )
    up((0, 0), (8, 1), (8, 1), (8, 1))
    assert (counted.trials(), asked.trials()) == (4, 5)
    up((0, 0))
    assert (counted.trials(), asked.trials()) == (1, 5)


def test_nodes_that_lack_what_trials_need_are_paid_for_and_get_no_trials(up):
    up((0, 0), (8, 1), unfit=[(8, 1), (8, 1)])
    use = Resources(cpus=8, gpus=1, parallel=3)
    noted = []
    search = SimpleNamespace(note_cluster=lambda nodes, trials, _: noted.append((nodes, trials)))
    Census(search, use, Capacity(use, NO_GROWTH, fixed=False)).update()
    assert noted == [([(0, 0), (8, 1), (8, 1), (8, 1)], 1)]


def test_a_node_that_leaves_during_a_count_is_in_both_counts_or_in_none(monkeypatch):
    """Ray is asked once: its next answer would have a node less."""
    descriptions = [
        {"NodeID": node_id, "Alive": True, "Resources": {"CPU": 4.0}} for node_id in ("1", "2", "3")
    ]
    answers = iter([descriptions, descriptions[:2]])
    monkeypatch.setattr(ray, "nodes", lambda: next(answers))
    monkeypatch.setattr(unfit, "_ever_unfit", lambda: {"1"})
    counted = Capacity(Resources(cpus=4, gpus=0, parallel=1), NO_GROWTH, fixed=False)
    assert len(counted.nodes()) == 3
    assert (counted.trials_on_nodes(), counted.trials()) == (2, 2)


def test_cores_next_to_a_gpu_are_known_once_there_is_one(up, monkeypatch):
    """If the nodes that may join are unknown, the run waits for the first node with a GPU, and a
    note says so.
    """
    notes = []
    monkeypatch.setattr(capacity, "nodes_once_gpus_join", lambda gpus: [Node(cpus=6, gpus=2)])
    up((0, 0), (16, 0))
    assert resources(None, 1, UNKNOWN, notes.append) == Resources(cpus=3, gpus=1, parallel=3)
    assert notes == ["waiting for the first node with a GPU"]


def test_trials_on_cpus_next_to_gpus_are_reported(up, documented):
    up((4, 1))
    (words,) = resource_words(resources(None, 0), NO_GROWTH)
    assert (
        words
        == "trials train on CPUs, but the cluster has GPUs: set `gpus_per_trial` 1 to use them"
    )
    up((0, 0), (16, 0))
    assert words in resource_words(resources(None, 0, documented), documented)
    (words,) = resource_words(resources(None, None, UNKNOWN), UNKNOWN)
    assert words.endswith("if nodes with GPUs will join, set `gpus_per_trial` 1")
    assert resource_words(resources(None, None), NO_GROWTH) == []
    up((0, 0))
    (words,) = resource_words(resources(None, None), NO_GROWTH)
    assert words == "trials fit on no node, and none may join by itself: they wait for one"


def test_spare_cores_are_those_that_no_trial_can_use(up):
    up((4, 0))
    assert not has_spare_cores(Resources(cpus=1, gpus=0, parallel=4))
    assert has_spare_cores(Resources(cpus=1, gpus=0, parallel=3))
    up((8, 1), (8, 1))
    assert not has_spare_cores(Resources(cpus=8, gpus=1, parallel=2))
    up((0, 0), (16, 0), (8, 1))
    assert has_spare_cores(Resources(cpus=8, gpus=1, parallel=8)), (
        "however many trials there may be later"
    )


@pytest.mark.parametrize("config", ["cluster.yaml", None, "gone.yaml"])
def test_the_limits_are_those_that_the_autoscaler_of_this_cluster_was_started_with(
    config, documented
):
    arguments = ["monitor.py", "--gcs-address=127.0.0.1:1"]
    if config is not None:
        arguments.append(f"--autoscaling-config={ROOT / config}")
    waiting = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()", *arguments]
    with subprocess.Popen(waiting, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as monitor:
        monitor.stdout.readline()
        expected = {"cluster.yaml": documented, None: NO_GROWTH, "gone.yaml": UNKNOWN}[config]
        assert growth_at("127.0.0.1:1") == expected
        assert growth_at("127.0.0.1:2") == UNKNOWN, "of another cluster"
        monitor.communicate()


def test_on_kubernetes_the_head_reads_the_limits_that_its_autoscaler_has(monkeypatch, tmp_path):
    """Those of docs/kuberay.yaml, which Ray's own reader understands."""
    from ray.autoscaler._private.kuberay import node_provider

    job = yaml.safe_load((ROOT / "docs" / "kuberay.yaml").read_text(encoding="utf-8"))
    described = {"metadata": {"name": "c", "namespace": "n"}, "spec": job["spec"]["rayClusterSpec"]}
    asked = []

    def get(client, path):
        asked.append((client._namespace, path))
        return described

    monkeypatch.setattr(node_provider, "load_k8s_secrets", lambda: ({}, "", None))
    monkeypatch.setattr(node_provider.KubernetesHttpApiClient, "get", get)
    (tmp_path / "namespace").write_text("n\n", encoding="utf-8")
    monkeypatch.setattr(autoscaler, "_NAMESPACE", tmp_path / "namespace")
    assert growth_at("127.0.0.1:1") == UNKNOWN
    for name, value in (("RAY_CLUSTER_NAME", "c"), ("KUBERNETES_SERVICE_HOST", "h")):
        monkeypatch.setenv(name, value)
    growth = growth_at("127.0.0.1:1")
    assert asked == [("n", "rayclusters/c")]
    gpu, cpu = (group["maxReplicas"] for group in described["spec"]["workerGroupSpecs"])
    assert growth.trials(trial_of(cpus=8, gpus=1)) == gpu
    assert growth.trials(trial_of(cpus=16, gpus=0)) == cpu
    monkeypatch.setattr(autoscaler, "_NAMESPACE", tmp_path / "gone")
    assert growth_at("127.0.0.1:1") == UNKNOWN


def test_a_group_without_limit_is_counted_in_moments():
    kinds = {"head": {}, "a": {"resources": {"CPU": 1}, "max_workers": 2**31 - 1}}
    config = {"max_workers": 2**31 - 1, "head_node_type": "head", "available_node_types": kinds}
    assert growth_of(config).trials(trial_of(cpus=1, gpus=0)) == 1000

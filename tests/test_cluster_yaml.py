"""cluster.yaml is what Ray's own validator accepts, and what design asks of it."""

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]


@pytest.fixture
def config():
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(yaml.safe_load((ROOT / "cluster.yaml").read_text()))
    validate_config(prepared)
    return prepared


def test_the_head_runs_no_trials_and_workers_are_gpu_spot(config):
    head = config["available_node_types"][config["head_node_type"]]
    assert head["resources"] == {"CPU": 0}
    assert "InstanceMarketOptions" not in head["node_config"]
    gpu, cpu = (config["available_node_types"][name] for name in ("gpu_spot", "cpu_spot"))
    assert (gpu["resources"]["GPU"], gpu["min_workers"]) == (1, 0)
    assert "GPU" not in cpu["resources"]
    assert cpu["min_workers"] == 1, "without it scenes are rendered on the GPU nodes"
    assert all(
        node["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
        for node in (gpu, cpu)
    )


def test_nothing_listens_to_the_world_and_nothing_phones_home(config):
    (start,) = [command for command in config["head_start_ray_commands"] if "--head" in command]
    assert "--dashboard-host=127.0.0.1" in start
    assert all(
        "--disable-usage-stats" in c for c in [start, config["worker_start_ray_commands"][-1]]
    )
    assert any("constraints.txt" in command for command in config["setup_commands"])


@pytest.mark.parametrize("broken", [{"max_wrkers": 3}, {"head_node_type": "nobody"}])
def test_the_validator_would_notice_a_mistake(broken):
    from ray.autoscaler._private.util import prepare_config, validate_config

    with pytest.raises(Exception, match=r"max_wrkers|nobody|head_node_type"):
        validate_config(
            prepare_config(yaml.safe_load((ROOT / "cluster.yaml").read_text()) | broken)
        )

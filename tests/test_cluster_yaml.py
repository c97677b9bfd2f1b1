"""cluster.yaml is what Ray's own validator and EC2 accept, and what design asks of it."""

import copy
import json
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "cluster.yaml").read_text(encoding="utf-8")
REGION = "us-east-1"
GPU_TYPES = ("gpu_spot_l4", "gpu_spot_a10g", "gpu_on_demand")
SPOT = {"MarketType": "spot"}


@pytest.fixture
def config():
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(yaml.safe_load(TEXT))
    validate_config(prepared)
    return prepared


def test_the_head_runs_no_trials_and_workers_are_gpu_spot(config):
    kinds = config["available_node_types"]
    head = kinds[config["head_node_type"]]
    assert head["resources"] == {"CPU": 0}
    assert "InstanceMarketOptions" not in head["node_config"]
    *spot, on_demand = (kinds[name] for name in GPU_TYPES)
    assert all(kind["node_config"]["InstanceMarketOptions"] == SPOT for kind in spot)
    assert len({kind["node_config"]["InstanceType"] for kind in spot}) == 2
    assert "InstanceMarketOptions" not in on_demand["node_config"]
    assert on_demand["priority"] < min(kind["priority"] for kind in spot)
    assert "GPU" not in kinds["cpu_spot"]["resources"]
    assert all(kind["min_workers"] == 0 for kind in kinds.values()), "none costs without work"


def test_nothing_listens_to_the_world_and_nothing_phones_home(config):
    (start,) = [text for text in config["head_start_ray_commands"] if "ray start" in text]
    (mlflow,) = [text for text in config["head_start_ray_commands"] if "mlflow" in text]
    assert "--dashboard-host=127.0.0.1" in start
    assert "--host 127.0.0.1" in mlflow
    worker = config["worker_start_ray_commands"][-1]
    assert all("--disable-usage-stats" in command for command in (start, worker))
    (profile,) = [text for text in config["setup_commands"] if ".bashrc" in text]
    for setting in ("RAY_AUTH_MODE=token", "RAY_USAGE_STATS_ENABLED=0", "TELEMETRY=true"):
        assert setting in profile
    assert any("-c ~/syndet_ray/constraints.txt" in text for text in config["setup_commands"])


@pytest.mark.parametrize("broken", [{"max_wrkers": 3}, {"head_node_type": "nobody"}])
def test_the_validator_would_notice_a_mistake(broken):
    from ray.autoscaler._private.util import prepare_config, validate_config

    with pytest.raises(Exception, match=r"max_wrkers|nobody|head_node_type"):
        validate_config(prepare_config(yaml.safe_load(TEXT) | broken))


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    """Amazon, simulated by moto, and a home folder for the key that Ray makes."""
    from moto import mock_aws

    with pytest.MonkeyPatch.context() as environment, mock_aws():
        environment.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        environment.setenv("AWS_DEFAULT_REGION", REGION)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(name, "testing")
        yield


@pytest.fixture(scope="module")
def provider(cloud):
    """Ray's own provider of nodes on AWS, and the configuration with which it starts them."""
    import boto3
    from ray.autoscaler._private.aws import node_provider
    from ray.autoscaler._private.aws.config import bootstrap_aws
    from ray.autoscaler._private.util import prepare_config

    iam = boto3.client("iam")
    for name in ("syndet-ray-head", "syndet-ray-worker"):
        iam.create_instance_profile(InstanceProfileName=name)
    booted = bootstrap_aws(prepare_config(yaml.safe_load(TEXT)))
    provider = node_provider.AWSNodeProvider(booted["provider"], booted["cluster_name"])
    return provider, booted


def launched(provider, booted, name, **changes):
    """The instance that Ray starts for a type, as EC2 describes it."""
    node = copy.deepcopy(booted["available_node_types"][name]["node_config"]) | changes
    (instance,) = provider.create_node(node, {"ray-node-name": name}, 1).values()
    return instance


@pytest.mark.parametrize("name", [*GPU_TYPES, "cpu_spot", "head"])
def test_ray_starts_a_node_of_each_type(name, provider):
    aws, booted = provider
    node = booted["available_node_types"][name]["node_config"]
    instance = launched(aws, booted, name)
    assert instance.instance_type == node["InstanceType"]
    assert (instance.instance_lifecycle == "spot") == ("spot" in name)
    profile = "syndet-ray-head" if name == "head" else "syndet-ray-worker"
    assert instance.iam_instance_profile["Arn"].endswith(f"/{profile}")
    assert {"Key": "ray-cluster-name", "Value": "syndet-ray"} in instance.tags
    zones = booted["provider"]["availability_zone"].split(",")
    assert instance.placement["AvailabilityZone"] in zones
    assert len(node["SubnetIds"]) == len(zones), "each zone is tried"


def test_ec2_refuses_a_key_that_it_does_not_know(provider):
    import botocore.exceptions

    with pytest.raises(botocore.exceptions.ParamValidationError, match="InstanceTyp"):
        launched(*provider, "gpu_spot_l4", InstanceTyp="g5.2xlarge")


def test_only_the_cluster_itself_and_ssh_reach_a_node(provider):
    import boto3

    _, booted = provider
    (group,) = booted["available_node_types"]["head"]["node_config"]["SecurityGroupIds"]
    (rules,) = boto3.client("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"]
    from_anywhere = [rule for rule in rules["IpPermissions"] if rule["IpRanges"]]
    assert [(rule["FromPort"], rule["ToPort"]) for rule in from_anywhere] == [(22, 22)]


def test_the_head_may_change_its_own_cluster_only_and_workers_the_bucket_only():
    text = (ROOT / "docs" / "cluster_aws.md").read_text(encoding="utf-8")
    head, worker = map(json.loads, re.findall(r"```json\n(.*?)```", text, re.DOTALL))
    content = yaml.safe_load(TEXT)
    tag = {"ray-cluster-name": content["cluster_name"]}
    rights = {}
    for statement in head["Statement"]:
        actions = statement["Action"]
        for action in [actions] if isinstance(actions, str) else actions:
            rights.setdefault(action, []).append(statement)
            assert "*" not in action
    for action in ("TerminateInstances", "StopInstances", "StartInstances"):
        (statement,) = rights[f"ec2:{action}"]
        conditions = statement["Condition"]["StringEquals"]
        assert conditions == {f"ec2:ResourceTag/{name}": value for name, value in tag.items()}
    assert all("Condition" in statement for statement in rights["ec2:CreateTags"])
    (role,) = [statement["Resource"] for statement in rights["iam:PassRole"]]
    kinds = content["available_node_types"]
    profiles = {kind["node_config"]["IamInstanceProfile"]["Name"] for kind in kinds.values()}
    assert profiles == {"syndet-ray-head", role.rpartition("/")[2]}
    anywhere = [part["Action"] for part in head["Statement"] if part["Resource"] == "*"]
    assert anywhere == ["ec2:DescribeInstances"]
    of_workers = [action for part in worker["Statement"] for action in part["Action"]]
    assert all(action.startswith("s3:") for action in of_workers)
    assert all(":::BUCKET" in part["Resource"] for part in worker["Statement"])


def test_the_tunnel_of_the_readme_leads_to_the_ports_of_the_head(config):
    from ray.scripts.scripts import cli

    (line,) = [
        line
        for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("ray attach")
    ]
    arguments = line.partition("#")[0].split()
    context = cli.commands["attach"].make_context("attach", arguments[2:])
    assert context.params["cluster_config_file"] == "cluster.yaml"
    dashboard, mlflow = context.params["port_forward"]
    commands = " ".join(config["head_start_ray_commands"])
    assert f"--port {mlflow} " in commands
    assert dashboard == 8265 and "--dashboard-port" not in commands, "Ray's own port"

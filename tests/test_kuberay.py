"""docs/kuberay.yaml is what KubeRay's own schema accepts, and what design asks of it."""

import copy
import re
import sys
from importlib.metadata import version
from pathlib import Path

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[1]
SCHEMAS = ROOT.parent / "shared" / "data" / "kuberay"
GUIDE = (ROOT / "docs" / "cluster_kubernetes.md").read_text(encoding="utf-8")
JOB = yaml.safe_load((ROOT / "docs" / "kuberay.yaml").read_text(encoding="utf-8"))
CLUSTER = JOB["spec"]["rayClusterSpec"]
GROUPS = {group["groupName"]: group for group in CLUSTER["workerGroupSpecs"]}
KEEP = "x-kubernetes-preserve-unknown-fields"


def closed(schema):
    """A schema that refuses unknown keys wherever it names the known ones, as the API server does."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {key: closed(part) for key, part in schema.items()}
    names_its_keys = isinstance(schema.get("properties"), dict)
    if names_its_keys and not schema.get(KEEP) and "additionalProperties" not in schema:
        parts["additionalProperties"] = False
    return parts


@pytest.fixture(scope="module")
def validator():
    """Of a RayJob as a whole: its metadata, too, which the schema leaves to Kubernetes."""
    path = SCHEMAS / "ray.io_rayjobs.yaml"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    definition = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
    (stored,) = [form for form in definition["spec"]["versions"] if form["storage"]]
    assert JOB["apiVersion"] == f"{definition['spec']['group']}/{stored['name']}"
    assert JOB["kind"] == definition["spec"]["names"]["kind"]
    schema = closed(stored["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    return jsonschema.Draft7Validator(schema)


def mistakes(validator, job):
    return [error.message for error in validator.iter_errors(job)]


def test_kuberay_accepts_it(validator):
    assert mistakes(validator, JOB) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("entrypont",), "python"),
        (("backoffLimit",), "none"),
        (("rayClusterSpec", "authOptions", "mode"), "tokens"),
        (("rayClusterSpec", "headGroupSpec", "serviceTyp"), "ClusterIP"),
        (("rayClusterSpec", "headGroupSpec", "rayStartParams", "num-cpus"), 0),
        (("rayClusterSpec", "workerGroupSpecs", 0, "maxReplica"), 8),
        (("rayClusterSpec", "workerGroupSpecs", 0, "maxReplicas"), 0.5),
        (("rayClusterSpec", "workerGroupSpecs", 0, "template", "spec", "volume"), []),
    ],
)
def test_a_mistake_would_be_noticed(path, value, validator):
    broken = copy.deepcopy(JOB)
    *parents, name = path
    part = broken["spec"]
    for key in parents:
        part = part[key]
    part[name] = value
    (message,) = mistakes(validator, broken)
    assert str(name) in message or str(value) in message


def test_no_trials_on_the_head_and_no_pod_without_demand():
    assert CLUSTER["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert CLUSTER["enableInTreeAutoscaling"]
    for group in GROUPS.values():
        assert group["minReplicas"] == 0 < group["maxReplicas"]
    limits = {
        name: group["template"]["spec"]["containers"][0]["resources"]["limits"]
        for name, group in GROUPS.items()
    }
    assert limits["gpu"]["nvidia.com/gpu"] == "1"
    assert "nvidia.com/gpu" not in limits["cpu"]


def test_secrets_by_their_names_only_and_the_dashboard_for_the_cluster_only():
    assert CLUSTER["authOptions"] == {"mode": "token"}
    assert CLUSTER["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert not CLUSTER["headGroupSpec"]["enableIngress"]
    for spec in pods():
        (container,) = spec["containers"]
        assert "env" not in container
        assert spec["serviceAccountName"].startswith("syndet-ray-")
        assert {"name": "shm", "mountPath": "/dev/shm"} in container["volumeMounts"]


def pods():
    groups = (CLUSTER["headGroupSpec"], *GROUPS.values())
    return [group["template"]["spec"] for group in groups]


def test_the_cluster_ends_with_the_job_and_another_attempt_is_no_other_run():
    job = JOB["spec"]
    assert job["shutdownAfterJobFinishes"]
    assert job["backoffLimit"] == 0 < job["submitterConfig"]["backoffLimit"]
    assert job["activeDeadlineSeconds"] > 0


def test_versions_and_options_are_those_of_the_project():
    from typer.main import get_command

    from syndet_ray import __version__
    from syndet_ray.cli import app

    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    assert f"ray=={CLUSTER['rayVersion']}" in constraints
    assert CLUSTER["rayVersion"] == version("ray")
    images = {container["image"] for spec in pods() for container in spec["containers"]}
    assert images == {f"YOUR-REGISTRY/syndet-ray:{__version__}"}
    words = JOB["spec"]["entrypoint"].split()
    assert words[:5] == ["python", "-m", "syndet_ray", "sweep", "obstruction"]
    (example,) = re.findall(r"entrypoint: >-\n(.*?)```", GUIDE, re.DOTALL)
    sweep = get_command(app).commands["sweep"]
    flags = {flag for option in sweep.params for flag in option.opts}
    assert {word for word in (*words, *example.split()) if word.startswith("--")} <= flags


def test_the_report_is_fetched_from_where_a_run_is_copied_to():
    from syndet_ray.tracking.backup import COPY

    assert f"s3://YOUR-BUCKET/runs/RUN/{COPY}/report.html" in GUIDE


def test_the_image_has_ten_lines_and_the_projects_python():
    lines = re.search(r"( +FROM python.*?)\n +```", GUIDE, re.DOTALL)[1].splitlines()
    assert len(lines) <= 10
    assert f"python:{sys.version_info.major}.{sys.version_info.minor}" in lines[0]
    assert any("-c constraints.txt" in line for line in lines)

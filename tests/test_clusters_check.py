"""What would stop a cluster is named before a node costs money: this machine, the cloud, the store."""

import copy
import json
import re
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from packaging.specifiers import SpecifierSet

from syndet_ray.clusters import aws, here
from syndet_ray.clusters.check import (
    check_cluster,
    check_cluster_file,
    cluster_words,
    trial_errors,
    trial_resources,
)
from syndet_ray.clusters.description import read_cluster_file
from syndet_ray.clusters.quotas import quota_of
from syndet_ray.clusters.requirements import may_agree
from syndet_ray.errors import DefinitionError, MachineError
from syndet_ray.search.task import Resources

ROOT = Path(__file__).parents[1]
DOCUMENTED = (ROOT / "cluster.yaml").read_text(encoding="utf-8")
AWS_GUIDE = (ROOT / "docs" / "cluster_aws.md").read_text(encoding="utf-8")
IMAGE = "ami-0aee7b90d684e107d"
REGION = "us-east-1"
SETTINGS = {
    "AWS_ACCESS_KEY_ID": "a",
    "AWS_SECRET_ACCESS_KEY": "b",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/none",
    "AWS_SHARED_CREDENTIALS_FILE": "/none",
}
DENIED = {
    "Effect": "Deny",
    "Principal": "*",
    "Action": "s3:PutObject",
    "Resource": "arn:aws:s3:::theirs/*",
}


@pytest.fixture(scope="module")
def cloud():
    """An account with all that cluster.yaml needs. Yields the id of an image of 15 GB."""
    with pytest.MonkeyPatch.context() as environment, mock_aws():
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_REGION"):
            environment.delenv(name, raising=False)
        for name, value in SETTINGS.items():
            environment.setenv(name, value)
        iam, s3 = boto3.client("iam"), boto3.client("s3")
        for name in ("syndet-ray-head", "syndet-ray-worker", "roleless"):
            iam.create_instance_profile(InstanceProfileName=name)
            if name != "roleless":
                iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")
                iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
        for name in ("mine", "theirs"):
            s3.create_bucket(Bucket=name)
        policy = {"Version": "2012-10-17", "Statement": [DENIED]}
        s3.put_bucket_policy(Bucket="theirs", Policy=json.dumps(policy))
        answer = boto3.client("ec2").register_image(Name="ours", RootDeviceName="/dev/sda1")
        yield answer["ImageId"]


@pytest.fixture
def cluster(cloud, tmp_path, monkeypatch):
    """Reads cluster.yaml with changes, on a machine that has all that it needs."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("HOME", str(tmp_path))
    token = tmp_path / ".ray" / "auth_token"
    token.parent.mkdir()
    token.touch(mode=0o600)
    monkeypatch.setattr(here.shutil, "which", lambda program: program)

    def read(*changes):
        text = DOCUMENTED.replace(IMAGE, cloud).replace("YOUR-BUCKET", "mine")
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        file = tmp_path / "c.yaml"
        file.write_text(text, encoding="utf-8")
        return read_cluster_file(file)

    return read


@pytest.fixture(scope="module")
def account(cloud):
    return aws.Account(read_cluster_file(ROOT / "cluster.yaml"))


@pytest.fixture
def asked(cluster, account):
    """Returns what a check of the cloud finds for changes of the file, as texts."""

    def ask(check, *changes, **clients):
        changed = cluster(*changes)
        other = copy.copy(account)
        for name in ("machines", "_descriptions", "zone_states"):
            other.__dict__.pop(name, None)
        other._instance_types = aws._instance_types(changed)
        other._clients = account._clients | clients
        return list(map(str, aws._answer("what it asks for", partial(check, other, changed))))

    return ask


def silent_step(text):
    return nullcontext()


def problems(cluster, storage="s3://mine/runs"):
    with pytest.raises(MachineError) as error:
        check_cluster(cluster, storage, silent_step)
    return str(error.value)


def test_a_cluster_that_would_start_is_described(cluster):
    steps = []

    def step(text):
        steps.append(text)
        return nullcontext()

    assert check_cluster(cluster(), "s3://mine/runs", step) == []
    assert len(steps) == 2
    head, first, *_ = cluster_words(cluster())
    assert head == "syndet-ray (aws us-east-1): head m6i.large, at most 10 nodes besides"
    assert first == "gpu_spot_l4: 8 g6.2xlarge spot, 8 CPU, 1 GPU"


def test_all_problems_are_in_one_message(cluster, tmp_path):
    (tmp_path / ".ray" / "auth_token").chmod(0o644)
    broken = cluster(("Name: syndet-ray-head", "Name: nobody"), ("s3://mine", "s3://YOUR-BUCKET"))
    message = problems(broken, "s3://nothing/runs")
    assert message.startswith(f"{tmp_path}/c.yaml: cannot be started as it is, for 4 reasons:\n")
    for part in (
        "setup_commands still has YOUR-BUCKET. Write the name of your bucket.",
        f"other users can read it. chmod 600 {tmp_path}/.ray/auth_token",
        "c.yaml:27: head: the instance profile nobody does not exist. docs/cluster_aws.md has",
        "s3://nothing/runs: cannot be written (NoSuchBucket). Create the bucket",
    ):
        assert part in message


def test_mistakes_of_the_file_are_in_the_order_of_their_lines(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(here.shutil, "which", lambda program: None if program == "ssh" else program)
    broken = cluster(
        ("us-east-1b", "us-east-1z"), ("Name: syndet-ray-worker", "Name: nobody"),
        ("g5.2xlarge", "g55.2xlarge"), ("BUCKET=s3://mine", "BUCKET=s3://YOUR-BUCKET"),
        ("VolumeSize: 80", "VolumeSize: 10"),
    )  # fmt: skip
    places = re.findall(r"^  (\S[^:]*(?::\d+)?): ", problems(broken), re.MULTILINE)
    *of_file, last = places
    lines = [int(place.rpartition(":")[2]) for place in of_file]
    assert len(lines) > 4 and lines == sorted(lines)
    assert last == "this machine"


@pytest.mark.parametrize(
    ("storage", "count", "words"),
    [
        ("s3://gone-for-ever/runs", 1, "commands and `storage`"),
        ("s3://gone-for-ever", 1, "commands and `storage`"),
        ("s3://nothing/runs", 2, "commands"),
        ("s3://gone-for-ever/runs?endpoint_override=127.0.0.1:9", 2, "commands"),
    ],
)
def test_a_bucket_that_the_commands_and_the_storage_name_is_missing_once(
    storage, count, words, cluster
):
    message = problems(cluster(("BUCKET=s3://mine", "BUCKET=s3://gone-for-ever")), storage)
    assert message.count("Create the bucket") + message.count("(EndpointConn") == count
    assert f"the {words} name s3://gone-for-ever, which does not exist. Create" in message


def test_a_cluster_on_which_no_trial_could_train_is_refused(cluster):
    documented = cluster()
    for possible in (None, 0, 0.5, 1):
        assert trial_errors(documented, possible) == []
    (few,) = trial_errors(documented, 2)
    assert str(few).startswith("`gpus_per_trial`: no node of ")
    assert "has 2 GPUs, and as many cores, for a trial, got 2. Lower it" in str(few)
    alone = cluster(("max_workers: 8", "max_workers: 0"), ("max_workers: 2", "max_workers: 0"))
    (none,) = trial_errors(alone, None)
    assert "c.yaml: has no node with a core for a trial. Give workers" in str(none)
    coreless = cluster(('resources: {"CPU": 8, "GPU": 1}', 'resources: {"CPU": 0, "GPU": 1}'))
    (none,) = trial_errors(coreless, None)
    assert "c.yaml: has no node with a GPU and a core for a trial. Give workers" in str(none)
    uncounted = cluster(('resources: {"CPU": 8, "GPU": 1}', 'resources: {"CPU": 8}'))
    assert trial_errors(uncounted, 2) == [], "Ray asks AWS for the GPUs"


def test_trials_are_counted_on_the_nodes_of_the_file(cluster):
    documented = cluster()
    assert trial_resources(documented, None, None) == Resources(cpus=8, gpus=1, parallel=10)
    halves = trial_resources(documented, None, 0.5)
    assert (halves.cpus, halves.gpus, halves.parallel) == (4, 0.5, 20)
    assert trial_resources(documented, 3, None).parallel == 3
    assert trial_resources(documented, 100, None).parallel == 10, "the others only wait"
    uncounted = cluster(('resources: {"CPU": 8, "GPU": 1}', 'resources: {"CPU": 8}'))
    assert trial_resources(uncounted, None, None) is None


GOOGLE = """
cluster_name: c
max_workers: 0
provider: {type: gcp, region: us-west1, availability_zone: us-west1-a, project_id: p}
auth: {ssh_user: me}
head_start_ray_commands: [ray start --head --dashboard-host=127.0.0.1]
head_node_type: head
available_node_types:
  head:
    resources: {CPU: 8}
    node_config: {machineType: n1-standard-8, guestAccelerators: [{acceleratorCount: 1}]}
"""


def test_a_gpu_that_the_file_does_not_count_may_be_there(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(GOOGLE)
    assert trial_errors(read_cluster_file(file), 1) == []
    file.write_text(GOOGLE.replace("CPU: 8", "CPU: 8, GPU: 0"))
    assert len(trial_errors(read_cluster_file(file), 1)) == 1
    file.write_text(GOOGLE.replace("CPU: 8", "CPU: 0"))
    assert len(trial_errors(read_cluster_file(file), 1)) == 1


def test_a_cloud_that_is_not_asked_is_noted(tmp_path, monkeypatch):
    monkeypatch.setattr(here, "findings", lambda cluster: [])
    file = tmp_path / "c.yaml"
    file.write_text(GOOGLE)
    (note,) = check_cluster(read_cluster_file(file), None, silent_step)
    words = f"gcp is not asked: whether it has what {file} names shows only when nodes start"
    assert note == words


def test_mistakes_of_the_file_do_not_hide_those_of_the_bucket(cloud, tmp_path):
    file = tmp_path / "c.yaml"
    text = DOCUMENTED.replace("upscaling_speed", "upscaling_sped").replace('"GPU": 1', '"GPU": 0.5')
    file.write_text(text, encoding="utf-8")
    with pytest.raises(MachineError) as error:
        check_cluster_file(file, "s3://nothing/runs", silent_step)
    message = str(error.value)
    assert message.startswith(f"{file}: cannot be started as it is, for 5 reasons:\n")
    for part in ("got 'upscaling_sped'", "got 0.5", "s3://nothing/runs: cannot be written (NoSuch"):
        assert part in message
    with pytest.raises(DefinitionError, match=r"c\.yaml: has 4 mistakes:"):
        check_cluster_file(file, "s3://mine/runs", silent_step)


def test_missing_credentials_are_named_and_nothing_else_is_asked(cluster, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    message = problems(cluster())
    assert "AWS account: cannot be used (NoCredentialsError). Give this machine a role" in message
    assert "s3://mine/runs: cannot be written (NoCredentialsError)" in message
    assert message.startswith(f"{cluster().path}: cannot be started as it is, for 2 reasons")


def test_a_missing_profile_is_named(cluster, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    (finding,) = map(str, aws.findings(cluster()))
    assert finding.startswith("AWS account: cannot be used (ProfileNotFound). Give this machine a")


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ("s3://nothing/runs", "cannot be written (NoSuchBucket). Create the bucket, or correct"),
        ("s3://theirs/runs", "s3://theirs/runs: cannot be written (403). Let this mach"),
        ("gs://mine", "must be s3://bucket or s3://bucket/prefix"),
        (None, "`storage`: is needed: nodes that join cannot write checkpoints to a folder"),
    ],
)
def test_a_bucket_that_cannot_be_written_is_named(storage, message, cluster, monkeypatch):
    monkeypatch.setattr(aws, "findings", lambda cluster, storage: [])
    assert message in problems(cluster(), storage)


@pytest.mark.parametrize(
    ("check", "change", "message"),
    [
        (aws._zones, ("us-east-1b", "us-east-1z"), "must be a zone of us-east-1, got 'us-east-1z'"),
        (
            aws._images,
            ("ImageId: &image ami-", "ImageId: &image ami-0"),
            "gpu_on_demand, cpu_spot: must be an image in us-east-1 that this account may use",
        ),
        (
            aws._images,
            ("VolumeSize: 80", "VolumeSize: 10"),
            "head: disk /dev/sda1 must have 15 GB for its image, got 10",
        ),
        (
            aws._offers,
            ("g5.2xlarge", "g55.2xlarge"),
            "gpu_spot_a10g: g55.2xlarge is not offered in us-east-1. Take another instance type",
        ),
        (
            aws._sizes,
            ('{"CPU": 16}', '{"CPU": 32}'),
            "cpu_spot: c7i.4xlarge has 16 CPU, got 32. Write 16.",
        ),
        (
            aws._sizes,
            ("g6.2xlarge", "c7i.2xlarge"),
            "gpu_spot_l4: c7i.2xlarge has 0 GPU, got 1. Write 0.",
        ),
        (
            aws._sizes,
            ("c7i.4xlarge", "g5.4xlarge"),
            "cpu_spot: g5.4xlarge has a GPU that `resources` does not list: no trial will use it",
        ),
        (
            aws._profiles,
            ("Name: syndet-ray-worker", "Name: roleless"),
            "gpu_spot_l4: the instance profile roleless has no role",
        ),
        (
            aws._profiles,
            ("            IamInstanceProfile: {Name: syndet-ray-head}\n", ""),
            "the head gets a profile of Ray's, which may do anything with EC2 and S3",
        ),
    ],
)
def test_the_cloud_is_asked_for_each_part(check, change, message, asked):
    assert asked(check) == []
    assert message in "\n".join(asked(check, change))


def test_an_image_must_be_for_the_processor_of_its_nodes(asked, monkeypatch):
    client = boto3.client("ec2")
    answer = client.describe_images()
    for image in answer["Images"]:
        image["Architecture"] = "x86_64"  # which moto does not keep
    monkeypatch.setattr(client, "describe_images", lambda **_: answer)
    assert asked(aws._images, ec2=client) == []
    (error,) = asked(aws._images, ("c7i.4xlarge", "c7g.4xlarge"), ec2=client)
    assert "c7g.4xlarge needs an image for arm64, got 'x86_64'. Take another instance" in error


@pytest.mark.parametrize("zones", ["us-east-1z", "us-east-1a,us-east-1z"])
def test_no_offers_are_asked_of_zones_that_do_not_exist(zones, asked):
    change = ("us-east-1a,us-east-1b,us-east-1c", zones)
    (error,) = asked(aws._zones, change)
    assert "must be a zone of us-east-1, got 'us-east-1z'" in error
    assert asked(aws._offers, change) == []


@pytest.mark.parametrize(
    ("check", "change", "message"),
    [
        (
            aws._buckets,
            ("BUCKET=s3://mine", "BUCKET=s3://gone-for-ever"),
            "the commands name s3://gone-for-ever, which does not exist. Create the bucket, or",
        ),
        (
            aws._head_role,
            ("cluster_name: syndet-ray ", "cluster_name: chess "),
            "the role syndet-ray-head lets the head start workers of syndet-ray alone, got 'chess'",
        ),
    ],
)
def test_the_cloud_is_asked_for_what_the_commands_and_the_head_use(check, change, message, asked):
    iam = boto3.client("iam")
    (head, _) = map(json.loads, re.findall(r"```json\n(.*?)```", AWS_GUIDE, re.DOTALL))
    policy = json.dumps(head).replace("ACCOUNT", "123456789012")
    iam.put_role_policy(RoleName="syndet-ray-head", PolicyName="p", PolicyDocument=policy)
    try:
        assert asked(check) == []
        (error,) = asked(check, change)
        assert message in error and "c.yaml:" in error
    finally:
        iam.delete_role_policy(RoleName="syndet-ray-head", PolicyName="p")


def test_a_role_with_other_policies_may_start_any_cluster(asked):
    assert asked(aws._head_role, ("cluster_name: syndet-ray ", "cluster_name: chess ")) == []


@pytest.mark.parametrize("bucket", ["theirs", "mine/x", "$BUCKET", "gone-$USER"])
def test_buckets_that_exist_or_are_not_known_pass(bucket, asked):
    assert asked(aws._buckets, ("BUCKET=s3://mine", f"BUCKET=s3://{bucket}")) == []


def test_buckets_of_another_store_are_not_asked_for(asked):
    there = "AWS_ENDPOINT_URL=http://10.0.0.1 BUCKET=s3://gone-for-ever"
    assert asked(aws._buckets, ("BUCKET=s3://mine", there)) == []


class Refusing:
    """A client of AWS that refuses every call."""

    def __init__(self, code, **answers):
        self._code, self._answers = code, answers
        self.exceptions = type("E", (), {"NoSuchResourceException": KeyError})

    def __getattr__(self, name):
        def call(**arguments):
            if name in self._answers:
                return self._answers[name]
            raise ClientError({"Error": {"Code": self._code, "Message": "no"}}, name)

        return call


def test_what_may_not_be_asked_is_a_note_and_what_may_not_be_done_an_error(asked):
    refusing = Refusing("UnauthorizedOperation")
    (note,) = asked(aws._zones, ec2=refusing)
    assert note == "what it asks for could not be looked up: these credentials may not ask for them"
    (error,) = asked(aws._rights, ec2=refusing)
    assert "these credentials may not start the head, or not give it its profile" in error
    assert asked(aws._rights, ec2=Refusing("DryRunOperation")) == []
    assert asked(aws._rights) == []
    (error,) = asked(aws._zones, ec2=Refusing("RequestExpired"))
    assert error.startswith("AWS: what it asks for cannot be looked up (RequestExpired).")


def test_to_ask_for_rights_starts_nothing_whatever_the_file_says(asked):
    assert (
        asked(
            aws._rights,
            ("InstanceType: m6i.large", "InstanceType: m6i.large\n            DryRun: false"),
        )
        == []
    )
    assert boto3.client("ec2").describe_instances()["Reservations"] == []


@pytest.mark.parametrize(("limit", "count"), [(4, 3), (16, 3), (64, 0)])
def test_a_quota_must_let_one_node_start(limit, count, asked):
    answer = {"Quota": {"Value": float(limit)}}
    client = Refusing("", get_service_quota=answer)
    gpus = [text for text in asked(aws._quotas, **{"service-quotas": client}) if "gpu" in text]
    assert len(gpus) == count
    if limit == 4:
        words = "g6.2xlarge has 8 cores, and the quota 'All G and VT Spot Instance Requests' is 4"
        assert words in gpus[0]
    elif limit == 16:
        assert gpus[0].endswith("is 16 cores, 2 nodes of 8")


def test_each_type_has_its_own_quota(cluster):
    codes = {kind.name: quota_of(kind).code for kind in cluster().node_types.values()}
    assert codes["gpu_spot_l4"] == codes["gpu_spot_a10g"] != codes["gpu_on_demand"]
    assert codes["head"] != codes["cpu_spot"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ('"~/syndet_ray": "."', '"~/syndet_ray": "gone"'),
            "copies gone, which does not exist here",
        ),
        (
            ('"~/syndet_ray": "."', '"~/syndet_ray": "docs"'),
            "the nodes get no such file (docs/cons",
        ),
        (
            ("ssh_user: ubuntu", "ssh_user: ubuntu\n    ssh_private_key: ~/gone.pem"),
            "ssh_private_key must be a file of this machine, got '~/gone.pem'. Correct the path",
        ),
        (
            ('"ray[default]"', '"ray[default]==2.1.0"'),
            "and the nodes get 2.1.0. Install ray==2.1.0 here, or change the version at ",
        ),
        (
            ('"ray[default]"', '"ray[default]>=2.9,<2.10"'),
            "and the nodes get <2.10,>=2.9. Install ray<2.10,>=2.9 here, or change the version at ",
        ),
        (
            ('"ray[default]"', '"ray[default]" torch==2.0.0'),
            "installs torch==2.0.0, but constraints.txt has torch==",
        ),
        (
            ("AWS_DEFAULT_REGION=us-east-1", "AWS_DEFAULT_REGION=us-west-2"),
            "AWS_DEFAULT_REGION is us-west-2, and the nodes are in us-east-1",
        ),
        (
            (" -c ~/syndet_ray/constraints.txt", ""),
            "pins no version of Ray, and all nodes need",
        ),
        (("--python 3.11", "--python 3.9"), "nodes must get Python 3.11 or newer, got '3.9'"),
        (("--python 3.11", "--python 3.99"), "nodes get Python 3.99, and this machine has 3."),
    ],
)
def test_this_machine_must_have_what_it_copies_to_the_nodes(change, message, cluster):
    assert list(here.findings(cluster())) == []
    assert message in "\n".join(map(str, here.findings(cluster(change))))


def test_packages_that_the_commands_do_not_name_are_noted(cluster):
    score = "RAY_AUTOSCALER_UTILIZATION_SCORER=syndet_ray.clusters.spot_first.score"
    (note,) = here.findings(cluster(("-e ~/syndet_ray", "optuna"), (score, "")))
    assert "installs Ray, but no command names the packages of syndet_ray, such as torch" in note
    assert list(here.findings(cluster(("-e ~/syndet_ray", "optuna torch"), (score, "")))) == []


SPOT = "InstanceMarketOptions: {MarketType: spot}"
WORKER_PROFILE = "            IamInstanceProfile: {Name: syndet-ray-worker}\n"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("-e ~/syndet_ray", "-e ~/syndet"),
            ": neither file_mounts nor a command brings ~/syndet to the nodes",
        ),
        (
            ("BUCKET=s3://mine", "BUCKET=mine"),
            ": BUCKET is mine, without s3://: MLflow would keep its artifacts in a folder of the he",
        ),
        (
            ("RAY_AUTH_MODE=token", "RAY_AUTH_MODE=disabled"),
            ": RAY_AUTH_MODE=disabled makes Ray ask for no token, although the nodes have one",
        ),
        (
            ("InstanceType: m6i.large", f"InstanceType: m6i.large\n            {SPOT}"),
            ": the head is a spot instance: when it is taken away, runs stop, and what is on its",
        ),
        (
            ("ray start --head", "~/bin/head_up"),
            ": no command of the head is `ray start --head`, nor a script or service that may start ",
        ),
        (
            (WORKER_PROFILE, ""),
            ": gpu_spot_l4, gpu_spot_a10g, gpu_on_demand, cpu_spot without IamInstanceProfile: such",
        ),
    ],
)
def test_what_is_probably_a_mistake_is_noted(change, message, cluster):
    (note,) = here.findings(cluster(change))
    assert re.search(r"/c\.yaml:\d+" + re.escape(message), note)


@pytest.mark.parametrize(
    "changes",
    [
        [("- ray stop", "- git clone https://x/code.git"), ("-e ~/syndet_ray", "-e ~/code")],
        [("-e ~/syndet_ray", "-e $HOME/syndet_ray/packages[all] -e ./here -e /opt/there")],
        [("- ray stop", "- mkdir -p ~/code"), ("-e ~/syndet_ray", "-e ~/code")],
        [("BUCKET=s3://mine", "BUCKET=/mnt/shared")],
        [("ray start --head", "sudo systemctl start ray-head")],
        [("BUCKET=s3://mine", "BUCKET=mine"), ("$BUCKET/mlflow", "s3://$BUCKET/mlflow")],
        [(WORKER_PROFILE, ""), ('"~/syndet_ray": "."', '"~/syndet_ray": ".", "~/.aws": "."')],
        [(WORKER_PROFILE, ""), ("BUCKET=s3", "AWS_ENDPOINT_URL=http://10.0.0.1 BUCKET=s3")],
    ],
)
def test_what_may_be_meant_is_not_noted(changes, cluster):
    assert list(here.findings(cluster(*changes))) == []


def test_commands_that_install_nothing_are_noted(cluster):
    score = "RAY_AUTOSCALER_UTILIZATION_SCORER=syndet_ray.clusters.spot_first.score"
    no_pip, no_uv = ("-m pip install", "-m pip list"), ("uv pip install", "uv pip list")
    (note,) = here.findings(cluster(no_pip, no_uv, (score, "")))
    assert "has no command that installs a package: the image of the nodes must have Ray" in note


def test_what_this_machine_has_passes(cluster, tmp_path):
    import ray

    (tmp_path / "key.pem").touch()
    major, minor, _ = ray.__version__.split(".")
    named = cluster(
        ("ssh_user: ubuntu", "ssh_user: ubuntu\n    ssh_private_key: ~/key.pem"),
        ('"ray[default]"', f'"ray[default]=={major}.{minor}.*" xray==1.0 "ray>=2"'),
    )
    assert list(here.findings(named)) == []


@pytest.mark.parametrize(
    ("first", "second", "agree"),
    [
        ("==2.0.0", "==2.1.0", False),
        ("==2.0.0", ">=2.1", False),
        ("==2.0.*", "==2.1.0", False),
        ("==2.0.0+cpu", "==2.0.0", True),
        (">=2.0", "==2.1.0", True),
        ("==2.0", "==2.0.0", True),
        (">=2.0", "<1.0", True),
        ("", "==2.1.0rc1", True),
    ],
)
def test_versions_agree_if_pip_may_choose_one(first, second, agree):
    sets = SpecifierSet(first), SpecifierSet(second)
    assert may_agree(*sets) == may_agree(*reversed(sets)) == agree


def test_the_line_of_a_command_is_that_of_its_wrong_part(cluster):
    lines = DOCUMENTED.splitlines()
    (bucket,) = [line for line, text in enumerate(lines, 1) if "BUCKET=s3://YOUR-BUCKET" in text]
    (error,) = here.findings(cluster(("s3://mine", "s3://YOUR-BUCKET")))
    assert error.place.endswith(f"c.yaml:{bucket}")


def test_the_token_and_the_programs_must_be_here(cluster, tmp_path, monkeypatch):
    (tmp_path / ".ray" / "auth_token").unlink()
    monkeypatch.setattr(here.shutil, "which", lambda program: None)
    ssh, rsync, token = map(str, here.findings(cluster()))
    assert ssh == "this machine: has no ssh, with which Ray reaches the nodes. Install it."
    assert "rsync" in rsync
    assert token.endswith("Make it: (umask 077; ray get-auth-token --generate > /dev/null)")


def test_nodes_without_a_token_are_noted(cluster):
    open_to_all = cluster(
        (', "~/.ray/auth_token": "~/.ray/auth_token"', ""), ("RAY_AUTH_MODE=token ", "")
    )
    (note,) = here.findings(open_to_all)
    assert "gives the nodes no token: any program that reaches the head's ports may run" in note


def test_another_version_of_ray_is_named(cluster, monkeypatch):
    import ray

    monkeypatch.setattr(ray, "__version__", "2.1.0")
    (error,) = map(str, here.findings(cluster()))
    assert error.startswith("this machine: has Ray 2.1.0, and the nodes get 2.")


def test_the_python_of_the_nodes_is_the_one_that_tests_run_with():
    assert f"--python {sys.version_info.major}.{sys.version_info.minor}" in DOCUMENTED


def test_the_command_line_names_the_file_and_the_options(syndet_here, tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("max_workers: [1\n", encoding="utf-8")
    done = syndet_here("check", "smoke", "--cluster", file)
    assert (done.returncode, f"{file}, line 2: is not valid YAML" in done.stderr) == (1, True)
    done = syndet_here("check", "smoke", "--cluster", file, "--address", "auto")
    rule = "--cluster: says where to run, and so cannot be combined with --address."
    assert f"{rule} Leave --address out." in done.stderr

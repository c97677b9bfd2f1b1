"""A file for `ray up` is read, and each mistake in it is named before a cloud is asked."""

from pathlib import Path

import pytest
import yaml

from syndet_ray.clusters import ec2
from syndet_ray.clusters.description import read_cluster_file
from syndet_ray.errors import DataError, DefinitionError

ROOT = Path(__file__).parents[1]
DOCUMENTED = (ROOT / "cluster.yaml").read_text(encoding="utf-8")
LOCAL = """
cluster_name: mine
provider: {type: local, head_ip: 127.0.0.1, worker_ips: [127.0.0.2]}
auth: {ssh_user: me}
"""


@pytest.fixture
def refused(tmp_path):
    """Returns the message with which a file of a text is refused, without its folder."""

    def read(text: str) -> str:
        file = tmp_path / "c.yaml"
        file.write_text(text, encoding="utf-8")
        with pytest.raises((DataError, DefinitionError)) as error:
            read_cluster_file(file)
        return str(error.value).replace(f"{tmp_path}/", "")

    return read


def changed(old: str, new: str) -> str:
    assert old in DOCUMENTED
    return DOCUMENTED.replace(old, new, 1)


def line_of(text: str, part: str) -> int:
    return 1 + text[: text.index(part)].count("\n")


def test_the_documented_cluster_is_read_as_it_is_meant():
    cluster = read_cluster_file(ROOT / "cluster.yaml")
    assert (cluster.cluster_name, cluster.provider, cluster.region) == (
        "syndet-ray",
        "aws",
        "us-east-1",
    )
    assert cluster.zones == ("us-east-1a", "us-east-1b", "us-east-1c")
    assert cluster.has_token
    assert not cluster.head.is_spot
    assert cluster.head.name not in [kind.name for kind in cluster.workers]
    assert cluster.growth.most == cluster.prepared["max_workers"]


def test_a_broken_profile_of_this_machine_is_no_mistake_of_the_file(tmp_path, monkeypatch):
    (tmp_path / "config").write_text("[default")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "nope")
    for reading in (ec2._regions, ec2._shape_of_a_launch):
        reading.cache_clear()
    assert read_cluster_file(ROOT / "cluster.yaml").region == "us-east-1"


def test_machines_that_exist_already_count_their_resources_themselves(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(LOCAL, encoding="utf-8")
    cluster = read_cluster_file(file)
    assert (cluster.provider, cluster.region) == ("local", None)
    assert not cluster.growth.is_known
    assert not cluster.has_token


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "upscaling_speed",
            "upscaling_sped",
            "has an unknown key, got 'upscaling_sped'. Did you mean 'upscaling_speed'?",
        ),
        (
            '"GPU": 1',
            '"GPU": 0.5',
            "must be a whole number, because Ray starts whole nodes, got 0.5. "
            "Write a whole number; trials share a GPU with `gpus_per_trial`.",
        ),
        ("head_node_type: head", "head_node_type: haed", "got 'haed'. Did you mean 'head'?"),
        ("InstanceType", "InstanceTyp", "lacks InstanceType"),
        ("VolumeType", "VolumeTyp", "got 'VolumeTyp'. Did you mean 'VolumeType'?"),
        ("us-east-1b", "us-west-2b", "must be of the region us-east-1, got 'us-west-2b'"),
        ("idle_timeout_minutes: 5", "idle_timeout_minutes: soon", "must be of type number"),
        (
            "--dashboard-host=127.0.0.1",
            "--dashboard-host 0.0.0.0",
            "shows the dashboard, which runs any program, to other machines, got '0.0.0.0'",
        ),
        (
            "--host 127.0.0.1 --port 5000",
            "--host 0.0.0.0 --port 5000",
            "shows MLflow, which lets anyone change its runs, to other machines, got '0.0.0.0'",
        ),
        (
            "--host 127.0.0.1 --port 5000",
            "--registry-store-uri 'postgresql://h/db?a=1&b=2' 2>&1 --host 0.0.0.0",
            "shows MLflow, which lets anyone change its runs, to other machines, got '0.0.0.0'",
        ),
        (
            "RAY_AUTH_MODE=token",
            "RAY_AUTH_MODE=token RAY_AUTH_TOKEN=0123",
            "holds a secret, the value of RAY_AUTH_TOKEN",
        ),
        (
            '"~/.ray/auth_token": ',
            '"~/token": ',
            "no node would have the token, and none would start",
        ),
        ("type: aws", "type: awz", "Unsupported node provider: awz"),
    ],
)
def test_a_mistake_is_named_with_its_line(old, new, message, refused):
    text = changed(old, new)
    assert message in refused(text)
    assert "c.yaml:" in refused(text)


@pytest.mark.parametrize(
    "server",
    [
        "mlflow server --app-name basic-auth --host 0.0.0.0",
        "mlflow ui --host $MLFLOW_HOST",
        "mlflow server",
        "python serve.py --host 0.0.0.0",
    ],
)
def test_servers_that_ask_for_passwords_or_are_not_known_to_be_open_pass(server, tmp_path):
    content = yaml.safe_load(DOCUMENTED)
    content["head_start_ray_commands"][-1] = server
    file = tmp_path / "c.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert read_cluster_file(file).prepared["head_start_ray_commands"][-1] == server


def test_the_line_is_that_of_the_mistake(refused):
    text = changed("max_workers", "max_wrkers")
    assert refused(text).startswith(f"c.yaml:{line_of(text, 'max_wrkers')}: has an unknown key")
    text = changed("        resources: {", "        labels: {}\n        resorces: {")
    assert f"c.yaml:{line_of(text, 'resorces')}: available_node_types.head has an" in refused(text)
    assert "available_node_types.head lacks resources. Add it." in refused(text)


def test_a_wrong_region_is_named_and_not_each_of_its_zones(refused):
    text = changed("region: us-east-1", "region: us-east1")
    message = refused(text)
    where = f"c.yaml:{line_of(text, 'region: us-east1')}: provider.region"
    assert message.startswith(f"{where} must be a region of AWS, got 'us-east1'. Did you mean 'us-")
    assert "'us-east-1'?" in message and "zone" not in message


def test_a_key_that_is_given_twice_is_refused(refused):
    text = changed("idle_timeout_minutes: 5", "idle_timeout_minutes: 5\nmax_workers: 3")
    first, second = line_of(text, "max_workers: 10"), line_of(text, "max_workers: 3")
    rule = f"max_workers is given already in line {first}. Take one out."
    assert refused(text) == f"c.yaml:{second}: {rule}"
    inner = changed("priority: 2", "priority: 2\n        priority: 1")
    assert "priority is given already in line" in refused(inner)
    on_one_line = changed('{"CPU": 16}', '{"CPU": 16, "CPU": 8}')
    assert "CPU is given already in line" in refused(on_one_line)


def test_mappings_that_are_merged_and_named_again_are_given_once(tmp_path):
    merged = changed(
        'resources: {"CPU": 16}',
        '<<: &a {priority: 3}\n        <<: *a\n        priority: 5\n        resources: {"CPU": 16}',
    )
    file = tmp_path / "c.yaml"
    file.write_text(merged, encoding="utf-8")
    assert read_cluster_file(file).node_types["cpu_spot"].priority == 5


def test_a_region_of_programs_on_the_nodes_must_exist(refused):
    text = changed("AWS_DEFAULT_REGION=us-east-1", "AWS_DEFAULT_REGION=us-esat-1")
    message = (
        "AWS_DEFAULT_REGION must be a region of AWS, got 'us-esat-1'. Did you mean 'us-east-1'?"
    )
    assert refused(text) == f"c.yaml:{line_of(text, 'us-esat-1')}: {message}"


@pytest.mark.parametrize(
    "setting",
    ["AWS_DEFAULT_REGION=auto", "AWS_ENDPOINT_URL=http://x AWS_REGION=nyc3", "AWS_REGION=$R"],
)
def test_a_region_of_another_store_or_of_a_variable_passes(setting, tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(changed("AWS_DEFAULT_REGION=us-east-1", setting), encoding="utf-8")
    cluster = read_cluster_file(file)
    assert setting in str(cluster.prepared["setup_commands"])
    assert cluster.region == "us-east-1", "of the nodes, whatever their programs use"


def test_a_region_with_two_letters_swapped_is_completed(refused):
    text = changed("region: us-east-1", "region: us-esat-1")
    assert refused(text).endswith("got 'us-esat-1'. Did you mean 'us-east-1'?")
    zones = "    availability_zone: us-east-1a,us-east-1b,us-east-1c\n"
    assert refused(text.replace(zones, "")).endswith("Did you mean 'us-east-1'?")
    text = changed("region: us-east-1", "region: europe")
    assert refused(text).endswith("Did you mean 'us-east-1'?"), "the region of its zones"


def test_another_region_than_that_of_the_zones_is_one_mistake(refused):
    message = refused(changed("region: us-east-1", "region: us-west-2"))
    assert message.endswith(
        "provider.availability_zone must be of the region us-west-2, "
        "got 'us-east-1a,us-east-1b,us-east-1c'. Zones of it read us-west-2a, us-west-2b."
    )
    assert "mistakes" not in message


def test_all_mistakes_come_at_once_in_the_order_of_the_file(refused):
    text = changed("us-east-1b", "us-west-2b").replace("VolumeType", "VolumeTyp")
    message = refused(text.replace("head_node_type: head", "head_node_type: haed"))
    lines = [int(line.split(":")[1]) for line in message.splitlines()[1:]]
    assert len(lines) >= 5
    assert lines == sorted(lines)


def test_mistakes_are_counted_as_they_are_shown(refused):
    text = "w: {}\n" + DOCUMENTED.replace(
        "available_node_types:", "available_node_types:\n    w: {}"
    )
    count, *lines = refused(text).splitlines()
    assert f"has {len(lines)} mistakes:" in count and len(set(lines)) == len(lines)


def test_whole_numbers_may_be_written_with_a_point(tmp_path):
    file = tmp_path / "c.yaml"
    text = changed('"CPU": 8', '"CPU": 8.0').replace("max_workers: 8", "max_workers: 8.0")
    file.write_text(text, encoding="utf-8")
    kind = read_cluster_file(file).node_types["gpu_spot_l4"]
    assert str((kind.max_workers, kind.resources["CPU"])) == "(8, 8)"


def test_mistakes_by_the_schema_hide_no_others(refused):
    text = changed("upscaling_speed", "upscaling_sped").replace("VolumeType", "VolumeTyp", 1)
    text = text.replace("--dashboard-host=127.0.0.1", "--dashboard-host=0.0.0.0")
    text = text.replace('"GPU": 1', '"GPU": 0.5', 1).replace("us-east-1b", "us-west-2b")
    message = refused(text)
    for part in ("'upscaling_sped'", "'VolumeTyp'", "shows the dashboard", "got 0.5", "us-west-2b"):
        assert part in message
    assert message.startswith("c.yaml: has 5 mistakes:")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("region: us-east-1", "region: 5"),
        ("node_config:", "node_config: 5\n        x:"),
        ("    head:  #", "    5: 6\n    other: 7\n    head:  #"),
        ("setup_commands:\n", "setup_commands: a\nx:\n"),
        ("file_mounts: {", "file_mounts: []\nx: {"),
        ("available_node_types:", "available_node_types: 5\nx:"),
        ("    type: aws", "    type: 5"),
    ],
)
def test_other_rules_are_applied_to_what_has_the_right_type(old, new, refused):
    text = changed(old, new).replace("--dashboard-host=127.0.0.1", "--dashboard-host=0.0.0.0")
    message = refused(text)
    assert "shows the dashboard" in message
    assert "must be of type" in message


def test_limits_of_nodes_must_agree(refused):
    content = yaml.safe_load(DOCUMENTED)
    kinds = content["available_node_types"]
    name = next(name for name in kinds if name != "head")
    kinds[name] |= {"min_workers": 30, "max_workers": 20}
    message = refused(yaml.safe_dump(content))
    assert f"available_node_types.{name}.min_workers must be at most max_workers, 20" in message
    assert "the sum of min_workers of all types, got" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1,\nb: 2\n", "c.yaml, line 3: is not valid YAML"),
        ("- a\n", "c.yaml: does not describe a cluster"),
        ("", "c.yaml: does not describe a cluster"),
        (
            DOCUMENTED + "\nx: &a [echo, {b: *a}]\n",
            "Write out what is meant in place of the alias.",
        ),
        ("cluster_name: a\n", "c.yaml: does not describe a cluster"),
        (LOCAL.replace(", worker_ips: [127.0.0.2]", ""), "Please supply a `head_ip`"),
        ("provider: {type: aws}\n", "provider lacks region"),
        ("cluster_name: a\nprovider: {type: aws}\nsetup_commands: a\n", "must be of type array"),
        ("provider: {type: aws}\navailable_node_types: {}\n", "head_node_type must be one of"),
        ("provider: {type: aws}\navailable_node_types: {1: 2}\n", "must have text as keys, got 1"),
    ],
)
def test_what_is_no_description_is_refused(text, message, refused):
    assert message in refused(text)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="is a folder"):
        read_cluster_file(tmp_path)
    with pytest.raises(DataError, match=r"gone\.yaml: does not exist\. Name a file for `ray up`"):
        read_cluster_file(tmp_path / "gone.yaml")


def test_default_commands_of_ray_would_show_the_dashboard(refused):
    content = yaml.safe_load(DOCUMENTED)
    del content["head_start_ray_commands"]
    assert refused(yaml.safe_dump(content)) == (
        "c.yaml: lacks head_start_ray_commands, and Ray's own shows the dashboard, which runs any "
        "program, to other machines (--dashboard-host=0.0.0.0). Write it with "
        "--dashboard-host=127.0.0.1, as in the cluster.yaml of this project."
    )


def test_default_commands_of_ray_do_not_install_this_package(refused):
    content = yaml.safe_load(DOCUMENTED)
    del content["setup_commands"]
    message = refused(yaml.safe_dump(content))
    assert "names a function of syndet_ray, which no command installs. Add `-e" in message

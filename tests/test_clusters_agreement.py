"""Commands of a file for `ray up` that contradict each other are refused, and others are not."""

from pathlib import Path

import pytest
import yaml

from syndet_ray.clusters import agreement
from syndet_ray.clusters.agreement import agreement_errors, lacks_package
from syndet_ray.clusters.commands import (
    option_values,
    packages,
    simple_commands,
    variables,
)
from syndet_ray.clusters.description import read_cluster_file
from syndet_ray.clusters.lines import Lines
from syndet_ray.clusters.ray_commands import may_start_head

ROOT = Path(__file__).parents[1]
DOCUMENTED = (ROOT / "cluster.yaml").read_text(encoding="utf-8")
SCORER = "syndet_ray.clusters.spot_first.score"
SETTING = f"RAY_AUTOSCALER_UTILIZATION_SCORER={SCORER}"
INSTALL = '-e ~/syndet_ray "ray[default]"'
# of a project that only uses Ray
OTHER = """
cluster_name: theirs
max_workers: 2
provider: {type: gcp, region: us-west1, availability_zone: us-west1-a, project_id: p}
auth: {ssh_user: me}
head_node_type: head
available_node_types:
  head: {resources: {CPU: 8}, node_config: {machineType: n1-standard-8}}
docker: {image: "rayproject/ray:2.9.0", container_name: ray, run_options: ["-e A=b"]}
setup_commands:
  - pip install -U "ray[default] @ https://x/ray-3.0.0-cp311.whl" && pip install numpy==1.0
  - pip install dist/theirs-0.1-py3-none-any.whl -r ~/requirements.txt > ~/log
  - echo 'export AWS_REGION="$REGION" BUCKET=s3://theirs-$USER TOKEN_FILE=/x' >> ~/.bashrc
head_start_ray_commands:
  - ray stop; ray start --head --port $PORT --dashboard-host 127.0.0.1 || true
  - tensorboard --port 6006 --bind_all & mlflow server --port 5000
worker_start_ray_commands:
  - |
    ray start \\
      --address="${RAY_HEAD_IP}:6380" --object-manager-port=8076
"""


@pytest.fixture
def refused(tmp_path):
    """Returns the only error on a text, without its folder; "" for none."""

    def read(text):
        file = tmp_path / "c.yaml"
        file.write_text(text, encoding="utf-8")
        errors = [str(error) for error in agreement_errors(yaml.safe_load(text), Lines(file))]
        assert len(errors) <= 1
        return "".join(errors).replace(f"{tmp_path}/", "")

    return read


def changed(*changes):
    text = DOCUMENTED
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


def line_of(text, part):
    return 1 + text[: text.index(part)].count("\n")


def test_the_documented_file_and_that_of_another_project_pass(refused, tmp_path):
    assert refused(DOCUMENTED) == refused(OTHER) == ""
    assert not lacks_package(yaml.safe_load(DOCUMENTED))
    file = tmp_path / "theirs.yaml"
    file.write_text(OTHER, encoding="utf-8")
    assert read_cluster_file(file).provider == "gcp"


def test_workers_must_join_the_port_of_the_head(refused):
    text = changed(("$RAY_HEAD_IP:6379", "$RAY_HEAD_IP:6380"))
    assert refused(text) == (
        f"c.yaml:{line_of(text, ':6380')}: worker_start_ray_commands must join the head at port "
        "6379, at which it listens, got 6380. Write 6379."
    )
    assert "at port 7000, at" in refused(changed(("--head --port=6379", "--head --port 7000")))
    assert "at port 6379, at" in refused(text.replace("--head --port=6379", "--head"))
    both = text.replace("--head --port=6379", "--head --port=6380")
    assert refused(both) == ""
    other = "curl http://$RAY_HEAD_IP:8265/ || true; ray start --address=$RAY_HEAD_IP:6379"
    assert refused(text.replace("ray start --address=$RAY_HEAD_IP:6380", other)) == ""
    for unknown in ("--head --port=$PORT", "--head --port=0"):
        assert refused(text.replace("--head --port=6379", unknown)) == ""


START = "ray start --head --port=6379 --object"


@pytest.mark.parametrize(
    "start",
    [
        "ray start --port=6379 --object",
        "ray start --port $PORT --object",
        "~/venv/bin/ray --log-style=pretty start --object",
    ],
)
def test_a_head_that_would_start_as_a_worker_is_refused(start, refused):
    text = changed((START, start))
    assert refused(text) == (
        f"c.yaml:{line_of(text, start)}: head_start_ray_commands must start the head, which --head does. "
        "Add --head to this `ray start`."
    )


@pytest.mark.parametrize(
    "start", ["", "ray stop", "~/venv/bin/mlflow server", "supervisorctl start x", "~/bin/head_up"]
)
def test_a_head_on_which_nothing_seems_to_start_ray_is_no_mistake(start, refused):
    text = changed((START, f"{start} --object" if start else "--object"))
    assert refused(text) == ""
    assert not may_start_head(yaml.safe_load(text))


def test_commands_before_the_last_ones_may_start_the_head(refused):
    content = yaml.safe_load(OTHER)
    (start,) = [text for text in content["head_start_ray_commands"] if "ray start" in text]
    content["head_start_ray_commands"] = []
    assert not may_start_head(content)
    assert refused(yaml.safe_dump(content)) == ""
    assert may_start_head(content | {"head_setup_commands": [start]})
    assert not may_start_head(content | {"worker_setup_commands": [start]})


@pytest.mark.parametrize(
    "start",
    [
        "python3 -m ray.scripts.scripts start --head --object",
        "ray --log-style=pretty start --block --head --object",
        "ray start $OPTIONS --object",
        "ray start --port=6379 $MORE --object",
        "ray start --head --autoscaling-config=x || echo ray start failed; true --object",
        "bash ~/start_head.sh --object",
        "sudo systemctl start ray-head --object",
        "docker run --rm ours --object",
        "exec $START_HEAD --object",
        "~/bin/start-head --object",
        "python3 head.py --object",
    ],
)
def test_other_ways_to_start_a_head_pass(start, refused):
    text = changed((START, start))
    assert refused(text) == ""
    assert may_start_head(yaml.safe_load(text))


AUTOSCALING = "--autoscaling-config=~/ray_bootstrap_config.yaml"
ADDRESS = "--address=$RAY_HEAD_IP:6379"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            f"ray start {ADDRESS}",
            f"ray strat {ADDRESS}",
            "worker_start_ray_commands names a command that Ray does not have, got 'ray strat'. "
            "Did you mean 'start'?",
        ),
        (START, START.replace("start", "strat"), "got 'ray strat'. Did you mean 'start'?"),
        (
            "8076 --disable-usage-stats\n        --auto",
            "8076 --disable-usage-stat\n        --auto",
            "`ray start` has no such option, got '--disable-usage-stat'. "
            "Did you mean '--disable-usage-stats'?",
        ),
        (START, START.replace("--head", "--heda"), "'--heda'. Did you mean '--head'?"),
        (
            AUTOSCALING,
            "",
            "head_start_ray_commands must say which nodes the head may start: it would start no "
            f"worker. Add {AUTOSCALING} to this `ray start`.",
        ),
        (
            ADDRESS,
            "",
            "worker_start_ray_commands must join the head, and this `ray start` names no head. "
            f"Write {ADDRESS}, with the port of the head.",
        ),
        (ADDRESS, "--address=10.0.0.1:6379", "of this cluster, got '10.0.0.1:6379'. Write --addr"),
        (ADDRESS, "--address localhost:6379", "head of this cluster, got 'localhost:6379'. Write"),
    ],
)
def test_nodes_that_would_not_start_or_not_join_are_refused(old, new, message, refused):
    text = changed((old, new))
    assert message in refused(text)
    assert refused(text).startswith("c.yaml:") and refused(text)[7].isdecimal()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (AUTOSCALING, "$OPTIONS"),
        (AUTOSCALING, "--node-ip-address=$(hostname -I | cut -d' ' -f1) --also=1"),
        (ADDRESS, "$JOIN"),
        (ADDRESS, '--address="${HEAD}:6379"'),
        (ADDRESS, "--address=head.internal:6379"),
        (ADDRESS, f"{ADDRESS} > ~/log 2>&1 || echo ray start failed # isn't --good"),
        (ADDRESS, f"{ADDRESS} -v --block --labels='a=b' --resources '{{\"x\": 1}}'"),
        (f"ray start {ADDRESS}", f"(ray start {ADDRESS} --block) && ray start {ADDRESS}"),
        (f"ray start {ADDRESS}", f"ray --logging-level debug start {ADDRESS}"),
        (f"ray start {ADDRESS}", f"pip show ray torch; ray start {ADDRESS}"),
        (f"ray start {ADDRESS}", f"ray $WORD; cd ray here; ray start {ADDRESS}"),
    ],
)
def test_what_the_shell_puts_in_and_around_a_start_passes(old, new, refused):
    assert refused(changed((old, new))) == ""


@pytest.mark.parametrize(
    "sudo",
    [
        "sudo -u ray",
        "sudo -H -u ray bash -c",
        "sudo -iu ray env",
        "sudo -g ray --user ray -p '' --",
        "exec -a ray",
    ],
)
@pytest.mark.parametrize("command", ["pip install x", f"ray start {ADDRESS}"])
def test_the_user_of_sudo_is_no_program(sudo, command, refused):
    assert refused(changed((f"ray start {ADDRESS}", f"{sudo} {command}"))) == ""


@pytest.mark.parametrize("sudo", ["sudo -u ray", "sudo -uroot", "sudo --user=me -E", "setsid -c"])
def test_a_misspelt_start_of_another_user_is_named(sudo, refused):
    text = changed((f"ray start {ADDRESS}", f"{sudo} ray strat {ADDRESS}"))
    assert "got 'ray strat'" in refused(text)


def test_heads_without_workers_and_machines_that_exist_need_no_autoscaling(refused):
    alone = changed(("max_workers: 10", "max_workers: 0"), (AUTOSCALING, ""), (ADDRESS, ""))
    assert refused(alone) == ""
    local = yaml.safe_load(OTHER) | {
        "provider": {"type": "local", "head_ip": "10.0.0.1", "worker_ips": ["10.0.0.2"]},
        "head_start_ray_commands": ["ray start --head"],
        "worker_start_ray_commands": ["ray start --address=10.0.0.1:6379"],
    }
    assert refused(yaml.safe_dump(local)) == ""
    del local["worker_start_ray_commands"]
    loopback = local | {"worker_start_ray_commands": ["ray start --address=127.0.0.1:6379"]}
    assert "of this cluster, got '127.0.0.1:6379'" in refused(yaml.safe_dump(loopback))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            SETTING.replace("spot_first", "spot_fist"),
            "RAY_AUTOSCALER_UTILIZATION_SCORER must name a function, got "
            f"'syndet_ray.clusters.spot_fist.score'. Write {SCORER}.",
        ),
        (SETTING.replace(".score", ".scor"), f"Write {SCORER}."),
        (SETTING.replace("spot_first", "."), f"Write {SCORER}."),
        (SETTING.replace("syndet_ray", "syndet-ray"), f"Write {SCORER}."),
        (
            SETTING.replace("UTILIZATION", "UTILISATION"),
            "the commands set a variable that Ray does not read, got "
            "'RAY_AUTOSCALER_UTILISATION_SCORER'. Write RAY_AUTOSCALER_UTILIZATION_SCORER.",
        ),
    ],
)
def test_a_misspelt_score_of_nodes_is_named(setting, message, refused):
    text = changed((SETTING, setting))
    assert refused(text).startswith(f"c.yaml:{line_of(text, setting)}: ")
    assert refused(text).endswith(message)


@pytest.mark.parametrize(
    "setting",
    [
        "",
        "RAY_AUTOSCALER_UTILIZATION_SCORER=theirs.scores.cheapest",
        "RAY_AUTOSCALER_UTILIZATION_SCORER=$SCORER",
        f"SCORER={SCORER} RAY_AUTOSCALER_UTILIZATION_SCORER=$SCORER",
    ],
)
def test_a_score_of_others_and_none_pass(setting, refused):
    assert refused(changed((SETTING, setting))) == ""


def test_no_other_module_is_run_to_read_a_score(refused, monkeypatch):
    imported = []
    monkeypatch.setattr(agreement.importlib, "import_module", imported.append)
    assert refused(changed((SCORER, "syndet_ray.__main__.main"))) == ""
    assert "must name a function" in refused(changed((SCORER, "syndet_ray.__main__.cli.main")))
    assert imported == []


def test_a_score_needs_the_package_that_has_it(refused):
    text = changed((INSTALL, '"ray[default]"'))
    assert refused(text) == (
        f"c.yaml:{line_of(text, SETTING)}: RAY_AUTOSCALER_UTILIZATION_SCORER names a function of "
        "syndet_ray, which no command installs. Add `-e ~/syndet_ray`, the checkout in "
        "file_mounts, to the packages."
    )


@pytest.mark.parametrize(
    "install",
    [
        "syndet_ray ray",
        "~/dist/syndet_ray-0.1-py3-none-any.whl ray",
        "~/code 'ray[default]'",
        "git+https://host/x.git ray",
        "-r ~/requirements.txt ray",
        "-r requirements.txt ray",
        "-Ur requirements ray",
        "--requirement=requirements.in ray",
        "syndet_ray-0.1.0-py3-none-any.whl ray",
        "code.tar.gz ray",
        "-e code ray",
        "--editable code[train] ray",
        "ray > log 2>&1 -e .",
        "ray && pip -q --python ~/venv/bin/python install -e ~/syndet_ray",
        "ray && pip --no-cache-dir install .",
        "$PACKAGES ray",
        "boto3",  # the image may have all else
        "ray && ~/venv/bin/python ~/code/setup.py develop",
        "ray; bash install.sh",
        "ray; cd ~/syndet_ray && uv sync",
        "ray; export PYTHONPATH=~/syndet_ray",
    ],
)
def test_other_ways_to_the_package_pass(install, refused):
    text = changed((INSTALL, install))
    assert not lacks_package(yaml.safe_load(text))
    assert refused(text) == ""


def test_packages_that_are_named_one_by_one_may_be_enough():
    content = yaml.safe_load(changed((INSTALL, "-q -c constraints.txt ray torch==2.0 zope.in==1")))
    assert lacks_package(content)
    assert not lacks_package(content, "torch")


@pytest.mark.parametrize(
    ("command", "programs"),
    [
        ("a; b && c|d & e\nf", ["a", "b", "c", "d", "e", "f"]),
        ('x \'a;b\' "c|d\\"&" e\\;f; y', ['x \'a;b\' "c|d\\"&" e\\;f', "y"]),
        ("x > log 2>&1 -a; y &> log -b", ["x > log 2>&1 -a", "y &> log -b"]),
        ("# don't; a\nb # isn't", ["# don't; a", "b # isn't"]),
        ("it's; a", ["it's", "a"]),
        ("sudo bash -lc 'a; b' && c", ["sudo bash -lc a", "b", "c"]),
        ('sh -c "a \\"x;y\\"; b"', ['sh -c a "x;y"', "b"]),
        ("python -c 'a; b'; c", ["python -c 'a; b'", "c"]),
    ],
)
def test_a_command_ends_where_it_does_for_a_shell(command, programs):
    assert [program.strip() for program in simple_commands(command)] == programs


def test_options_after_quotes_and_redirections_count(refused):
    labels = "--labels-file='a;b' --port=6380"
    text = changed(("--head --port=6379", f"--head {labels}"), ("HEAD_IP:6379", "HEAD_IP:6380"))
    assert refused(text) == ""


def test_commands_are_read_by_their_words():
    command = (
        "cd x && python3 -m pip install -q -c c.txt --index-url https://x 'a[b]==1' c -e . > log;"
        "uv pip install --python ~/v d"
    )
    assert packages(command) == ["a[b]==1", "c", ".", "d"]
    assert packages("bash -c 'pip install a; true' && pip install") == ["a"]
    assert packages("pip install -qr a.txt -e b --editable=./c > log 2>&1 d") == [
        *("./a.txt", "./b", "./c", "d")
    ]
    assert packages("pip -q install a; pip --proxy p install b; pip download install") == ["a", "b"]
    assert option_values("x --port 1 --object-port=2 --port='3'", "--port") == ["1", "3"]
    text = "export A=1 B='2' C=$D E=f$G; H=\"i\" -e J=k --l=m $N=o P=$(Q=r)"
    pairs = [("A", "1"), ("B", "2"), ("H", "i"), ("J", "k"), ("Q", "r")]
    assert variables(text) == pairs

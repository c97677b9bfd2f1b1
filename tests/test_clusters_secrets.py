"""Passwords and tokens in a file for `ray up` are refused, and what only names them is not."""

from pathlib import Path

import pytest
import yaml

from syndet_ray.clusters.lines import Lines
from syndet_ray.clusters.secrets import secret_errors

DOCUMENTED = (Path(__file__).parents[1] / "cluster.yaml").read_text(encoding="utf-8")


@pytest.fixture
def refused(tmp_path):
    """Returns the messages on the secrets of a content, without its folder."""

    def read(content):
        file = tmp_path / "c.yaml"
        text = content if isinstance(content, str) else yaml.safe_dump(content, width=1000)
        file.write_text(text, encoding="utf-8")
        errors = secret_errors(yaml.safe_load(text), Lines(file))
        return [str(error).replace(f"{tmp_path}/", "") for error in errors]

    return read


@pytest.mark.parametrize(
    ("command", "secret"),
    [
        ("export AWS_SECRET_ACCESS_KEY=abc/def", "the value of AWS_SECRET_ACCESS_KEY"),
        ("echo 'export A=1 AWS_SECRET_KEY=/abc' >> ~/.bashrc", "the value of AWS_SECRET_KEY"),
        ('HF_TOKEN="hf_abc" python x.py', "the value of HF_TOKEN"),
        ("export MLFLOW_TRACKING_PASSWORD='x'", "the value of MLFLOW_TRACKING_PASSWORD"),
        ("ray start --head --redis-password=abc", "the value of redis-password"),
        ("ray start --head --redis-password abc", "the value of redis-password"),
        ("docker run --env GITHUB_TOKEN=abc x", "the value of GITHUB_TOKEN"),
        ("docker run --env=GITHUB_TOKEN=abc x", "the value of GITHUB_TOKEN"),
        ("aws configure set aws_secret_access_key abc", "the value of aws_secret_access_key"),
        ("echo aws_secret_access_key = abc >> x", "the value of aws_secret_access_key"),
        ("jupyter lab --IdentityProvider.token=abc", "the value of token"),
        ("export WANDB_API_KEY=abc", "the value of WANDB_API_KEY"),
        ("sed -i 's/^HF_TOKEN=.*/HF_TOKEN=abc/' ~/x", "the value of HF_TOKEN"),
        ("grep -q a ~/x || export HF_TOKEN=abc", "the value of HF_TOKEN"),
        ("A=$(grep 'b;c' ~/x) HF_TOKEN=abc", "the value of HF_TOKEN"),
        ('echo "will grep it"; export HF_TOKEN="abc123"', "the value of HF_TOKEN"),
        ("echo don't grep; export HF_TOKEN=abc; echo it's", "the value of HF_TOKEN"),
        ("az group create -g rg --tags HF_TOKEN=abc", "the value of HF_TOKEN"),
        ('docker run --health-cmd "pgrep raylet" -e "HF_TOKEN=abcd" img', "the value of HF_TOKEN"),
        ("x 'ps aux | grep ray' -e 'HF_TOKEN=abcd'", "the value of HF_TOKEN"),
        ('export CHECK="grep x f" HF_TOKEN="abcd"', "the value of HF_TOKEN"),
        ("HF_TOKEN=abc grep -q x ~/y", "the value of HF_TOKEN"),
        ('HF_PASSWORD="/abc/d" sed s/x/y/ ~/z', "the value of HF_PASSWORD"),
        ("export DB_PASSWORD=1234", "the value of DB_PASSWORD"),
        ("export HF_TOKEN=12345678", "the value of HF_TOKEN"),
        ("export GITHUB_PAT=abc", "the value of GITHUB_PAT"),
        (f"huggingface-cli login hf_{20 * 'abc'}", "a token or key"),
        ("export MLFLOW_TRACKING_URI=http://u:p@host", "the password of an address"),
        ("pip install git+https://oauth2:abc@github.com/a/b", "the password of an address"),
    ],
)
def test_a_secret_that_the_file_itself_holds_is_refused(command, secret, refused):
    (message,) = refused({"setup_commands": ["true", command]})
    assert message.startswith(f"c.yaml:3: setup_commands holds a secret, {secret}, which every")
    assert "abc" not in message, "the value is not shown once more"


@pytest.mark.parametrize(
    "command",
    [
        "export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=/home/me/token HF_TOKEN=$HF_TOKEN",
        "export RAY_AUTH_TOKEN=$(cat ~/.ray/auth_token) HF_TOKEN= ; export B=`cat token`",
        'export HF_TOKEN="$(aws secretsmanager get-secret-value --secret-id=prod/hf --query X)"',
        'bash -c "export HF_TOKEN=\\"$(cat ~/.hf)\\""',
        "export HF_TOKEN=$(gcloud secrets versions access latest --secret=hf-token)",
        "x --max-token 512 --token file.txt; RAY_AUTH_TOKEN= ray start",
        "docker build --secret id=aws,src=/x --secret-id x . && docker login --password-stdin",
        "TOKENIZERS_PARALLELISM=false SECRET_NAME=prod/db USE_AUTH_TOKEN=true python x.py",
        "TOKEN=`curl -X PUT http://169.254.169.254/latest/api/token`; curl -H 'X-token: '$TOKEN",
        'if [ "$TOKEN" = abc ]; then echo ${HF_TOKEN:-none}; fi; x --max-tokens 4096',
        "export MAX_TOKEN=4096 PAD_TOKEN=1; grep -q token=abc ~/x || egrep 'password=a;b' y",
        "TOKEN=$(sudo grep -oP 'token=\\K.*' ~/x | awk '/token=abc/ {print}')",
        "if ! sudo -n /bin/grep -q token=abc ~/x; then sed 's/token=abc/x/' ~/y; fi",
        "bash -lc 'grep -q token=abc x || { awk /token=abc/ x; }'; find . | xargs -0 grep token=a",
        "timeout 10 grep -q token=abc ~/x; env LC_ALL=C nice awk '/token=abc/' x",
        "find . -exec sed -i 's/token=abc/x/' {} +; docker exec c grep -q token=abc x",
        'x="$(cat y | grep token=abc)" y="$(date; grep -c password=abc f)"',
        "sudo -u ray grep token=abc ~/x; find . | xargs -n 1 -I {} sed -i /token=abc/d {}",
        "sed -i s/password=.*/password=no/ x; sed -n '/token=abc/d; s|token=a|token=$T|g' x",
        "x --token ~/token --token /run/secrets/hf --password-file=/x --password <yours>",
        "pip install csrf-token==1.0 tokenizers==0.15 git+ssh://git@github.com:22/a.git",
        "export PROXY=http://$USER:$PASSWORD@host URL=http://host:80/a@b docker pull a:1@sha256:0",
    ],
)
def test_what_names_a_secret_or_where_it_is_passes(command, refused):
    assert refused({"setup_commands": [command]}) == []


def test_every_string_of_the_file_is_looked_at(refused):
    content = yaml.safe_load(DOCUMENTED)
    assert refused(DOCUMENTED) == []
    content["docker"] = {"run_options": ["-e AWS_SECRET_ACCESS_KEY=abc"]}
    kinds = content["available_node_types"]
    kinds["head"]["node_config"]["UserData"] = "#!/bin/sh\nexport HF_TOKEN=abc\n"
    messages = "\n".join(refused(content))
    assert "docker.run_options holds a secret, the value of AWS_SECRET_ACCESS_KEY" in messages
    assert "available_node_types.head.node_config.UserData holds a secret" in messages


def test_a_key_that_names_a_secret_has_its_value(refused):
    content = yaml.safe_load(DOCUMENTED)
    credentials = {"aws_access_key_id": "id", "aws_secret_access_key": "wJalr/abc"}
    content["provider"]["aws_credentials"] = credentials
    (message,) = refused(content)
    assert "provider.aws_credentials.aws_secret_access_key holds a secret, the value of" in message
    assert "wJalr" not in message
    values = ("$TOKEN", "{{ token }}", "<yours>", "~/token", "token.txt", "4096", "none", "", "a b")
    for value in values:
        assert refused({"provider": {"hf_token": value, "ssh_private_key": "x"}}) == [], value
    assert refused({"file_mounts": {"auth_token": "a"}, "provider": {"token": ["a"]}}) == []


def test_the_line_is_that_of_the_secret(refused):
    assert "RAY_AUTH_MODE=token" in DOCUMENTED
    text = DOCUMENTED.replace("RAY_AUTH_MODE=token", "RAY_AUTH_TOKEN=abc")
    (message,) = refused(text)
    line = 1 + text[: text.index("RAY_AUTH_TOKEN=abc")].count("\n")
    assert message.startswith(f"c.yaml:{line}: setup_commands holds a secret")

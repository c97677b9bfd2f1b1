"""The policies of the head's role say of which clusters it may start workers."""

import json
import re
from pathlib import Path

import pytest

from syndet_ray.clusters.head_role import clusters_of, is_among

GUIDE = (Path(__file__).parents[1] / "docs" / "cluster_aws.md").read_text(encoding="utf-8")
ACCOUNT, REGION = "123456789012", "eu-west-1"
TAG = "aws:RequestTag/ray-cluster-name"


def clusters(*statements):
    return clusters_of([{"Statement": list(statements)}], REGION, ACCOUNT)


def allowed(condition=None, **changes):
    statement = {"Effect": "Allow", "Action": "ec2:RunInstances", "Resource": "*"} | changes
    return statement if condition is None else statement | {"Condition": condition}


def test_the_documented_role_is_for_the_documented_cluster():
    head = json.loads(
        re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL)[0].replace("ACCOUNT", ACCOUNT)
    )
    assert clusters_of([head], REGION, ACCOUNT) == {"syndet-ray"}
    assert clusters_of([head], REGION, "000000000000") == set()


@pytest.mark.parametrize(
    ("statement", "names"),
    [
        (allowed(), {"*"}),
        (allowed({"StringEquals": {TAG: ["a", "b"]}}), {"a", "b"}),
        (allowed({"StringLike": {TAG.lower(): "a-*"}}), {"a-*"}),
        (allowed({"StringNotEquals": {TAG: "a"}}), {"*"}),
        (allowed({"StringLike": {TAG: ["a", "${aws:PrincipalTag/cluster}-*"]}}), {"a", "*"}),
        (allowed({"StringEquals": {"aws:RequestedRegion": "x"}}), {"*"}),
        (allowed(Action=["s3:*", "ec2:*"]), {"*"}),
        (allowed(Action="s3:*"), set()),
        (allowed(Effect="Deny"), set()),
        (allowed(Resource=f"arn:aws:ec2:*:{ACCOUNT}:volume/*"), set()),
    ],
)
def test_a_statement_is_read_as_aws_reads_it(statement, names):
    assert clusters(statement) == names


def test_a_wider_statement_counts_beside_a_narrow_one():
    assert is_among("c", clusters(allowed({"StringEquals": {TAG: "a"}}), allowed()))
    assert is_among("a-1", {"a-*"}) and not is_among("b", {"a", "a-*"})

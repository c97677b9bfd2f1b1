"""Head role: of which clusters a role of AWS lets the head start workers, by its policies."""

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

_ACTION = "ec2:RunInstances"
# the name of an instance, of which policies may name region and account by patterns
_INSTANCE = "arn:aws:ec2:{region}:{account}:instance/i-0"
# the tag that Ray gives its instances; the case of keys does not matter
_TAG = "aws:requesttag/ray-cluster-name"
_EQUAL = ("stringequals", "stringlike")
_VARIABLE = "${"  # of a policy, such as ${aws:PrincipalTag/cluster}: its value is not in the policy


def clusters_of(policies: Iterable[Mapping[str, Any]], region: str, account: str) -> set[str]:
    """Names of the clusters, or patterns of them, whose workers may be started; "*" for any.

    Empty if the policies say nothing of starting instances. What a policy denies is not looked at.
    """
    instance = _INSTANCE.format(region=region, account=account)
    clusters = set[str]()
    for policy in policies:
        for statement in _as_list(policy.get("Statement")):
            if _covers(statement, "Action", _ACTION) and _covers(statement, "Resource", instance):
                clusters.update(_names(statement))
    return clusters


def is_among(name: str, clusters: Iterable[str]) -> bool:
    """True if a name is one of names and patterns."""
    return any(fnmatchcase(name, cluster) for cluster in clusters)


def _covers(statement: Mapping[str, Any], key: str, name: str) -> bool:
    """True for a statement that allows something with this action or resource.

    A statement with NotAction or NotResource counts as one for all actions or resources.
    """
    if statement.get("Effect") != "Allow":
        return False
    patterns = _as_list(statement.get(key, "*"))
    return any(fnmatchcase(name.lower(), str(pattern).lower()) for pattern in patterns)


def _names(statement: Mapping[str, Any]) -> Iterator[str]:
    """The names of clusters of a statement, "*" where it does not depend on them."""
    names = []
    for operator, values in (statement.get("Condition") or {}).items():
        if operator.lower() in _EQUAL:
            for key, value in values.items():
                if key.lower() == _TAG:
                    names += _as_list(value)
    if not names:
        yield "*"
    for name in names:
        yield "*" if _VARIABLE in name else name


def _as_list(value: Any) -> list[Any]:
    """A value, of which policies may have one or a list, as a list."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]

"""Description: what a file for `ray up` says about a cluster, read and checked without network."""

import contextlib
import io
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syndet_ray.clusters import ec2
from syndet_ray.clusters.agreement import agreement_errors
from syndet_ray.clusters.lines import Lines
from syndet_ray.clusters.rules import (
    NODE_TYPES,
    by_line,
    doubled_key_errors,
    has_token,
    node_type_errors,
    safety_errors,
    schema_errors,
    without_wrong_types,
)
from syndet_ray.data.readers.yaml_file import load_yaml
from syndet_ray.errors import DataError, DefinitionError, SyndetError, error_of_all, first_line
from syndet_ray.workers.nodes.autoscaler import Growth, growth_of

AWS = "aws"
LOCAL = "local"  # machines that exist already, each given by its address
_KIND = "a cluster"
_MOST_ALIASES = 30  # types of nodes share disks and images; as many still stand for little
_DO_FIND = "Name a file for `ray up`, such as the cluster.yaml of this project."


@dataclass(frozen=True, kw_only=True)
class NodeType:
    """A kind of node that a cluster may have.

    resources      whole numbers, such as of "CPU" and "GPU"; empty where Ray counts them there
    max_workers    nodes of this kind besides the head
    priority       of the kinds that a trial fits on, the highest starts first
    is_spot        whether the cloud may take its nodes away at any time, for a lower price
    instance_type  name of the cloud's machine, such as g5.2xlarge; None where there is no cloud
    image          image of its disk, an AMI; None for Ray's choice
    profile        name or ARN of the instance profile; None for one that Ray makes
    """

    name: str
    resources: Mapping[str, int]
    max_workers: int
    priority: int = 0
    is_spot: bool = False
    instance_type: str | None = None
    image: str | None = None
    profile: str | None = None


@dataclass(frozen=True, kw_only=True)
class ClusterFile:
    """A file that describes a cluster for `ray up`, after all checks that need no network.

    provider   aws, gcp, azure, local, ...
    region     of the cloud; None where the file names none
    zones      of the region in which nodes may start; empty for all
    head_type  name of the type of the head, one of `node_types`
    growth     the nodes that its autoscaler may start
    has_token  whether every node gets a token, without which no other machine joins
    prepared   the content of the file with Ray's defaults, as `ray up` uses it
    lines      where in the file a value stands
    """

    path: Path
    cluster_name: str
    provider: str
    region: str | None
    zones: tuple[str, ...]
    head_type: str
    node_types: Mapping[str, NodeType]
    growth: Growth
    has_token: bool
    prepared: Mapping[str, Any]
    lines: Lines

    @property
    def head(self) -> NodeType:
        """The type of the head."""
        return self.node_types[self.head_type]

    @property
    def workers(self) -> list[NodeType]:
        """The types of which nodes besides the head may start."""
        return [kind for kind in self.node_types.values() if kind.max_workers > 0]


def read_cluster_file(path: Path) -> ClusterFile:
    """Reads a file for `ray up` and makes all checks that need no network.

    Raises DataError where there is no YAML file, and DefinitionError with all mistakes in it.
    """
    cluster, mistakes = cluster_and_mistakes(path)
    if cluster is None:
        raise mistakes_error(path, mistakes)
    return cluster


def cluster_and_mistakes(path: Path) -> tuple[ClusterFile | None, list[DefinitionError]]:
    """Reads a file for `ray up`: the cluster, or None and all mistakes in the file.

    Raises DataError where there is no YAML file, and DefinitionError for one of something else.
    """
    if not path.is_file():
        rule = "is a folder" if path.is_dir() else "does not exist"
        raise DataError(path, rule, do=_DO_FIND)
    content = load_yaml(path, _KIND, _MOST_ALIASES)
    if not isinstance(content, dict) or not isinstance(content.get("provider"), dict):
        rule = "does not describe a cluster: it must be a mapping with the mapping `provider`"
        raise DefinitionError(path, rule, do=_DO_FIND)
    lines = Lines(path)
    prepared, refusal = _with_defaults(content)
    mistakes = _errors(content, prepared, refusal, lines)
    if mistakes:
        return None, by_line(mistakes, path)
    assert prepared is not None
    return _cluster_file(path, prepared, lines), []


def mistakes_error(path: Path, mistakes: list[DefinitionError]) -> SyndetError:
    """The error of a file with these mistakes."""
    return error_of_all(DefinitionError, path, "has", mistakes, noun="mistake")


def _with_defaults(content: dict[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """Returns the content with Ray's defaults; None and the reason where Ray refuses it."""
    from ray.autoscaler._private.util import prepare_config

    logging.getLogger("ray.autoscaler").setLevel(logging.ERROR)  # it tells each default
    try:
        # Ray prints the reason before it raises
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return prepare_config(content), ""
    # whatever a wrong type of a value leads to
    except Exception as error:
        return None, first_line(error)


def _errors(
    content: Mapping[str, Any], prepared: Mapping[str, Any] | None, refusal: str, lines: Lines
) -> list[DefinitionError]:
    completed = prepared or content
    errors = schema_errors(completed, lines)
    if prepared is None and not errors:
        place = lines.place((), "provider")
        errors.append(DefinitionError(place, f"is refused by Ray ({refusal})"))
    if not errors:
        errors += node_type_errors(completed, lines)
    usable = without_wrong_types(completed)
    errors += doubled_key_errors(lines)
    errors += safety_errors(usable, lines)
    errors += agreement_errors(usable, lines)
    if (usable["provider"] or {}).get("type") == AWS:
        errors += ec2.errors(usable, lines)
    return errors


def _cluster_file(path: Path, prepared: dict[str, Any], lines: Lines) -> ClusterFile:
    provider = prepared["provider"]
    zones = str(provider.get("availability_zone") or "")
    kinds = prepared[NODE_TYPES]
    return ClusterFile(
        path=path,
        cluster_name=prepared["cluster_name"],
        provider=provider["type"],
        region=provider.get("region"),
        zones=tuple(zone.strip() for zone in zones.split(",") if zone.strip()),
        head_type=prepared["head_node_type"],
        node_types={name: _node_type(name, kind) for name, kind in kinds.items()},
        growth=growth_of(prepared),
        has_token=has_token(prepared),
        prepared=prepared,
        lines=lines,
    )


def _node_type(name: str, kind: Mapping[str, Any]) -> NodeType:
    node = kind["node_config"]
    profile = _mapping(node.get("IamInstanceProfile"))
    market = _mapping(node.get("InstanceMarketOptions"))
    return NodeType(
        name=name,
        # for the schema 2.0 is a whole number too
        resources={unit: int(amount) for unit, amount in kind["resources"].items()},
        max_workers=int(kind["max_workers"]),
        priority=kind.get("priority", 0),
        is_spot=market.get("MarketType") == "spot",
        instance_type=node.get("InstanceType"),
        image=node.get("ImageId"),
        profile=profile.get("Name") or profile.get("Arn"),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    """Returns a mapping as it is, and an empty one for a value that another cloud may have."""
    return value if isinstance(value, dict) else {}

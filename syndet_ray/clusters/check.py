"""Check: everything about a cluster that can be known before its first node costs money."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from syndet_ray.clusters import aws, here
from syndet_ray.clusters.description import (
    AWS,
    LOCAL,
    ClusterFile,
    NodeType,
    cluster_and_mistakes,
    mistakes_error,
)
from syndet_ray.clusters.quotas import may_have_gpus
from syndet_ray.clusters.rules import by_line
from syndet_ray.data.storage import check_bucket
from syndet_ray.errors import MachineError, SyndetError, error_of_all
from syndet_ray.search.task import Resources
from syndet_ray.wording import counted
from syndet_ray.workers.nodes.capacity import resources_on, with_room
from syndet_ray.workers.nodes.node import Node, trials_on

ShowStep = Callable[[str], AbstractContextManager[None]]

_DO_GPUS = "Lower it, or list larger nodes in available_node_types."
_DO_CORES = "Give workers resources with a CPU and max_workers, or the head a CPU."
_STORAGE_STEP = "looking at the storage"
_DO_STORAGE = "Give `storage` s3://BUCKET/PREFIX."


def check_cluster_file(
    path: Path, storage: str | None, step: ShowStep, gpus_per_trial: float | None = None
) -> tuple[ClusterFile, list[str]]:
    """Reads a file for `ray up`, and makes the checks of `check_cluster`.

    If the file has mistakes, its nodes are unknown; the store is checked all the same.

    Returns the cluster, and notes. Raises DataError, DefinitionError or MachineError with all
    problems.
    """
    with step(f"reading {path}"):
        cluster, mistakes = cluster_and_mistakes(path)
    if cluster is not None:
        return cluster, check_cluster(cluster, storage, step, gpus_per_trial)
    with step(_STORAGE_STEP):
        unusable = _bucket_errors(storage)
    if not unusable:
        raise mistakes_error(path, mistakes)
    raise _error_of_all(path, [*mistakes, *unusable])


def check_cluster(
    cluster: ClusterFile,
    storage: str | None,
    step: ShowStep,
    gpus_per_trial: float | None = None,
) -> list[str]:
    """Checks this machine, the cloud and the store, within a minute, and starts nothing.

    step            shows the work of its block
    gpus_per_trial  what each trial asks for; None for a GPU where nodes have one

    Returns notes. Raises MachineError with all problems.
    """
    findings: list[SyndetError | str] = list(here.findings(cluster))
    findings += trial_errors(cluster, gpus_per_trial)
    if cluster.provider == AWS:
        with step(f"asking AWS for images, machines, rights and quotas in {cluster.region}"):
            findings += aws.findings(cluster, storage)
    elif cluster.provider != LOCAL:
        findings.append(
            f"{cluster.provider} is not asked: whether it has what {cluster.path} names shows "
            "only when nodes start"
        )
    findings += storage_errors(cluster, storage)
    if storage is not None and not _is_missing(storage, findings):
        with step(_STORAGE_STEP):
            findings += _bucket_errors(storage)
    errors = [finding for finding in findings if isinstance(finding, SyndetError)]
    if errors:
        raise _error_of_all(cluster.path, by_line(errors, cluster.path))
    return [finding for finding in findings if isinstance(finding, str)]


def storage_errors(cluster: ClusterFile, storage: str | None) -> list[MachineError]:
    """An error if nodes may join that see no folder of the head, and no store is given."""
    if storage is not None or cluster.provider == LOCAL or not cluster.workers:
        return []
    rule = "is needed: nodes that join cannot write checkpoints to a folder of the head"
    return [MachineError("`storage`", rule, do=_DO_STORAGE)]


def trial_errors(cluster: ClusterFile, gpus_per_trial: float | None) -> list[MachineError]:
    """An error if no node of the cluster could train a trial, which would wait for ever.

    Nothing is said of nodes whose cores or GPUs only the cloud or the machine knows.
    """
    nodes = _counted_nodes(cluster)
    if nodes is None:
        return []
    gpus = gpus_per_trial
    if gpus is None:
        gpus = min(1.0, max(node.gpus for node in nodes))
    use = Resources.of_one_trial(gpus)
    if trials_on(nodes, use):
        return []
    if gpus_per_trial:
        words = counted(use.processes, "GPU")
        rule = f"no node of {cluster.path} has {words}, and as many cores, for a trial"
        return [MachineError("`gpus_per_trial`", rule, got=gpus_per_trial, do=_DO_GPUS)]
    parts = "a GPU and a core" if gpus else "a core"
    rule = f"has no node with {parts} for a trial"
    return [MachineError(cluster.path, rule, do=_DO_CORES)]


def trial_resources(
    cluster: ClusterFile, parallel: int | None, gpus_per_trial: float | None
) -> Resources | None:
    """Computes what each trial would get of the nodes, and how many could train at once.

    None for nodes whose cores or GPUs only the cloud or the machine knows.
    """
    if _counted_nodes(cluster) is None:
        return None
    head = replace(_node(cluster.head), is_head=True)
    use = resources_on([head], cluster.growth, parallel, gpus_per_trial)
    return with_room(use, [head], cluster.growth)


def _counted_nodes(cluster: ClusterFile) -> list[Node] | None:
    """A node of each kind that may be up; None if the file does not say what one of them has."""
    workers = cluster.workers if cluster.growth.most else []
    kinds = {kind.name: kind for kind in (cluster.head, *workers)}.values()
    if not all(_is_counted(kind, cluster.provider) for kind in kinds):
        return None
    return [_node(kind) for kind in kinds]


def _node(kind: NodeType) -> Node:
    return Node(cpus=kind.resources["CPU"], gpus=kind.resources.get("GPU", 0))


def _is_counted(kind: NodeType, provider: str) -> bool:
    """True if the file says all that trials can have of a node: Ray adds what it does not name."""
    if "CPU" not in kind.resources:
        return False
    if kind.resources["CPU"] == 0:  # no trial trains there, whatever GPU it has
        return True
    # only AWS's types are known by name
    has_no_gpu = provider == AWS and not may_have_gpus(kind)
    return "GPU" in kind.resources or has_no_gpu


def _is_missing(storage: str, findings: list[SyndetError | str]) -> bool:
    """True if the findings name the bucket of the storage as one that does not exist."""
    buckets = [finding.bucket for finding in findings if isinstance(finding, aws.MissingBucket)]
    return aws.bucket_of(storage) in buckets


def _bucket_errors(storage: str | None) -> list[MachineError]:
    try:
        if storage is not None:
            check_bucket(storage)
    except MachineError as error:
        return [error]
    return []


def _error_of_all(path: Path, errors: list[SyndetError]) -> SyndetError:
    beginning = "cannot be started as it is, for"
    return error_of_all(MachineError, path, beginning, errors, noun="reason")


def cluster_words(cluster: ClusterFile) -> list[str]:
    """Lines on the nodes that a cluster may have."""
    where = f"{cluster.provider} {cluster.region}" if cluster.region else cluster.provider
    most = f"at most {counted(cluster.growth.most, 'node')}"
    others = most if cluster.growth.is_known else "the nodes that the file names"
    head = cluster.head.instance_type or "a machine that is there"
    lines = [f"{cluster.cluster_name} ({where}): head {head}, {others} besides"]
    kinds = [kind for kind in cluster.workers if kind.name != cluster.head_type]
    for kind in sorted(kinds, key=lambda kind: -kind.priority):
        amounts = ", ".join(f"{amount} {name}" for name, amount in kind.resources.items())
        market = "spot" if kind.is_spot else "on demand"
        lines.append(f"{kind.name}: {kind.max_workers} {kind.instance_type} {market}, {amounts}")
    return lines

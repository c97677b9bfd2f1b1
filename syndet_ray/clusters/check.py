"""Check: everything about a cluster that can be known before its first node costs money."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from syndet_ray.clusters import aws, here
from syndet_ray.clusters.description import (
    AWS,
    LOCAL,
    ClusterFile,
    cluster_and_mistakes,
    mistakes_error,
)
from syndet_ray.clusters.rules import as_lines
from syndet_ray.data.storage import check_bucket
from syndet_ray.errors import MachineError, SyndetError
from syndet_ray.wording import counted

Step = Callable[[str], AbstractContextManager[None]]

_STORAGE_STEP = "looking at the storage"
_DO_STORAGE = "Give `storage` s3://BUCKET/PREFIX."


def check_cluster_file(
    path: Path, storage: str | None, step: Step
) -> tuple[ClusterFile, list[str]]:
    """Reads a file for `ray up`, and makes the checks of `check_cluster`.

    Of a file with mistakes the nodes are not known, but the store is looked at all the same.

    Returns the cluster, and notes. Raises DataError, DefinitionError or MachineError with all
    problems.
    """
    with step(f"reading {path}"):
        cluster, mistakes = cluster_and_mistakes(path)
    if cluster is not None:
        return cluster, check_cluster(cluster, storage, step)
    with step(_STORAGE_STEP):
        unusable = _bucket_errors(storage)
    if not unusable:
        raise mistakes_error(path, mistakes)
    raise _error_of_all(path, [*mistakes, *unusable])


def check_cluster(cluster: ClusterFile, storage: str | None, step: Step) -> list[str]:
    """Checks this machine, the cloud and the store, within a minute, and starts nothing.

    step  shows the work of its block

    Returns notes. Raises MachineError with all problems.
    """
    findings: list[SyndetError | str] = list(here.findings(cluster))
    if cluster.provider == AWS:
        with step(f"asking AWS for images, machines, rights and quotas in {cluster.region}"):
            findings += aws.findings(cluster)
    with step(_STORAGE_STEP):
        findings += storage_errors(cluster, storage) or _bucket_errors(storage)
    errors = [finding for finding in findings if isinstance(finding, SyndetError)]
    if errors:
        raise _error_of_all(cluster.path, errors)
    return [finding for finding in findings if isinstance(finding, str)]


def storage_errors(cluster: ClusterFile, storage: str | None) -> list[MachineError]:
    """An error if nodes may join that see no folder of the head, and no store is given."""
    if storage is not None or cluster.provider == LOCAL or not cluster.workers:
        return []
    rule = "is needed: nodes that join cannot write checkpoints to a folder of the head"
    return [MachineError("`storage`", rule, do=_DO_STORAGE)]


def _bucket_errors(storage: str | None) -> list[MachineError]:
    try:
        if storage is not None:
            check_bucket(storage)
    except MachineError as error:
        return [error]
    return []


def _error_of_all(path: Path, errors: list[SyndetError]) -> SyndetError:
    """The only error as it is, or one with a line for each."""
    if len(errors) == 1:
        return errors[0]
    reasons = counted(len(errors), "reason")
    rule = f"cannot be started as it is, for {reasons}:{as_lines(errors)}"
    return MachineError(path, rule)


def cluster_words(cluster: ClusterFile) -> list[str]:
    """Lines on the nodes that a cluster may have."""
    where = f"{cluster.provider} {cluster.region}" if cluster.region else cluster.provider
    most = counted(cluster.growth.most, "node")
    head = cluster.head.instance_type or "a machine that is there"
    lines = [f"{cluster.cluster_name} ({where}): head {head}, at most {most} besides"]
    kinds = [kind for kind in cluster.workers if kind.name != cluster.head_type]
    for kind in sorted(kinds, key=lambda kind: -kind.priority):
        amounts = ", ".join(f"{amount} {name}" for name, amount in kind.resources.items())
        market = "spot" if kind.is_spot else "on demand"
        lines.append(f"{kind.name}: {kind.max_workers} {kind.instance_type} {market}, {amounts}")
    return lines

"""Notes: what may be meant in a file for `ray up`, and is more often a mistake."""

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from syndet_ray.clusters.agreement import installs_nothing, lacks_package
from syndet_ray.clusters.commands import (
    commands,
    constraint_files,
    option_values,
    packages,
    simple_commands,
    uses_another_store,
    variables,
)
from syndet_ray.clusters.description import AWS, LOCAL, ClusterFile
from syndet_ray.clusters.ec2 import regions_set
from syndet_ray.clusters.ray_commands import HEAD_GROUP, may_start_head
from syndet_ray.clusters.rules import NODE_TYPES

_FOR_TRIALS = "torch"
_HOME = re.compile(r"(?:~|\$HOME|\$\{HOME\})/([\w.-]+)")  # with a file or folder in it
_ARTIFACTS = "--artifacts-destination"  # of MLflow
_FOLDER_STARTS = ("/", "~", ".")
_CREDENTIALS = ".aws"  # a folder of the home


def notes(cluster: ClusterFile) -> Iterator[str]:
    """Notes on a description that breaks no rule."""
    yield from _region_notes(cluster)
    yield from _package_notes(cluster)
    yield from _path_notes(cluster)
    yield from _bucket_notes(cluster)
    yield from _token_notes(cluster)
    yield from _start_notes(cluster)
    yield from _node_notes(cluster)


def _region_notes(cluster: ClusterFile) -> Iterator[str]:
    """Regions for programs on the nodes that are not that of the nodes."""
    if cluster.provider != AWS:
        return
    for command, name, region in regions_set(cluster.prepared):
        if region != cluster.region:
            place = cluster.lines.place_of_text(command, name)
            yield f"{place}: {name} is {region}, and the nodes are in {cluster.region}"


def _package_notes(cluster: ClusterFile) -> Iterator[str]:
    """Packages that no command installs. Machines that exist already may have them all."""
    if lacks_package(cluster.prepared, _FOR_TRIALS):
        yield (
            f"{cluster.path} installs Ray, but no command names the packages of syndet_ray, "
            f"such as {_FOR_TRIALS}, which every node needs"
        )
    elif cluster.provider != LOCAL and installs_nothing(cluster.prepared):
        yield (
            f"{cluster.path} has no command that installs a package: the image of the nodes must "
            "have Ray and syndet_ray, with all that they need"
        )


def _path_notes(cluster: ClusterFile) -> Iterator[str]:
    """Files and folders that commands install from, and that nothing brings to the nodes.

    Another command that names one may make it, and an image of containers may have it.
    """
    if any((cluster.prepared.get("docker") or {}).values()):
        return
    mounted = map(str, cluster.prepared.get("file_mounts") or {})
    texts = [command for _, command in commands(cluster.prepared)]
    parts = chain.from_iterable(map(simple_commands, texts))
    others = "\n".join([*mounted, *(part for part in parts if not packages(part))])
    for text in texts:
        for path in (*packages(text), *constraint_files(text)):
            match = _HOME.match(path)
            if match and not re.search(rf"(?<![\w-]){re.escape(match[1])}(?![\w-])", others):
                place = cluster.lines.place_of_text(text, path)
                yield f"{place}: neither file_mounts nor a command brings {path} to the nodes"


def _bucket_notes(cluster: ClusterFile) -> Iterator[str]:
    """Variables that are to name a bucket, and name a folder for MLflow."""
    texts = [command for _, command in commands(cluster.prepared)]
    places = [value for text in texts for value in option_values(text, _ARTIFACTS)]
    for text in texts:
        for name, value in variables(text):
            is_used = any(place.startswith((f"${name}/", f"${{{name}}}")) for place in places)
            if is_used and "://" not in value and not value.startswith(_FOLDER_STARTS):
                place = cluster.lines.place_of_text(text, f"{name}=")
                yield (
                    f"{place}: {name} is {value}, without s3://: MLflow would keep its artifacts "
                    "in a folder of the head"
                )


def _token_notes(cluster: ClusterFile) -> Iterator[str]:
    """Nodes that have a token for which Ray does not ask."""
    for _, command in commands(cluster.prepared):
        if cluster.has_token and ("RAY_AUTH_MODE", "disabled") in variables(command):
            place = cluster.lines.place_of_text(command, "RAY_AUTH_MODE")
            yield (
                f"{place}: RAY_AUTH_MODE=disabled makes Ray ask for no token, although the nodes "
                "have one: any program that reaches the head's ports may run there"
            )


def _start_notes(cluster: ClusterFile) -> Iterator[str]:
    """Heads on which nothing seems to start Ray. Programs of any name may do it."""
    if not may_start_head(cluster.prepared):
        yield (
            f"{cluster.lines.place((), HEAD_GROUP)}: no command of the head is `ray start --head`, "
            "nor a script or service that may start Ray: without it no cluster starts"
        )


def _node_notes(cluster: ClusterFile) -> Iterator[str]:
    """Nodes that may vanish with a run, and nodes that may not use a bucket."""
    if cluster.head.is_spot:
        place = cluster.lines.place((NODE_TYPES, cluster.head_type), "node_config")
        yield (
            f"{place}: the head is a spot instance: when it is taken away, runs stop, and what "
            "is on its disk is lost"
        )
    if cluster.provider != AWS or _has_other_credentials(cluster.prepared):
        return
    nodes = cluster.prepared[NODE_TYPES]
    workers = [
        kind.name
        for kind in cluster.workers
        if kind.profile is None and "LaunchTemplate" not in nodes[kind.name]["node_config"]
    ]
    if workers:
        place = cluster.lines.place((NODE_TYPES, workers[0]), "node_config")
        names = ", ".join(workers)
        yield f"{place}: {names} without IamInstanceProfile: such nodes may not use a bucket"


def _has_other_credentials(prepared: Mapping[str, Any]) -> bool:
    """True if nodes may get credentials for buckets from a file or from the commands."""
    mounts = prepared.get("file_mounts") or {}
    is_mounted = any(_CREDENTIALS in str(remote).split("/") for remote in mounts)
    return is_mounted or uses_another_store(prepared)

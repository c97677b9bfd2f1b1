"""Sent runs: finds a run of a cluster, and the files that were sent for it, by its name."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from syndet_ray.cli.remote_submission import RemoteSubmission, head_and_facts, project_name
from syndet_ray.errors import DataError, DefinitionError


def check_is_name(run: str) -> None:
    """Raises DefinitionError for an address: the head knows runs by their names."""
    if "://" in run:
        name = run.partition("?")[0].rstrip("/").rpartition("/")[2]
        rule = "is an address, and only `resume` takes a run from one"
        raise DefinitionError(run, rule, do=f"Name a run of the head, such as {name}.")


def newest_submission(run: str | None, file: Path) -> tuple[RemoteSubmission, dict[str, Any]]:
    """The newest submission of a run, or of all, and what the head has recorded of it.

    Those of this folder come first: others may use the head too.
    """
    from syndet_ray.clusters.description import read_cluster_file

    cluster = read_cluster_file(file)
    head, facts = head_and_facts(cluster)
    records = facts["submissions"]
    names = [names_of(record) for record in records]
    name = None if run is None else Path(run).name
    chosen = [
        record
        for record, its_names in zip(records, names, strict=True)
        if name is None or name in its_names
    ]
    if not chosen:
        if name is None or not names:
            do = "Send one: give `cluster` to a sweep."
            if name is not None:
                do += " A run of a lost head is resumed from its address."
            raise DataError(head.place, "has no run that was sent from elsewhere", do=do)
        newest_names = ", ".join(its_names[0] for its_names in names[-3:])
        do = f"The newest are {newest_names}. A run of a lost head is resumed from its address."
        raise DataError(head.place, f"has no run {name}", do=do)
    newest = sorted(chosen, key=_is_of_this_folder)[-1]  # which keeps the order in time
    return RemoteSubmission(head=head, folder=PurePosixPath(newest["folder"])), newest


def _is_of_this_folder(record: Mapping[str, Any]) -> bool:
    """True for a submission that was sent from this folder."""
    return PurePosixPath(record["folder"]).parents[1].name == project_name()


def names_of(record: Mapping[str, Any]) -> list[str]:
    """The names of a submission: that of its run, if there is one yet, and its own."""
    folders = [record["run"], record["folder"]]
    return [PurePosixPath(folder).name for folder in folders if folder]

"""Sending: copies the files of a submission to a head, only those that it lacks."""

import json
import shlex
from collections.abc import Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import syndet_ray
from syndet_ray.cli.remote_submission import RemoteSubmission
from syndet_ray.errors import MachineError

if TYPE_CHECKING:
    from syndet_ray.cli.terminal import Bar, Plain
    from syndet_ray.clusters.bundle import Bundle, Item

_MEGABYTE = 1_000_000
_SHOWN_BYTES = 10 * _MEGABYTE  # of an item whose progress is shown: seconds on an ordinary line


def write_origins(bundle: "Bundle", folder: Path, points: Path | None = None) -> None:
    """Writes where each item comes from: messages of the run name its path here, and a new head
    gets it from there.

    points  a temporary copy among the items, which only the start of a sweep needs
    """
    from syndet_ray.clusters.submission import ORIGINS

    items = [item for item in bundle.items if item.source != points]
    origins = {str(bundle.path_on_head(item)): str(item.source) for item in items}
    (folder / ORIGINS).write_text(json.dumps(origins), encoding="utf-8")


def check_room(facts: Mapping[str, Any], bundle: "Bundle", submission: RemoteSubmission) -> None:
    """Raises MachineError if the head has no room for the files that will be no links there."""
    from syndet_ray.data.memory import memory_words

    needed = 0
    for item in bundle.items:
        target = bundle.path_on_head(item)
        is_there = str(target) in facts["sent"]
        is_linked = not item.for_nodes and _earlier(target, submission, facts) is not None
        if not is_there and not is_linked:
            needed += item.size
    if needed > facts["free"]:
        rule = f"has {memory_words(facts['free'])} free, and {memory_words(needed)} are needed"
        do = "Put the photos into a bucket and give its address, or give the head a larger disk."
        raise MachineError(submission.head.place, rule, do=do)


def _earlier(
    target: PurePosixPath, submission: RemoteSubmission, facts: Mapping[str, Any]
) -> PurePosixPath | None:
    """The newest counterpart of a path of this submission in another one of this project, perhaps
    not sent to its end; None if there is none.
    """
    below = target.relative_to(submission.folder).parts
    for path in map(PurePosixPath, reversed(facts["sent"])):
        is_of_project = path.is_relative_to(submission.folder.parent)
        if is_of_project and path.parts[-len(below) :] == below:
            return path
    return None


def send(
    definitions: Path,
    submission: RemoteSubmission,
    bundle: "Bundle",
    facts: Mapping[str, Any],
    display: "Plain | Bar",
) -> None:
    """Sends everything, except for files that an earlier submission of this project has.

    Those that the driver alone reads, such as photos, are linked there. What nodes get is copied: a
    program of the user may change its files, and must not change those of earlier submissions.

    definitions  the folder of sweeps, search spaces, and where the items come from
    """
    package = Path(syndet_ray.__file__).parent
    targets = {item.source: bundle.path_on_head(item) for item in bundle.items}
    folders = {submission.files, *(target.parent for target in targets.values())}
    with display.step("sending this code and the sweeps"):
        submission.head.run(f"mkdir -p {shlex.join(map(str, sorted(folders)))}")
        for source in (*definitions.iterdir(), package):
            target = submission.files / source.name
            submission.head.send(source, target, like=_earlier(target, submission, facts))
    for item in bundle.items:
        target = targets[item.source]
        with display.step(f"sending {item.name}"):
            like = _earlier(target, submission, facts)
            progress = partial(_show_sent, display, item)
            submission.head.send(
                item.source, target, like=like, is_read_only=not item.for_nodes, progress=progress
            )
            progress(item.size)


def _show_sent(display: "Plain | Bar", item: "Item", size: int) -> None:
    """Shows how much of an item has arrived, if it is so large that this takes a while."""
    if item.size >= _SHOWN_BYTES:
        done = min(size, item.size)
        display.progress(
            f"MB of {item.name} on the head", done // _MEGABYTE, item.size // _MEGABYTE
        )

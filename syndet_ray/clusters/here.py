"""Here: what this machine must have before `ray up` starts a cluster from it."""

import os
import re
import shlex
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from packaging.utils import canonicalize_name

from syndet_ray.clusters.commands import commands, constraint_files, packages
from syndet_ray.clusters.description import LOCAL, ClusterFile
from syndet_ray.clusters.notes import notes
from syndet_ray.clusters.requirements import may_agree, pins, requirements
from syndet_ray.clusters.rules import TOKEN_FILE
from syndet_ray.errors import DefinitionError, MachineError, SyndetError

LEAST_PYTHON = (3, 11)  # as pyproject.toml asks for
_PROGRAMS = ("ssh", "rsync")  # with which Ray reaches nodes and copies files to them
_PLACEHOLDER = "YOUR-BUCKET"
_OTHERS = 0o077  # rights of all users but the owner
_PYTHON = re.compile(r"--python[ =]+(\d+\.\d+)\b")
_RAY = re.compile(r"^ray==(\S+)", re.MULTILINE)
_RAY_NAME = "ray"
_KEY_MAKERS = ("vsphere",)  # providers of nodes for which Ray makes the key, whatever its path
_DO_GENERATE = "Make it: (umask 077; ray get-auth-token --generate > /dev/null)"


def findings(cluster: ClusterFile) -> Iterator[SyndetError | str]:
    """Errors for what this machine lacks, and notes on what a person may not expect."""
    yield from program_errors()
    yield from _placeholder_errors(cluster)
    yield from _mount_errors(cluster)
    yield from _key_errors(cluster)
    yield from _token_findings(cluster)
    yield from _version_findings(cluster)
    yield from notes(cluster)


def program_errors() -> Iterator[MachineError]:
    """Errors for programs that are missing here, without which no node can be reached."""
    for program in _PROGRAMS:
        if shutil.which(program) is None:
            rule = f"has no {program}, with which Ray reaches the nodes"
            yield MachineError("this machine", rule, do="Install it.")


def _placeholder_errors(cluster: ClusterFile) -> Iterator[MachineError]:
    for name, command in commands(cluster.prepared):
        if _PLACEHOLDER in command:
            place = cluster.lines.place_of_text(command, _PLACEHOLDER)
            rule = f"{name} still has {_PLACEHOLDER}"
            yield MachineError(place, rule, do="Write the name of your bucket.")


def _mount_errors(cluster: ClusterFile) -> Iterator[MachineError]:
    for remote, local in mounts(cluster).items():
        if not local.exists() and not remote.endswith(TOKEN_FILE):
            place = cluster.lines.place(("file_mounts",), remote)
            rule = f"file_mounts copies {local}, which does not exist here"
            yield MachineError(place, rule, do="Correct the path, or run this in its folder.")


def mounts(cluster: ClusterFile) -> dict[str, Path]:
    """The paths here that are copied to the nodes, by their paths there.

    Ray looks for them from the folder in which it runs.
    """
    pairs = cluster.prepared.get("file_mounts") or {}
    return {str(remote): Path(os.path.expanduser(str(local))) for remote, local in pairs.items()}


def _key_errors(cluster: ClusterFile) -> Iterator[MachineError]:
    """The key with which Ray reaches the nodes, where the file names one."""
    key = cluster.prepared["auth"].get("ssh_private_key")
    if not key or cluster.provider in _KEY_MAKERS or Path(os.path.expanduser(key)).is_file():
        return
    place = cluster.lines.place(("auth",), "ssh_private_key")
    rule = "ssh_private_key must be a file of this machine"
    yield MachineError(place, rule, got=key, do="Correct the path, or make the key.")


def _token_findings(cluster: ClusterFile) -> Iterator[SyndetError | str]:
    files = [path for remote, path in mounts(cluster).items() if remote.endswith(TOKEN_FILE)]
    if not cluster.has_token and cluster.provider != LOCAL:
        yield (
            f"{cluster.path} gives the nodes no token: any program that reaches the head's ports "
            'may run there. Add "~/.ray/auth_token": "~/.ray/auth_token" to file_mounts'
        )
    for path in files:
        if not path.exists():
            rule = "is the token of the cluster, and does not exist"
            yield MachineError(path, rule, do=_DO_GENERATE)
        elif stat.S_IMODE(path.stat().st_mode) & _OTHERS:
            rule = "is the token of the cluster, and other users can read it"
            yield MachineError(path, rule, do=f"chmod 600 {shlex.quote(str(path))}")


def _version_findings(cluster: ClusterFile) -> Iterator[SyndetError | str]:
    """Versions that the commands install on the nodes, where this machine has others."""
    for _, command in commands(cluster.prepared, "setup_commands"):
        yield from _constraint_errors(command, cluster)
        yield from _ray_findings(command, cluster)
        yield from _python_findings(command, cluster)


def _constraint_errors(command: str, cluster: ClusterFile) -> Iterator[MachineError]:
    """Files of constraints that the nodes do not get, or that name another Ray."""
    for remote in constraint_files(command):
        local = _local_path(remote, cluster)
        if local is not None and local.is_file():
            yield from _ray_errors(local)
            yield from _contradictions(command, local, cluster)
        elif local is not None:
            place = cluster.lines.place_of_text(command, remote)
            rule = f"installs with {remote}, but the nodes get no such file ({local})"
            do = "Run this in the checkout of syndet_ray, or correct file_mounts."
            yield MachineError(place, rule, do=do)


def _contradictions(
    command: str, constraints: Path, cluster: ClusterFile
) -> Iterator[MachineError]:
    """Versions of packages that a command asks for, and that its constraints do not allow."""
    lines = constraints.read_text(encoding="utf-8", errors="replace").splitlines()
    allowed = list(requirements(lines))
    for package in requirements(packages(command)):
        name = canonicalize_name(package.name)
        for other in allowed:
            is_same = canonicalize_name(other.name) == name and name != _RAY_NAME
            if is_same and not may_agree(package.specifier, other.specifier):
                place = cluster.lines.place_of_text(command, package.name)
                rule = f"installs {package.name}{package.specifier}, but {constraints} has {other}"
                yield MachineError(place, rule, do="Take the version out of the command.")


def _ray_findings(command: str, cluster: ClusterFile) -> Iterator[SyndetError | str]:
    """Versions of Ray that a command names, or that it leaves open."""
    import ray

    specifiers = [
        package.specifier
        for package in requirements(packages(command))
        if canonicalize_name(package.name) == _RAY_NAME
    ]
    is_pinned = any(pins(specifier) for specifier in specifiers)
    if specifiers and not is_pinned and not constraint_files(command):
        place = cluster.lines.place_of_text(command, "ray")
        yield (
            f"{place}: pins no version of Ray, and all nodes need the one that this machine "
            f"has: write ray[default]=={ray.__version__}, or -c constraints.txt"
        )
    for specifier in specifiers:
        if not specifier.contains(ray.__version__, prereleases=True):
            version = str(specifier)
            place = cluster.lines.place_of_text(command, version.rpartition(",")[2])
            yield _ray_error(version, f"the version at {place}")


def _python_findings(command: str, cluster: ClusterFile) -> Iterator[SyndetError | str]:
    """Versions of Python that a command names: too old a one, and another than here."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    for version in _PYTHON.findall(command):
        if tuple(map(int, version.split("."))) < LEAST_PYTHON:
            place = cluster.lines.place_of_text(command, version)
            rule = f"nodes must get Python {'.'.join(map(str, LEAST_PYTHON))} or newer"
            yield DefinitionError(place, rule, got=version)
        elif version != here:
            yield f"nodes get Python {version}, and this machine has {here}"


def _ray_errors(constraints: Path) -> Iterator[MachineError]:
    import ray

    text = constraints.read_text(encoding="utf-8", errors="replace")
    for version in _RAY.findall(text):
        if version != ray.__version__:
            yield _ray_error(f"=={version}", str(constraints))


def _ray_error(version: str, origin: str) -> MachineError:
    """The error for another version of Ray than that of this machine.

    version  as pip takes it, such as "==2.40.0"
    origin   names what it stands in
    """
    import ray

    rule = f"has Ray {ray.__version__}, and the nodes get {version.removeprefix('==')}"
    do = f"Install ray{version} here, or change {origin}."
    return MachineError("this machine", rule, do=do)


def _local_path(remote: str, cluster: ClusterFile) -> Path | None:
    """Returns where a file of the nodes comes from; None if it is not copied from here."""
    for folder, local in mounts(cluster).items():
        if remote.startswith(f"{folder.rstrip('/')}/"):
            return local / remote.removeprefix(folder).lstrip("/")
    return None

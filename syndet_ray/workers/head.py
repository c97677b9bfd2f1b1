"""Head: finds out soon whether the head node of a Ray cluster answers at an address."""

import importlib.util
import os
import re
import socket
import subprocess
import sys

from syndet_ray.errors import MachineError, first_line
from syndet_ray.workers.auth_token import MODE_VARIABLE, has_token

_CONNECT_S = 5.0  # a head on another continent answers in less than one
_ANSWER_S = 20.0  # the check takes 0.7 s; a busy head may need longer
_NEW = "local"  # with which ray.init() starts a cluster
_AUTO = "auto"  # with which it finds one on this machine
_NO_TOKEN = "InvalidAuthToken"  # in the answer of a cluster that asks for a token
_DO_MODE = f"See `ray status` on the head node; {MODE_VARIABLE} must be the same on both sides."
# for the cluster of this machine; a machine that has sent a run here says it with its own command
DO_START_RAY = (
    "If Ray is down on this machine (see `ray status`), start it with `ray start --head`, or with "
    "`ray up` from where the cluster was started."
)
_DO_TOKEN = (
    f"Set {MODE_VARIABLE}=token here, and have the head's ~/.ray/auth_token at the same place."
)
# in the error for a cluster of other versions: first its own, then those of this process
_VERSIONS = re.compile(
    r"cluster was started with:\s+Ray: (\S+)\s+Python: (\S+)\s"
    r".*started with:\s+Ray: (\S+)\s+Python: (\S+)",
    re.DOTALL,
)
CLIENT = "ray://"  # addresses of Ray's client, which has limits of its own
_OF_CLIENT = "grpc"  # a package without which there is no client
_DO_ADDRESS = "On the head node it is auto, elsewhere the HOST:PORT that `ray start --head` shows."


def check_head(address: str) -> None:
    """Raises MachineError if no head of a Ray cluster answers at `address` within half a minute.

    ray.init() would try for minutes, and without a message.
    """
    check_form(address)
    if address == _NEW or address.startswith(CLIENT):
        return
    _check_port(address)
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        process = subprocess.run(
            [*command, "--skip-version-check"],
            stdin=subprocess.DEVNULL,
            env=_environment(address),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_ANSWER_S,
        )
    except subprocess.TimeoutExpired:
        raise unreachable_error(
            address, f"no head of Ray answers within {_ANSWER_S:.0f} s"
        ) from None
    if process.returncode:
        raise unreachable_error(address, _reason(process.stderr))


def check_form(address: str) -> None:
    """Raises MachineError for an address at which there can be no cluster.

    It imports nothing heavy: the command line calls it before all else.
    """
    if address in (_NEW, _AUTO) or _has_port(address):
        return
    if address.startswith(CLIENT) and importlib.util.find_spec(_OF_CLIENT) is not None:
        return
    raise MachineError("`address`", "must be auto or HOST:PORT", got=address, do=_DO_ADDRESS)


def _has_port(address: str) -> bool:
    """True for an address of the form host:port."""
    host, _, port = address.rpartition(":")
    return host != "" and "/" not in host and port.isdecimal()


def _environment(address: str) -> dict[str, str]:
    """Our environment; for "auto" with the token that ray.init() would show, if there is one.

    `ray start` asks for a token if it finds one, and ray.init() shows it to a cluster that it finds
    itself, but to an address only if RAY_AUTH_MODE says so. Ray's check does not do either.
    """
    environment = dict(os.environ)
    if address == _AUTO and has_token():
        environment.setdefault(MODE_VARIABLE, "token")
    return environment


def unreachable_error(address: str | None, reason: str) -> MachineError:
    """Returns the error for a cluster that cannot be reached; None is one on this machine."""
    place = f"Ray cluster {address or 'on this machine'}"
    do = DO_START_RAY if address == _AUTO else _DO_MODE
    if _NO_TOKEN in reason:
        do = _DO_TOKEN
    if address is None:
        do = ""
    return MachineError(place, f"cannot be reached ({reason.rstrip('.')})", do=do)


def joining_error(address: str | None, error: Exception) -> MachineError:
    """Returns the error for a cluster that Ray does not let this process join."""
    versions = _VERSIONS.search(str(error))
    if versions is None:
        return unreachable_error(address, first_line(error))
    ray_there, python_there, ray_here, python_here = versions.groups()
    rule = (
        f"has Ray {ray_there} and Python {python_there}, "
        f"and this machine has Ray {ray_here} and Python {python_here}: they must be the same"
    )
    do = f"Install ray=={ray_there} in an environment of Python {python_there} here."
    if ray_there == ray_here and _minor(python_there) == _minor(python_here):
        do = "Set RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL=minor, which lets the last numbers differ."
    return MachineError(f"Ray cluster {address}", rule, do=do)


def _minor(version: str) -> str:
    """Returns 3.11 of 3.11.7."""
    return version.rpartition(".")[0]


def answers(address: str) -> bool:
    """True if something listens at an address of the form host:port."""
    try:
        _connect(address)
    except OSError:
        return False
    return True


def _connect(address: str) -> None:
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()


def _check_port(address: str) -> None:
    """Raises MachineError if nothing listens at an address of the form host:port."""
    if not _has_port(address):
        return  # "auto"
    try:
        _connect(address)
    except TimeoutError:
        raise unreachable_error(address, f"nothing answers within {_CONNECT_S:.0f} s") from None
    except (OSError, OverflowError) as error:
        raise unreachable_error(address, getattr(error, "strerror", None) or str(error)) from None


def _reason(output: str) -> str:
    """Returns the first sentence of the error with which Ray's check ended."""
    lines = output.strip().splitlines() or ["Ray's health check failed without a message"]
    sentence, _, _ = lines[-1].partition(". ")
    return re.sub(r"^[\w.]+Error: ", "", sentence)

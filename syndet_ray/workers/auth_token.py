"""Auth token: what a process shows to a Ray cluster which asks for one."""

import os
import secrets
from pathlib import Path

from syndet_ray.errors import MachineError
from syndet_ray.files import check_writable

MODE_VARIABLE = "RAY_AUTH_MODE"  # "token" if clusters ask for one

# where Ray looks for it, and in this order
_VARIABLES = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
_FILE = Path(".ray") / "auth_token"  # in the home folder
_BYTES = 32  # 256 bits cannot be guessed


def has_token() -> bool:
    """True if Ray would find a token here.

    Ray itself cannot be asked: from then on this process shows the token to all clusters, or to
    none.
    """
    if _is_in_environment():
        return True
    try:
        return (Path.home() / _FILE).is_file()
    except (OSError, RuntimeError):  # RuntimeError: this user has no home folder
        return False


def ensure_token() -> None:
    """Makes a token for new clusters of this process if Ray could not keep one in the home folder.

    It stays in the environment: Ray reads it once, and its processes inherit it.
    """
    if _is_in_environment():
        return
    try:
        token = Path.home() / _FILE
        if not token.is_file():
            check_writable(token)
    except (OSError, RuntimeError, MachineError):  # RuntimeError: this user has no home folder
        os.environ[_VARIABLES[0]] = secrets.token_hex(_BYTES)


def _is_in_environment() -> bool:
    return any(os.environ.get(name) for name in _VARIABLES)

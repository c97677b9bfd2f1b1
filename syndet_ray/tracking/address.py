"""Address: the address of an MLflow store, read and written without loading MLflow."""

import re

from syndet_ray.errors import MachineError

_MASK = "***"


def is_server(uri: str) -> bool:
    """True for the address of a server, False for that of a database or a folder."""
    return uri.startswith(("http://", "https://"))


def server_address(uri: str) -> str:
    """Returns the address of an MLflow server, given that of one of its pages in a browser.

    There, #/experiments/0 or a query follows it. Other addresses stay as they are.
    """
    if not is_server(uri):
        return uri
    # A password may have any character but a slash.
    plain = re.match(r"\w+://(?:[^/]*@)?[^#?]*", uri)
    assert plain is not None, "it begins with its scheme"
    return plain[0].rstrip("/")


def mask(text: str) -> str:
    """Returns a text, such as a command line, with the passwords of its addresses masked."""
    text = re.sub(r"(://[^/\s:@]*):[^/\s]*@", rf"\1:{_MASK}@", text)
    return re.sub(
        r"([?&](?:password|passwd|pwd|token|secret)=)[^&\s'\"]+",
        rf"\1{_MASK}",
        text,
        flags=re.IGNORECASE,
    )


def without_login(uri: str) -> str:
    """Returns an address without name and password."""
    return re.sub(r"://[^/\s]*@", "://", uri)


def kept_address(uri: str) -> str:
    """Returns the address to use, given one that was kept without its password.

    A server's password then comes from MLflow's own settings. Raises MachineError for other stores:
    MLflow has no such setting for them.
    """
    if _MASK not in uri:
        return uri
    plain = without_login(uri)
    if is_server(uri) and _MASK not in plain:
        return plain
    do = "Give the whole address with `tracking`."
    raise MachineError(uri, "is kept without its password", do=do)

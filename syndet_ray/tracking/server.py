"""Server: checks that MLflow's tracking server answers; writes its address without the password."""

import re

import requests
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from syndet_ray.errors import MachineError

_ANSWER_S = 5  # a healthy server answers this request in well under a second
# The cheapest request that needs the same rights as writing. /health does not: MLflow's own log-in
# leaves it open, so a server that rejects every user looks healthy there.
_EXPERIMENTS = "/api/2.0/mlflow/experiments/search"
_OTHER = "Start it, correct `tracking`, or leave it out to use the sqlite store in the runs folder."
_CERTIFICATE = (
    "Name the authority's file in MLFLOW_TRACKING_SERVER_CERT_PATH, "
    "or set MLFLOW_TRACKING_INSECURE_TLS=true."
)
_LOG_IN = (
    "Set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, "
    "or give `tracking` with name and password: a run does not keep them."
)
_MASK = "***"
# The databases in which MLflow keeps runs; an address may also name the driver.
_DATABASES = ("sqlite:", "postgresql", "mysql", "mssql")


def is_server(uri: str) -> bool:
    """True for the address of a server, False for that of a database or a folder."""
    return uri.startswith(("http://", "https://"))


def check_server(uri: str) -> None:
    """Raises MachineError unless the tracking server at `uri` lets us in, within a few seconds.

    The request is sent as MLflow's own client sends it: with its token, name and password,
    certificates, and all its other settings. Of a database only the form of its address is checked.
    """
    if not is_server(uri):
        _check_database_address(uri)
        return
    place = f"tracking server {mask(uri)}"
    answer = _answer(uri, place)
    status = f"HTTP {answer.status_code}"
    if answer.status_code in (401, 403):
        raise MachineError(place, "rejects this login", got=status, do=_LOG_IN)
    if not answer.ok:
        raise MachineError(place, "is not healthy", got=status, do=_OTHER)
    content_type = answer.headers.get("Content-Type", "")
    if "json" not in content_type:  # such as a login page
        raise MachineError(place, "does not answer as MLflow does", got=content_type, do=_OTHER)


def _check_database_address(uri: str) -> None:
    if uri.startswith(_DATABASES):
        return
    rule = "must be the address of a server (http://...) or of a database (sqlite:///...)"
    do = "Correct `tracking`, or leave it out."
    raise MachineError(f"tracking {mask(uri)}", rule, do=do)


def _answer(uri: str, place: str) -> requests.Response:
    host = get_default_host_creds(uri)
    options = {"max_retries": 0, "timeout": _ANSWER_S, "raise_on_status": False}
    try:
        return http_request(host, _EXPERIMENTS, "POST", json={"max_results": 1}, **options)
    except MlflowException as error:
        cause = error.__cause__ or error.__context__ or error
        do = _CERTIFICATE if isinstance(cause, requests.exceptions.SSLError) else _OTHER
        raise MachineError(place, f"does not answer ({type(cause).__name__})", do=do) from None


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

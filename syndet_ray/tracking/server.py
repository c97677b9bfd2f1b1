"""Server: whether MLflow's tracking server answers, and its address without the password."""

import re

import requests
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from syndet_ray.errors import MachineError

_ANSWER_S = 5
# The cheapest request that needs all that writing needs. /health does not: MLflow's own log-in
# leaves it open, and a server that nobody may use looks healthy.
_EXPERIMENTS = "/api/2.0/mlflow/experiments/search"
_OTHER = "Start it, correct `tracking`, or leave it out to use sqlite beside the runs."
_CERTIFICATE = "Name the authority's file in MLFLOW_TRACKING_SERVER_CERT_PATH, or set MLFLOW_TRACKING_INSECURE_TLS=true."
_LOG_IN = (
    "Set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or give `tracking` with name "
    "and password: a run does not keep them."
)
_MASK = "***"
_DATABASES = (
    "sqlite:",
    "postgresql",
    "mysql",
    "mssql",
)  # those that MLflow keeps runs in; each may name its driver too


def is_server(uri: str) -> bool:
    """Whether an address is that of a server, rather than of a database or a folder."""
    return uri.startswith(("http://", "https://"))


def check_server(uri: str) -> None:
    """Raises MachineError unless the tracking server at `uri` lets us in, within a few seconds.

    Asked as MLflow's own client asks: with its token, name and password, certificates, and whatever
    else is set.
    """
    if not is_server(uri):
        if not uri.startswith(_DATABASES):
            rule = "must be the address of a server (http://...) or of a database (sqlite:///...)"
            raise MachineError(
                f"tracking {mask(uri)}", rule, do="Correct `tracking`, or leave it out."
            )
        return
    place = f"tracking server {mask(uri)}"
    answer = _answer(uri, place)
    got = f"HTTP {answer.status_code}"
    if answer.status_code in (401, 403):
        raise MachineError(place, "rejects this login", got=got, do=_LOG_IN)
    if not answer.ok:
        raise MachineError(place, "is not healthy", got=got, do=_OTHER)
    kind = answer.headers.get("Content-Type", "")
    if "json" not in kind:  # such as a page to log in on
        raise MachineError(place, "does not answer as MLflow does", got=kind, do=_OTHER)


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
    """A text, such as an address or a command line, without the passwords of the addresses in it."""
    text = re.sub(r"(://[^/\s:@]*):[^/\s]*@", rf"\1:{_MASK}@", text)
    return re.sub(
        r"([?&](?:password|passwd|pwd|token|secret)=)[^&\s'\"]+",
        rf"\1{_MASK}",
        text,
        flags=re.IGNORECASE,
    )


def without_login(uri: str) -> str:
    """An address without name and password."""
    return re.sub(r"://[^/\s]*@", "://", uri)


def kept_address(uri: str) -> str:
    """The address to go on with, of one that was kept without its password.

    A server's password then comes from MLflow's own settings. Raises MachineError for other stores,
    which have none.
    """
    if _MASK not in uri:
        return uri
    plain = without_login(uri)
    if is_server(uri) and _MASK not in plain:
        return plain
    raise MachineError(
        uri, "is kept without its password", do="Give the whole address with `tracking`."
    )

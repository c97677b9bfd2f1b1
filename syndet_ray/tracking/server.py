"""Server: checks that MLflow's tracking server answers, and asks it past a proxy."""

import os
import re
from urllib.parse import urlsplit

import requests
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from syndet_ray.errors import MachineError
from syndet_ray.tracking.address import is_server, mask

_ANSWER_S = 5  # a healthy server answers this request in well under a second
# The cheapest request that needs the same rights as writing. /health does not: MLflow's own log-in
# leaves it open, so a server that rejects every user looks healthy there.
_EXPERIMENTS = "/api/2.0/mlflow/experiments/search"
_LEAVE_OUT = "leave it out to use the sqlite store in the runs folder."
_OTHER = f"Start it, correct `tracking`, or {_LEAVE_OUT}"
_OTHER_ADDRESS = (
    "Correct `tracking`: give the address of MLflow's first page, such as http://host:5000, or "
    f"{_LEAVE_OUT}"
)
_CERTIFICATE = (
    "Name the authority's file in MLFLOW_TRACKING_SERVER_CERT_PATH, "
    "or set MLFLOW_TRACKING_INSECURE_TLS=true."
)
_LOG_IN = (
    "Set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, "
    "or give `tracking` with name and password: a run does not keep them."
)
_NOT_MLFLOW = "does not answer as MLflow does"
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
_NO_SUCH_PAGE = (404, 405)  # of a server that is not MLflow, or has it elsewhere
# The databases in which MLflow keeps runs; an address may also name the driver.
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


class ServerAway(MachineError):
    """A tracking server does not answer, or is not healthy: it may come back."""


def is_away(uri: str) -> bool:
    """True if there is no healthy server at an address at the moment."""
    try:
        check_server(uri)
    except MachineError as error:
        return isinstance(error, ServerAway)
    return False


def bypass_proxy(uri: str) -> None:
    """Makes requests to a server on this machine go there, not to the proxy of the environment.

    A proxy, on another machine, cannot reach it.
    """
    host = urlsplit(uri).hostname or ""
    if host not in _THIS_MACHINE:
        return
    listed = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = [entry.strip() for entry in listed.split(",") if entry.strip()]
    if "*" not in hosts and host not in hosts:
        hosts.append(host)
        # some programs read the one, some the other
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(hosts)


def _proxy_advice(uri: str) -> str:
    """Returns what to do about a proxy between this machine and a server; "" if there is none."""
    proxies = requests.utils.get_environ_proxies(uri)
    parts = urlsplit(uri)
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy is None:
        return ""
    return (
        f"The request goes through the proxy {mask(proxy)}. If the server is reached without it, "
        f"add {parts.hostname} to NO_PROXY. Otherwise start the server, correct `tracking`, or "
        f"{_LEAVE_OUT}"
    )


def check_server(uri: str) -> None:
    """Raises MachineError unless the tracking server at `uri` lets us in, within a few seconds.

    A server on this machine is asked past the proxy of the environment, from now on. The request is
    sent as MLflow's own client sends it: with its token, name and password, certificates, and all
    its other settings. Of a database only the form of its address is checked.
    """
    if not is_server(uri):
        _check_database_address(uri)
        return
    bypass_proxy(uri)
    place = f"tracking server {mask(uri)}"
    answer = _answer(uri, place)
    status = f"HTTP {answer.status_code}"
    if answer.status_code in (401, 403):
        raise MachineError(place, "rejects this login", got=status, do=_LOG_IN)
    proxy_advice = _proxy_advice(uri)
    if answer.status_code in _NO_SUCH_PAGE:
        do = proxy_advice or _OTHER_ADDRESS
        raise MachineError(place, _NOT_MLFLOW, got=status, do=do)
    do = proxy_advice or _OTHER
    if not answer.ok:
        raise ServerAway(place, "is not healthy", got=status, do=do)
    content_type = answer.headers.get("Content-Type", "")
    if "json" not in content_type:  # such as a login page
        raise MachineError(place, _NOT_MLFLOW, got=content_type, do=do)


def _check_database_address(uri: str) -> None:
    if uri.startswith("sqlite") and uri.partition(":")[2].lstrip("/") in ("", ":memory:"):
        rule = "keeps nothing: it is in the memory of one process"
        raise MachineError(f"tracking {mask(uri)}", rule, do="Give the path of a file.")
    if uri.startswith(_DATABASES):
        return
    rule = "must be the address of a server (http://...) or of a database (sqlite:///...)"
    do = "Correct `tracking`, or leave it out."
    if re.fullmatch(r"[\w.-]+:\d+", uri):  # as browsers show it
        do = f"Did you mean http://{uri}?"
    raise MachineError(f"tracking {mask(uri)}", rule, do=do)


def _answer(uri: str, place: str) -> requests.Response:
    host = get_default_host_creds(uri)
    options = {"max_retries": 0, "timeout": _ANSWER_S, "raise_on_status": False}
    try:
        return http_request(host, _EXPERIMENTS, "POST", json={"max_results": 1}, **options)
    except MlflowException as error:
        cause = error.__cause__ or error.__context__ or error
        is_certificate = isinstance(cause, requests.exceptions.SSLError)
        do = _CERTIFICATE if is_certificate else _proxy_advice(uri) or _OTHER
        raise ServerAway(place, f"does not answer ({type(cause).__name__})", do=do) from None

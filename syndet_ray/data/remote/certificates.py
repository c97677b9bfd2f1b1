"""Certificates: which ones this machine trusts, and what is wrong with a web server's."""

import os
import ssl
from pathlib import Path

from syndet_ray.errors import MachineError, first_line

# Files or folders of certificates, in the order in which they count. The first two are those of
# requests and curl; the others are OpenSSL's, which requests does not read by itself.
_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
# OpenSSL's numbers of what may be wrong, X509_V_ERR_... in its x509_vfy.h.
_TOO_EARLY, _TOO_LATE = 9, 10
_UNKNOWN_AUTHORITY = {18, 19, 20, 21}
_OTHER_HOST = {62, 64}  # another name, another IP address
_DO_CLOCK = "Check the clock of this machine; if it is right, the server's owner must renew it."
_DO_HOST = "Correct the host's name in the address, or ask the server's owner."
_IF_TRUSTED = "If you trust it, or your network replaces certificates,"
_DO_OTHER = "Ask the server's owner. If your network replaces certificates, ask who runs it."
_DO_PORT = "Correct its port, or check HTTPS_PROXY."


def authorities() -> str | bool:
    """The file or folder of the certificates that are trusted, True for those of `certifi`.

    Raises MachineError where the environment names what is not there or holds none.
    """
    variable = _variable()
    if variable is None:
        return True
    named = os.environ[variable]
    _check(variable, Path(named))
    return named


def _variable() -> str | None:
    """The variable of the environment that names the trusted certificates."""
    return next((variable for variable in _VARIABLES if os.environ.get(variable)), None)


def _check(variable: str, path: Path) -> None:
    do = "Correct it, or unset it to trust the usual authorities."
    if path.is_dir():
        return
    if not path.exists():
        raise MachineError(f"${variable}", "names no file", got=str(path), do=do)
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # ssl.SSLError is one
        rule = f"must name a file of certificates in PEM ({_reason(error)})"
        raise MachineError(f"${variable}", rule, got=str(path), do=do) from None


def tls_error(place: str, error: BaseException) -> MachineError:
    """The error of a server with which no encrypted connection could be made, with advice.

    error  of requests or urllib3, which came from one of `ssl`
    """
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__context__
    if cause is None:
        rule = f"cannot be reached with TLS ({first_line(error)})"
        return MachineError(place, rule, do=_DO_OTHER)
    if not isinstance(cause, ssl.SSLCertVerificationError):
        rule = f"cannot be reached with TLS, as if the server spoke none ({_reason(cause)})"
        return MachineError(place, rule, do=_DO_PORT)
    reason = cause.verify_message.rstrip(".")
    code = cause.verify_code
    if code in (_TOO_EARLY, _TOO_LATE):
        state = "not yet valid" if code == _TOO_EARLY else "no longer valid"
        return MachineError(place, f"has a certificate that is {state}", do=_DO_CLOCK)
    if code in _OTHER_HOST:
        return MachineError(place, f"has the certificate of another host ({reason})", do=_DO_HOST)
    if code in _UNKNOWN_AUTHORITY:
        rule = f"has a certificate of an authority that is not trusted here ({reason})"
        return MachineError(place, rule, do=_trust_advice())
    rule = f"has a certificate that is not accepted ({reason})"
    return MachineError(place, rule, do=_DO_OTHER)


def _trust_advice() -> str:
    variable = _variable()
    do = f"{_IF_TRUSTED} name the file of its own certificate in {variable or 'SSL_CERT_FILE'}."
    return do if variable is None else f"{do} It names {os.environ[variable]} now."


def _reason(error: OSError) -> str:
    """OpenSSL's word for an error: WRONG_VERSION_NUMBER."""
    return getattr(error, "reason", None) or error.strerror or first_line(error)

"""Address: the place of a dataset: a folder, a prefix on S3, or a file on a web server."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit, urlunsplit

from syndet_ray.errors import DataError

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
ENDINGS = (*ARCHIVES, ".parquet", ".record")
# Only this machine may be asked without encryption: elsewhere others read along.
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_BROKEN = re.compile(r"(s3|https?):/(?!/)")
_S3_QUERY = {"endpoint_override", "scheme", "region"}
_QUERY = re.compile(r"(https?://[^?#]+)\?[^#]*", re.IGNORECASE)
_LOGIN = re.compile(r"(/+)[^/?#]*@")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FORMS = "Give a folder, s3://bucket/prefix, or https://host/set.zip#sha256=HEX."
_ADD_SUM = (
    "Add #sha256= and the sum that its publisher states, or that sha256sum prints for a copy that "
    "you trust."
)


@dataclass(frozen=True, kw_only=True)
class WebFile:
    """A file on a web server.

    url     without its checksum
    name    the last part of its path
    sha256  64 hexadecimal digits
    """

    url: str
    name: str
    sha256: str


def is_address(place: Path | str) -> bool:
    """True for s3://... and https://..., False for a folder."""
    return isinstance(place, str) and _SCHEME.match(place) is not None


def photo_place(place: Path | str) -> Path | str:
    """The place of a dataset as its user wrote it: a path, or a text for an address.

    Raises DataError for an address that cannot be used.
    """
    text = str(place)
    if _BROKEN.match(text):
        rule = "is an address with a slash too few"
        do = "Write two slashes; in Python, give a text and not a Path."
        raise DataError(_without_secrets(text), rule, do=do)
    scheme = _SCHEME.match(text)
    if scheme is None:
        return Path(place)
    _check(text, scheme[1].lower())
    return text


def check_url(url: str) -> None:
    """Raises DataError for a file of a web server that may not be fetched from there.

    Names and passwords in it are refused: it would be kept in files and shown.
    """
    parts = _parts(url)
    if "@" in parts.netloc:
        do = "Take them out of the address; ~/.netrc may hold them."
        raise DataError(for_messages(url), "must hold no name or password", do=do)
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        rule = "must begin with https://: on the way, others could read and change it"
        raise DataError(for_messages(url), rule, do="Correct the address.")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise DataError(for_messages(url), "is no address of a web server", do=_FORMS)


def web_file(address: str) -> WebFile:
    """The file of an https:// address. Raises DataError if it may not be used."""
    check_url(address)
    parts = _parts(address)
    name = unquote(parts.path).rpartition("/")[2]
    if not name.lower().endswith(ENDINGS) or name.startswith("."):
        rule = f"must name a file that ends with {', '.join(ENDINGS)}"
        raise DataError(for_messages(address), rule, do=_FORMS)
    return WebFile(
        url=urlunsplit(parts._replace(fragment="")),
        name=name,
        sha256=_sha256(address, parts.fragment),
    )


def is_archive(name: str) -> bool:
    """True for the name of a file that is unpacked."""
    return name.lower().endswith(ARCHIVES)


def without_ending(name: str) -> str:
    """The name of a file without the ending that says its format."""
    ending = next(ending for ending in ENDINGS if name.lower().endswith(ending))
    return name[: -len(ending)]


def for_record(place: Path | str) -> str:
    """The place as run.json keeps it: a path is absolute, and a web address is without its query,
    which may hold a token. The query of an s3:// address names a store and its region.
    """
    if not is_address(place):
        return str(Path(place).resolve())
    parts = urlsplit(str(place))
    return str(place) if parts.scheme == "s3" else urlunsplit(parts._replace(query=""))


def without_queries(words: Iterable[str]) -> list[str]:
    """The words of a command line without the queries of web addresses, which may hold tokens."""
    return [_QUERY.sub(r"\1", word) for word in words]


def for_messages(address: str) -> str:
    """An address as messages show it: without a password, a token or the digits of a sum."""
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2]
    query = parts.query if parts.scheme == "s3" else ""
    return urlunsplit((parts.scheme, host, parts.path, query, ""))


def _check(address: str, scheme: str) -> None:
    if scheme in ("http", "https"):
        web_file(address)
        return
    if scheme != "s3":
        rule = f"has a kind of address that cannot be read, {scheme}://"
        raise DataError(for_messages(address), rule, do=_FORMS)
    parts = _parts(address)
    if "@" in parts.netloc:
        do = "Take them out: they come from the environment, or the machine's role."
        raise DataError(for_messages(address), "must hold no keys", do=do)
    others = sorted(dict(parse_qsl(parts.query)).keys() - _S3_QUERY)
    if others:
        rule = f"may say after ? only {', '.join(sorted(_S3_QUERY))}"
        do = "Keys come from the environment, or the machine's role."
        raise DataError(urlunsplit(parts._replace(query="")), rule, got=others, do=do)
    if not parts.netloc or parts.fragment:
        rule = "must be s3://bucket/prefix, or s3://bucket"
        raise DataError(for_messages(address), rule, do="Correct the address.")


def _parts(address: str) -> SplitResult:
    try:
        parts = urlsplit(address)
        _ = parts.port  # raises for what is no number
    except ValueError as error:
        raise DataError(_without_secrets(address), f"is no address ({error})", do=_FORMS) from None
    return parts


def _without_secrets(text: str) -> str:
    """As `for_messages`, for a text that is no address."""
    return _LOGIN.sub(r"\1", text.partition("?")[0].partition("#")[0])


def _sha256(address: str, fragment: str) -> str:
    """The checksum of an address. Raises DataError if there is none."""
    if not fragment:
        rule = "must come with its checksum: what a server sends may change, or be damaged"
        raise DataError(for_messages(address), rule, do=_ADD_SUM)
    name, _, digits = fragment.partition("=")
    if name.lower() != "sha256":
        raise DataError(
            for_messages(address), "must end with #sha256=HEX", got=f"#{fragment}", do=_ADD_SUM
        )
    if not _SHA256.fullmatch(digits.lower()):
        rule = "must have a SHA-256 of 64 hexadecimal digits"
        raise DataError(for_messages(address), rule, got=digits, do=_ADD_SUM)
    return digits.lower()

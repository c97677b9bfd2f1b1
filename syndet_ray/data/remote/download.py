"""Download: one file of a web server, streamed to disk, resumed, and checked by its SHA-256."""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urljoin, urlsplit

from syndet_ray.data.memory import memory_words
from syndet_ray.data.remote.address import check_url, for_messages
from syndet_ray.data.remote.certificates import authorities, tls_error
from syndet_ray.errors import DataError, MachineError, first_line
from syndet_ray.files import file_hash, make_folder, write_whole, writing
from syndet_ray.progress import Progress

if TYPE_CHECKING:
    from requests import Response, Session

_CONNECT_S, _SILENCE_S = 10.0, 30.0
# Before each further attempt; after one that brought something they start again.
_PAUSES_S = (1.0, 2.0, 4.0, 8.0)
_CHUNK_BYTES = 1 << 20
_MOST_REDIRECTS = 5
_AGAIN = {408, 425, 429, 500, 502, 503, 504}  # answers that may differ a moment later
_SHOWN_DIGITS = 12  # of a sum that is wrong: enough to recognize it, too few to copy it unchecked
_REFUSALS = {
    401: "It wants a login: ~/.netrc may hold one, else fetch the file by hand.",
    403: "It refuses this machine: ask its owner, or fetch the file by hand.",
    404: "It has no such file: correct the address.",
    410: "It no longer has the file: find another address.",
}
_PROXY = "Check HTTPS_PROXY and NO_PROXY."
_NO_HOST = "Check the host's name and this machine's network."
_NETWORK = "Check the network and the address. The same command continues where it stopped."


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """The start of a file's transfer. offset: bytes of it that this machine has already; total:
    bytes of the whole file, 0 if the server does not say.
    """

    response: "Response"
    offset: int
    total: int


class _TryAgain(Exception):
    """An attempt failed, and another one may not. Its argument: the error that a user sees."""


def fetch(
    url: str,
    target: Path,
    sha256: str | None,
    *,
    most_bytes: int,
    progress: Progress,
    reserve: Callable[[int], None] = lambda needed_bytes: None,
) -> str:
    """Fetches a file; returns its SHA-256.

    An interrupted transfer goes on where it stopped. The file is there once its sum is right.

    sha256      the sum that it must have; None takes any
    most_bytes  that the file may have
    progress    counts megabytes
    reserve     is called with the bytes that are still to come, if the server says how many

    Raises DataError for another sum, and MachineError for a server that refuses or is silent.
    """
    make_folder(target.parent)
    part = target.with_name(f".{target.name}.part")
    is_resumed = _size(part) > 0
    if is_resumed and sha256 is None and not _validator_file(part).exists():
        part.unlink()  # nothing would tell whether the rest is of the same file
        is_resumed = False
    load = partial(_load, url, part, most_bytes=most_bytes, progress=progress, reserve=reserve)
    load()
    actual = file_hash(part)
    if is_resumed and sha256 not in (None, actual):  # the file may have changed meanwhile
        _forget(part)
        load()
        actual = file_hash(part)
    if sha256 not in (None, actual):
        size = memory_words(_size(part))
        _forget(part)
        rule = f"must have the SHA-256 {sha256}"
        do = (
            f"The {size} that came are deleted. The file was changed, or is another one: ask its "
            "publisher which sum is right."
        )
        raise DataError(for_messages(url), rule, got=f"{actual[:_SHOWN_DIGITS]}...", do=do)
    with writing(target):
        os.replace(part, target)
    _forget(part)
    return actual


def _load(
    url: str,
    part: Path,
    *,
    most_bytes: int,
    progress: Progress,
    reserve: Callable[[int], None],
) -> None:
    """Fetches what a half file lacks, in several attempts if the connection breaks off."""
    from requests import Session

    attempts = 0
    with Session() as session:
        # A proxy cannot reach this machine's own servers.
        session.trust_env = _is_encrypted(url)
        if session.trust_env:
            session.verify = authorities()
        while True:
            before = _size(part)
            try:
                _attempt(
                    session, url, part, most_bytes=most_bytes, progress=progress, reserve=reserve
                )
                return
            except _TryAgain as failure:
                attempts = 0 if _size(part) > before else attempts + 1
                if attempts > len(_PAUSES_S):
                    raise failure.args[0] from None
                time.sleep(_PAUSES_S[max(0, attempts - 1)])


def _attempt(
    session: "Session",
    url: str,
    part: Path,
    *,
    most_bytes: int,
    progress: Progress,
    reserve: Callable[[int], None],
) -> None:
    """Fetches the rest of a file. Raises _TryAgain, SyndetError, or OSError of this disk."""
    from requests.exceptions import RequestException
    from urllib3.exceptions import HTTPError

    try:
        answer = _ask(session, url, part)
        if answer is None:
            return
        with answer.response as response, writing(part):
            _check_size(url, answer.total, most_bytes)
            reserve(max(0, answer.total - answer.offset))
            _keep_validator(part, response.headers)
            with part.open("r+b" if answer.offset else "wb") as file:
                file.seek(answer.offset)
                done = answer.offset
                total_mb = max(1, -(-answer.total // 10**6))
                progress(min(done // 10**6, total_mb - 1), total_mb)
                # as it is: a server that calls a .tar.gz compressed must not have it unpacked here
                for chunk in response.raw.stream(_CHUNK_BYTES, decode_content=False):
                    file.write(chunk)
                    done += len(chunk)
                    _check_size(url, done, most_bytes)
                    progress(min(done // 10**6, total_mb - 1), total_mb)
                progress(total_mb, total_mb)
    except (RequestException, HTTPError) as error:
        _refuse(url, error)
    if answer.total and _size(part) != answer.total:
        raise _TryAgain(MachineError(for_messages(url), "broke off in the middle", do=_NETWORK))


def _ask(session: "Session", url: str, part: Path) -> _Answer | None:
    """Asks for what a half file lacks; None if it lacks nothing."""
    offset = _size(part)
    headers = {"Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
        with suppress(FileNotFoundError):
            headers["If-Range"] = _validator_file(part).read_text(encoding="utf-8")
    response = _follow(session, url, headers)
    if response.status_code == 200:
        return _Answer(response=response, offset=0, total=_length(response))
    if response.status_code == 206 and _first_byte(response) == offset:
        return _Answer(response=response, offset=offset, total=offset + _length(response))
    response.close()
    if response.status_code == 416 and _whole_size(response) == offset:
        return None
    if response.status_code in (206, 416):
        _forget(part)
        raise _TryAgain(
            MachineError(for_messages(url), "sends another part than asked for", do=_NETWORK)
        )
    rule = f"answers {response.status_code} {response.reason}".rstrip()
    error = MachineError(for_messages(url), rule, do=_REFUSALS.get(response.status_code, _NETWORK))
    raise _TryAgain(error) if response.status_code in _AGAIN else error


def _follow(session: "Session", url: str, headers: Mapping[str, str]) -> "Response":
    """The answer of a server, or of the one that it points to; each address is checked first."""
    for _ in range(_MOST_REDIRECTS):
        check_url(url)
        response = session.get(
            url,
            headers=dict(headers),
            stream=True,
            allow_redirects=False,
            timeout=(_CONNECT_S, _SILENCE_S),
        )
        target = session.get_redirect_target(response)
        if target is None:
            return response
        response.close()
        target = urljoin(url, target)
        if _is_encrypted(url) and not _is_encrypted(target):
            rule = f"leads to {for_messages(target)}, which others could read and change on the way"
            do = "Ask its publisher for an address that stays with https://."
            raise DataError(for_messages(url), rule, do=do)
        url = target
    raise MachineError(
        for_messages(url), f"is reached after more than {_MOST_REDIRECTS} redirections"
    )


def _is_encrypted(url: str) -> bool:
    return urlsplit(url).scheme.lower() == "https"


def _length(response: "Response") -> int:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdigit() else 0


def _first_byte(response: "Response") -> int | None:
    """The first byte of a part: 500 of "bytes 500-999/1000"."""
    first = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(first) if first.isdigit() else None


def _whole_size(response: "Response") -> int | None:
    """The size of a file that has no such part: 1000 of "bytes */1000"."""
    size = response.headers.get("Content-Range", "").rpartition("/")[2]
    return int(size) if size.isdigit() else None


def _check_size(url: str, size: int, most_bytes: int) -> None:
    if size > most_bytes:
        rule = f"is larger than the {memory_words(most_bytes)} that there is room for"
        raise MachineError(
            for_messages(url), rule, do="Make room, or take a folder on a larger disk."
        )


def _keep_validator(part: Path, headers: Mapping[str, str]) -> None:
    """Keeps what tells versions of a file apart, so that the rest of another one is not taken."""
    etag = headers.get("ETag", "")
    validator = headers.get("Last-Modified", "") if etag.startswith("W/") or not etag else etag
    if validator:
        write_whole(_validator_file(part), validator.encode())
    else:
        _validator_file(part).unlink(missing_ok=True)


def _validator_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.version")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _validator_file(part).unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _refuse(url: str, error: Exception) -> NoReturn:
    """Raises an error of requests or urllib3 as one with advice; _TryAgain if it may pass."""
    from requests.exceptions import ProxyError, SSLError
    from urllib3.exceptions import ReadTimeoutError

    place, text = for_messages(url), first_line(error)
    if isinstance(error, SSLError):
        raise tls_error(place, error)
    if isinstance(error, ProxyError):
        rule = f"cannot be reached through the proxy ({_cause(error)})"
        raise MachineError(place, rule, do=_PROXY)
    if "NameResolutionError" in text or "Failed to resolve" in text:
        raise MachineError(place, "has a host that cannot be found", do=_NO_HOST)
    rule = f"cannot be fetched ({_cause(error)})"
    if isinstance(error, ReadTimeoutError) or "timed out" in text:
        rule = f"has been silent for {_SILENCE_S:g} s"
    raise _TryAgain(MachineError(place, rule, do=_NETWORK))


def _cause(error: BaseException) -> str:
    """The innermost reason of an error, in a few words: "Connection refused"."""
    while error.__context__ is not None:
        error = error.__context__
    return getattr(error, "strerror", None) or first_line(error)

"""Answers and files over HTTP: asked politely (`hosts`), resumed where they were cut, never a mix.

What is being fetched is `NAME.partial`, with `NAME.partial.json` beside it: which version of the
file it is (its ETag) and how long that is. Another try asks for the rest of that very version
(`Range` with `If-Range`, RFC 9110 section 13.1.5); where the server has another now, it sends all
of it, and the file begins anew. A file gets its name when it is whole.
"""

import dataclasses
import json
import mimetypes
import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import httpx2

from lb_jax.builder import hosts as hosts_lib
from lb_jax.builder.hosts import Hosts, Passing, Refused
from lb_jax.builder.store import FULL_DISK
from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES
from lb_jax.core.words import counted

PARTIAL = ".partial"
AGENT = "lb_jax corpus collect"
# Endings of what may be fetched; for a name without one the type of the answer tells.
MEDIA = frozenset(
    ending for name in ("video", "audio", "image") for ending in MODALITIES[name].suffixes
)
TYPES = {"audio/mpeg": ".mp3", "audio/ogg": ".ogg", "video/ogg": ".ogv", "audio/x-wav": ".wav"}
PAGES = ("text/html", "application/xhtml+xml")
WHOLE, PART, BEYOND = 200, 206, 416  # status of answers


@dataclasses.dataclass(frozen=True)
class Version:
    """What is being fetched.

    Attributes:
      url: where it is.
      etag: which version of it; empty where the server does not tell, or not to the byte.
      total: its length in bytes; None where the server does not tell.
      ending: of the name that it will have.
    """

    url: str
    etag: str
    total: int | None
    ending: str


class Client:
    """Fetches; threads may share it. Use as a context manager.

    Args:
      hosts: what is asked how often.
      stall_s: a connection that brings nothing for so long is cut.
      largest_bytes: of a file.
    """

    def __init__(self, hosts: Hosts, *, stall_s: float = 30.0, largest_bytes: int = 1 << 29):
        self.hosts, self._largest = hosts, largest_bytes
        self._http = httpx2.Client(
            follow_redirects=True,
            timeout=stall_s,
            # what is counted in ranges and lengths is the file itself, not a compressed form
            headers={"User-Agent": AGENT, "Accept-Encoding": "identity"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self._http.close()

    def json(
        self,
        url: str,
        params: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """An answer in JSON.

        Raises:
          Failed: not this time.
          Refused: the server will not, or answers something else.
        """

        def once() -> Any:
            try:
                answer = self._http.get(url, params=params, headers=headers)
            except httpx2.UnsupportedProtocol:
                raise
            except httpx2.TransportError as error:
                raise _cut(error) from error
            _require(url, answer)
            try:
                return answer.json()
            except ValueError as error:
                raise Refused(url, "answers something else than JSON") from error

        return self._ask(url, once)

    def file(self, url: str, stem: Path, headers: Mapping[str, str] | None = None) -> Path:
        """Fetches a file.

        Args:
          url: where it is.
          stem: its path without an ending, which the URL or the server tells.
          headers: of the request.

        Returns:
          Its path.

        Raises:
          Failed: not this time; what there is of it stays, and another call goes on.
          Refused: there is none, it is too large, or a web page.
          DataError: the disk is full.
        """
        partial = Partial(stem)

        def once() -> Path:
            try:
                return self._attempt(url, partial, dict(headers or {}))
            except OSError as error:
                raise errors.DataError(
                    stem, f"cannot be written ({error.strerror}); {FULL_DISK}"
                ) from error

        return self._ask(url, once)

    def _ask(self, url: str, once: Any) -> Any:
        try:
            return self.hosts.ask(hosts_lib.host_of(url), url, once)
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            raise Refused(url, "is no URL; expected one as https://host/path") from error
        except httpx2.TooManyRedirects as error:
            raise Refused(url, "sends on and on to other addresses") from error

    def _attempt(self, url: str, partial: "Partial", headers: dict[str, str]) -> Path:
        """One request; what it brings is kept."""
        start, version = partial.there(url)
        held = start
        if start and version is not None:
            headers |= {"Range": f"bytes={start}-", "If-Range": version.etag}
        size = start
        try:
            with self._http.stream("GET", url, headers=headers) as answer:
                if answer.status_code == BEYOND and version is not None:
                    if start == version.total:  # it was whole, and is the same still
                        return partial.finish(version)
                    partial.drop()
                    raise Passing("has nothing behind what is here of it")
                _require(url, answer)
                if answer.status_code == PART:
                    if version is None or not _goes_on(answer, start, version):
                        partial.drop()
                        raise Passing("sends another part than it was asked for")
                else:
                    start = size = 0
                    version = partial.begin(_version(url, answer))
                self._require_size(url, version.total or 0, partial)
                with partial.path.open("ab" if start else "wb") as file:
                    for chunk in answer.iter_raw():
                        size += len(chunk)
                        self._require_size(url, size, partial)
                        file.write(chunk)
        except httpx2.UnsupportedProtocol:
            raise
        except httpx2.TransportError as error:
            raise _cut(error, gained=_is_gain(version, held, start, size)) from error
        assert version is not None  # there is an answer
        if version.total is not None and size != version.total:
            if size > version.total:
                partial.drop()
            told = f"ends after {size:,} of {counted(version.total, 'byte')}"
            raise Passing(told, gained=_is_gain(version, held, start, size))
        return partial.finish(version)

    def _require_size(self, url: str, size: int, partial: "Partial") -> None:
        if size > self._largest:
            partial.drop()
            raise Refused(url, f"is larger than {self._largest:,} bytes; raise largest_mb")


class Partial:
    """A file that is being fetched, and the note of what it is.

    Args:
      stem: path that it will have, without an ending.
    """

    def __init__(self, stem: Path):
        self._stem = stem
        self.path = stem.with_name(stem.name + PARTIAL)
        self._note = stem.with_name(f"{stem.name}{PARTIAL}.json")

    def there(self, url: str) -> tuple[int, Version | None]:
        """How many bytes there are, of which version; 0 of None where another try begins anew."""
        try:
            version = Version(**json.loads(self._note.read_text(encoding="utf-8")))
            size = self.path.stat().st_size
        except (OSError, ValueError, TypeError):
            return 0, None
        is_usable = version.url == url and version.etag and size > 0
        if not is_usable or (version.total is not None and size > version.total):
            return 0, None
        return size, version

    def begin(self, version: Version) -> Version:
        """Begins anew; the note is there before the first byte of what it tells of."""
        self.drop()
        self._stem.parent.mkdir(parents=True, exist_ok=True)
        self._note.write_text(json.dumps(dataclasses.asdict(version)), encoding="utf-8")
        return version

    def drop(self) -> None:
        """Removes what there is."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def finish(self, version: Version) -> Path:
        """Gives the file its name."""
        named = self._stem.with_name(self._stem.name + version.ending)
        os.replace(self.path, named)
        self._note.unlink(missing_ok=True)
        return named


def _is_gain(version: Version | None, held: int, start: int, size: int) -> bool:
    """Whether another try can go on from more than this one began with.

    Args:
      version: of the file; None without an answer.
      held: bytes that there were before.
      start: of those, what this try went on from.
      size: bytes that there are now.
    """
    if version is None or not version.etag or start < held:  # all that was there is void
        return False
    return size > held


def _cut(error: httpx2.TransportError, *, gained: bool = False) -> Passing:
    told = {
        httpx2.ConnectError: "cannot be reached",
        httpx2.ConnectTimeout: "cannot be reached",
        httpx2.ReadTimeout: "stalls",
    }
    return Passing(told.get(type(error), "cuts the connection"), gained=gained)


def _require(url: str, answer: httpx2.Response) -> None:
    """Checks that an answer is one."""
    status = answer.status_code
    if status in hosts_lib.PASSING:
        after_s = hosts_lib.retry_after(answer.headers.get("Retry-After"))
        told = f"answers {status} {answer.reason_phrase}".rstrip()
        raise Passing(told, after_s, is_limit=status == hosts_lib.LIMIT)
    if status not in (WHOLE, PART):
        raise Refused(url, f"answers {status} {answer.reason_phrase}".rstrip(), status)


def _version(url: str, answer: httpx2.Response) -> Version:
    """What a whole answer is of."""
    coding = answer.headers.get("Content-Encoding", "identity")
    if coding != "identity":
        raise Refused(url, f"comes as {coding}, which was not asked for")
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind in PAGES:
        raise Refused(url, f"is a web page ({kind}) and no file")
    length = answer.headers.get("Content-Length", "")
    etag = answer.headers.get("ETag", "")
    return Version(
        url,
        "" if etag.startswith("W/") else etag,  # a weak one stays over small changes
        int(length) if length.isascii() and length.isdigit() else None,
        ending(url, kind),
    )


def _goes_on(answer: httpx2.Response, start: int, version: Version) -> bool:
    """Whether a part begins where the last one ended, and is of the same version."""
    told = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
    if told is None or int(told[1]) != start:
        return False
    if told[2] != "*" and version.total is not None and int(told[2]) != version.total:
        return False
    return answer.headers.get("ETag", version.etag) == version.etag


def ending(url: str, kind: str) -> str:
    """Ending of the name of a file: that of its URL where it is one of media, or by its type."""
    named = PurePosixPath(unquote(urlsplit(url).path)).suffix.lower()
    if named in MEDIA:
        return named
    return TYPES.get(kind) or mimetypes.guess_extension(kind) or ".bin"

"""What yt-dlp gets: a film of any site it knows, a channel, a playlist, or a search of terms there.

Its Python API finds and downloads. Every request of it waits for its host as ours do (`hosts`), and
a failure that may pass is tried again with the same back-off. A download that was cut begins anew:
yt-dlp goes on from where it was cut without asking whether the file is still the same one
(`HttpFD` sends no If-Range).
"""

import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lb_jax.builder import hosts as hosts_lib
from lb_jax.builder.collecting import candidates, licences, settings
from lb_jax.builder.collecting.candidates import Allowed, Candidate, Fetched, LeftOut
from lb_jax.builder.hosts import Failed, Hosts, Passing, Refused
from lb_jax.builder.store import FULL, FULL_DISK
from lb_jax.core import errors

KEPT = (
    *("webpage_url", "description", "uploader", "channel", "upload_date", "duration"),
    *("categories", "width", "height", "fps", "language"),
)
# Its extractors of any page, whose ids are names of files.
ANY = ("generic", "html5mediaembed")
GONE = (404, 410)
ID = "site_id"  # of what is known of a candidate: site and id, as in an archive
PARTS = "requested_downloads"  # where yt-dlp says which files it wrote


class YtDlp:
    """Films by URL, or by what a search of terms finds.

    Args:
      questions: URLs, or searches as yt-dlp has them, such as "ytsearch5:a dog".
      cfg: how they are got.
      hosts: what is asked how often.
      stall_s: a connection that brings nothing for so long is cut.
      largest_bytes: of a film.

    Raises:
      ConfigError: yt-dlp is not here, or the file of cookies.
      DataError: the archive cannot be read.
    """

    kind = "ytdlp"
    is_searched = True

    def __init__(
        self,
        questions: Sequence[str],
        cfg: settings.YtDlp,
        hosts: Hosts,
        *,
        stall_s: float = 30.0,
        largest_bytes: int = 1 << 29,
    ):
        require()
        if cfg.cookies and not Path(cfg.cookies).is_file():
            raise errors.ConfigError(
                f"config.collect.ytdlp.cookies is {cfg.cookies}, and there is no such file; export "
                "the cookies of your browser in Netscape's form."
            )
        self._questions, self._cfg, self._hosts = tuple(questions), cfg, hosts
        self._stall_s, self._largest = stall_s, largest_bytes
        self._archive = Archive(Path(cfg.archive)) if cfg.archive else None

    def questions(self) -> Sequence[str]:
        """URLs and searches."""
        return self._questions

    def find(self, question: str) -> Iterator[Candidate]:
        """Films that a URL or a search names.

        Raises:
          Failed: not this time.
          Refused: yt-dlp knows no such site, or there is nothing.
        """
        told = self._asked(question, lambda one: one.extract_info(question, download=False))
        if told is None:
            raise Refused(question, "yt-dlp finds nothing there")
        for entry in _films(told):
            yield self._candidate(entry)

    def fetch(self, one: Candidate, stem: Path, allowed: Allowed) -> Fetched:
        """Downloads a film; its licence is known once its page was read."""
        self._require_new(one)
        found: list[Candidate] = []

        def match(info: Mapping[str, Any], *, incomplete: bool = False) -> str | None:
            if incomplete:
                return None
            told = self._told(one, info)
            if info.get("playlist_index") and told.known[ID] != one.known.get(ID):
                return "is another film of the same page"
            found.append(told)
            self._require_new(told)
            allowed(told)
            return None

        options = {
            "outtmpl": f"{str(stem).replace('%', '%%')}.%(ext)s",
            "match_filter": match,
            "noplaylist": True,
            "extract_flat": False,
        }
        got = self._asked(one.url, lambda yt: yt.extract_info(one.url), **options)
        films = _films(got)
        parts = (part for film in films for part in film.get(PARTS) or ())
        files = [part["filepath"] for part in parts if part.get("filepath")]  # others were skipped
        if len(files) != 1 or not Path(files[0]).is_file():
            raise Refused(
                one.url,
                f"yt-dlp got no file of it: it is several films, or larger than "
                f"{self._largest:,} bytes (largest_mb)",
            )
        return Fetched(Path(files[0]), found[-1])

    def _require_new(self, one: Candidate) -> None:
        if self._archive is not None and self._archive.has(one):
            raise LeftOut(one, f"is in the archive {self._cfg.archive}")

    def kept(self, one: Candidate) -> None:
        """Adds it to the archive."""
        if self._archive is not None:
            self._archive.add(one)

    def _asked(self, what: str, ask: Any, **options: Any) -> Any:
        from yt_dlp.utils import DownloadError, UnsupportedError

        def once() -> Any:
            with _polite(self._hosts, self._options() | options) as one:
                try:
                    got = ask(one)
                    return None if got is None else one.sanitize_info(got)
                except DownloadError as error:
                    told = " ".join(str(error).removeprefix("ERROR: ").split())
                    if any(word in told.lower() for word in FULL):
                        raise errors.DataError(what, FULL_DISK) from error
                    cause = error.exc_info[1] if error.exc_info else None
                    if one.status in GONE or isinstance(cause, UnsupportedError):
                        raise Refused(what, told, one.status) from error
                    if one.is_passing:
                        raise Passing(told) from error
                    raise Failed(what, told) from error

        return self._hosts.ask(self.kind, what, once, is_paced=False)

    def _options(self) -> dict[str, Any]:
        cfg = self._cfg
        given = {
            "cookiefile": cfg.cookies or None,
            "ratelimit": cfg.bytes_per_s or None,
            "sleep_interval": cfg.sleep_s or None,
        }
        return {
            "format": cfg.format,
            "extract_flat": "in_playlist",
            "max_filesize": self._largest,
            "socket_timeout": self._stall_s,
            # one try; another begins anew, see above
            "retries": 0,
            "extractor_retries": 0,
            "file_access_retries": 0,
            "continuedl": False,
            "overwrites": False,  # a file that has its name is whole
            "cachedir": False,
            "updatetime": False,
            "quiet": True,
            "no_warnings": True,
            "noprogress": True,
            "color": "no_color",
            "logger": _Silent(),
            **{name: value for name, value in given.items() if value is not None},
        }

    def _candidate(self, entry: Mapping[str, Any]) -> Candidate:
        site = str(entry.get("ie_key") or entry.get("extractor_key") or ANY[0]).lower()
        url = str(entry.get("webpage_url") or entry.get("url") or "")
        names = [site, str(entry.get("id") or url)]
        if site in ANY:
            names.append(hashlib.sha256(url.encode()).hexdigest()[: candidates.MARK_DIGITS])
        one = Candidate(
            candidates.key(*names),
            self.kind,
            url,
            title=str(entry.get("title") or ""),
            licence=None,
            source=_source(site, url),
            known={ID: f"{site} {entry.get('id')}"},
        )
        return self._told(one, entry) if "formats" in entry else one

    def _told(self, one: Candidate, info: Mapping[str, Any]) -> Candidate:
        """A candidate with what its page tells."""
        site = str(info.get("extractor_key") or ANY[0]).lower()
        return Candidate(
            one.key,
            one.kind,
            one.url,
            title=str(info.get("title") or one.title),
            tags=tuple(map(str, info.get("tags") or ())),
            licence=licences.named(info.get("license")),
            source=_source(site, str(info.get("webpage_url") or one.url)),
            known={ID: f"{site} {info.get('id')}"}
            | {name: info[name] for name in KEPT if info.get(name) is not None},
        )


class Archive:
    """yt-dlp's list of what was fetched: a line "site id" each.

    Args:
      path: of the file, which may not be there yet.

    Raises:
      DataError: it cannot be read or written.
    """

    def __init__(self, path: Path):
        self._path, self._lock = path, threading.Lock()
        try:
            text = path.read_text(encoding="utf-8") if path.exists() else ""
        except (OSError, UnicodeDecodeError) as error:
            raise errors.DataError(path, "is no archive of yt-dlp that can be read") from error
        self._lines = set(text.split("\n")) - {""}

    def has(self, one: Candidate) -> bool:
        """Whether a film stands there."""
        return one.known.get(ID) in self._lines

    def add(self, one: Candidate) -> None:
        """Adds a film, once."""
        line = one.known.get(ID)
        with self._lock:
            if not line or line in self._lines:
                return
            try:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(f"{line}\n")
            except OSError as error:
                raise errors.DataError(
                    self._path, f"cannot be written ({error.strerror}); {FULL_DISK}"
                ) from error
            self._lines.add(line)


class _Silent:
    """What yt-dlp says is told by the errors that it raises."""

    def debug(self, message: str) -> None:
        pass

    info = warning = error = debug


def _films(told: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """Films of what yt-dlp tells, which may be a list of them, or a list of lists."""
    if not told:
        return []
    if "entries" not in told:
        return [told]
    return [film for entry in told["entries"] for film in _films(entry)]


def _source(site: str, url: str) -> str:
    """Whose a film is: the site, or the host of a page of any."""
    return urlsplit(url).netloc if site in ANY else site


def require() -> None:
    """Checks that yt-dlp is here.

    Raises:
      ConfigError: it is not.
    """
    try:
        import yt_dlp  # noqa: F401
    except ImportError as error:
        raise errors.ConfigError(
            "the source ytdlp needs yt-dlp, which is not here; `pip install 'lb_jax[collect]'` "
            "brings it."
        ) from error


def _polite(hosts: Hosts, options: Mapping[str, Any]) -> Any:
    """yt-dlp's program, whose requests wait for their hosts."""
    import yt_dlp
    from yt_dlp.networking import exceptions

    class Polite(yt_dlp.YoutubeDL):
        """`status` is that of the last answer that was an error; `is_passing`, if it may pass."""

        status, is_passing = 0, False

        def urlopen(self, req: Any) -> Any:
            host = hosts_lib.host_of(req if isinstance(req, str) else req.url)
            hosts.wait(host)
            self.status, self.is_passing = 0, False
            try:
                return self._watched(super().urlopen(req))
            except exceptions.HTTPError as error:
                self.status = error.status
                self.is_passing = error.status in hosts_lib.PASSING
                after_s = hosts_lib.retry_after(error.response.headers.get("Retry-After"))
                if self.is_passing and after_s is not None:
                    hosts.hold(host, after_s)
                raise
            except exceptions.TransportError:
                self.is_passing = True
                raise

        def _watched(self, answer: Any) -> Any:
            """Notes where a body is cut; of one that is, yt-dlp tells no more than a text."""
            read, got = answer.read, 0
            length = str(answer.headers.get("Content-Length", ""))

            def noting(*given: Any, **more: Any) -> bytes:
                nonlocal got
                try:
                    content = read(*given, **more)
                except exceptions.TransportError:
                    self.is_passing = True
                    raise
                got += len(content)
                if not content and length.isdigit() and got < int(length):
                    self.is_passing = True
                return content

            answer.read = noting
            return answer

        def save_cookies(self) -> None:
            """The file of cookies is the user's, and stays as it is."""

    return Polite(dict(options))

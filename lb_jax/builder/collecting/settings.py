"""What of a sheet says where a corpus is collected, and how hosts are treated."""

import dataclasses

from lb_jax.builder.hosts import Manners
from lb_jax.core import errors
from lb_jax.core.fields import require, require_choice

PREVIEWS = ("preview-hq-mp3", "preview-hq-ogg", "preview-lq-mp3", "preview-lq-ogg")


@dataclasses.dataclass(frozen=True)
class Folder:
    """Of files that are here.

    Attributes:
      licence: of files beside which none stands.
      source: whose they are; empty for the name of the folder.
    """

    licence: str = ""
    source: str = ""


@dataclasses.dataclass(frozen=True)
class YtDlp:
    """Of what yt-dlp gets.

    Attributes:
      search: what stands before a term that is searched, such as "ytsearch"; see the list of its
        supported sites.
      format: which of the forms of a film; one with pictures and sound in one file needs no FFmpeg.
      cookies: file of cookies in Netscape's form, of the user's own account.
      archive: its list of what was fetched before, which may be one of other programs; what
        stands there is left out, what is fetched is added.
      sleep_s: seconds before each film, beside the rate of the host.
      bytes_per_s: most of a connection; 0 for any.
    """

    search: str = "ytsearch"
    format: str = "best[height<=480][ext=mp4]/best[height<=480]/best"
    cookies: str = ""
    archive: str = ""
    sleep_s: float = 0.0
    bytes_per_s: int = 0

    def __post_init__(self):
        require(
            self.sleep_s >= 0 and self.bytes_per_s >= 0,
            f"config.collect.ytdlp: sleep_s is {self.sleep_s} and bytes_per_s {self.bytes_per_s}; "
            "expected 0 or more.",
        )


@dataclasses.dataclass(frozen=True)
class Freesound:
    """Of sounds of Freesound; the key is in the environment, `FREESOUND_API_KEY`.

    Attributes:
      url: of its API.
      filter: as it has them, such as 'duration:[2 TO 20] license:"Creative Commons 0"'.
      sort: order of what is found.
      preview: which of its previews, which are what a key may fetch; originals need a login.
    """

    url: str = "https://freesound.org/apiv2"
    filter: str = "duration:[2 TO 20]"
    sort: str = "score"
    preview: str = "preview-hq-ogg"

    def __post_init__(self):
        require_choice("config.collect.freesound.preview", self.preview, PREVIEWS)


@dataclasses.dataclass(frozen=True)
class Collect:
    """Where a corpus is collected.

    Attributes:
      sources: KIND or KIND=WHAT each, see `sources.KINDS`.
      terms: table of search terms, for sources that are named without WHAT.
      most_terms: the first of them; 0 for all.
      per_term: most that is taken of what is found for one.
      licences: that may be used; () for any.
      require_licence: whether what has none is left out. Of folders and tables, where it can be
        known before, it stops the command.
      workers: files that are fetched at the same time.
      per_minute: requests a minute of one host.
      rates: HOST=NUMBER of others. Freesound's own limit is 60 a minute and 2,000 a day.
      tries, first_wait_s, longest_wait_s: see `hosts.Manners`.
      stall_s: a connection that brings nothing for so long is cut.
      largest_mb: of a file, in millions of bytes.
      folder, ytdlp, freesound: of these kinds.
    """

    sources: tuple[str, ...] = ()
    terms: str = ""
    most_terms: int = 0
    per_term: int = 20
    licences: tuple[str, ...] = ()
    require_licence: bool = False
    workers: int = 4
    per_minute: float = 60.0
    rates: tuple[str, ...] = ("freesound.org=50",)
    tries: int = 6
    first_wait_s: float = 2.0
    longest_wait_s: float = 300.0
    stall_s: float = 30.0
    largest_mb: float = 500.0
    folder: Folder = dataclasses.field(default_factory=Folder)
    ytdlp: YtDlp = dataclasses.field(default_factory=YtDlp)
    freesound: Freesound = dataclasses.field(default_factory=Freesound)

    def __post_init__(self):
        require(
            self.most_terms >= 0 and self.per_term > 0 and self.workers > 0 and self.tries > 0,
            f"config.collect: most_terms is {self.most_terms}, per_term {self.per_term}, workers "
            f"{self.workers} and tries {self.tries}; expected 0 or more, and 1 or more of the "
            "others.",
        )
        require(
            0 < self.first_wait_s <= self.longest_wait_s and self.stall_s > 0,
            f"config.collect: first_wait_s is {self.first_wait_s}, longest_wait_s "
            f"{self.longest_wait_s} and stall_s {self.stall_s}; expected all above 0, and the "
            "first not above the second.",
        )
        require(
            self.per_minute > 0 and self.largest_mb > 0,
            f"config.collect: per_minute is {self.per_minute} and largest_mb {self.largest_mb}; "
            "expected both above 0.",
        )
        self.manners()

    def manners(self) -> Manners:
        """How hosts are treated.

        Raises:
          ConfigError: a rate is none.
        """
        return Manners(
            self.per_minute,
            dict(map(_rate, self.rates)),
            self.tries,
            self.first_wait_s,
            self.longest_wait_s,
        )


def _rate(given: str) -> tuple[str, float]:
    host, _, number = given.partition("=")
    try:
        rate = float(number)
    except ValueError:
        rate = 0.0
    if not host or not rate > 0:
        raise errors.ConfigError(
            f"config.collect.rates has {given!r}; expected HOST=NUMBER of requests a minute, such "
            "as freesound.org=50."
        )
    return host, rate

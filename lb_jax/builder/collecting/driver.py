"""Collects: asks the sources what there is, fetches what is missing, writes a source of it.

    raw.json      key -> {title, file, licence, source, metadata}, as `corpus run` takes it
    media/        the files, named by their keys
    ledger.sqlite what was found, and how far each is; a killed run goes on by it

An item is found, then done, or refused for good, failed for now, left out by its licence. A file
has its name only when it is whole, so nothing is lost and nothing is fetched twice: what has a name
is there, whatever the ledger knows of it.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from lb_jax.builder.collecting import candidates, sources
from lb_jax.builder.collecting.candidates import Candidate, Fetched, LeftOut, Origin
from lb_jax.builder.collecting.settings import Collect
from lb_jax.builder.downloads import PARTIAL, Client
from lb_jax.builder.hosts import Clock, Failed, Hosts, Refused
from lb_jax.builder.ledger import Entry, Ledger
from lb_jax.builder.store import FULL_DISK
from lb_jax.core import errors, logging

RAW, MEDIA, LEDGER = "raw.json", "media", "ledger.sqlite"
FOUND, DONE = "found", "done"
REFUSED, FAILED, LEFT_OUT = "refused", "failed", "left out"
FILE, REASON = "file", "reason"
AHEAD = 2  # files that wait for each worker
MOST_TOLD = 10  # reasons that are printed


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a run came to.

    Attributes:
      counts: state -> items, of all that was ever found.
      fetched: files of this run.
      unanswered: questions that got no answer this time, with the reason.
      reasons: of items that are not there, how often each.
    """

    counts: Mapping[str, int]
    fetched: int
    unanswered: Mapping[str, str]
    reasons: Mapping[str, int]


def collect(cfg: Collect, out: Path, *, clock: Clock | None = None, shown: bool = True) -> Summary:
    """Collects what is missing.

    Args:
      cfg: of the sheet.
      out: folder, which is there; one process is at work in it.
      clock: for the rates.
      shown: whether progress is told.

    Raises:
      ConfigError: a source is none, or lacks what it needs.
      DataError: a table cannot be read, an item has no licence where one is asked for, the ledger
        is damaged, or the disk is full.
    """
    hosts = Hosts(cfg.manners(), clock)
    with (
        Client(hosts, stall_s=cfg.stall_s, largest_bytes=int(cfg.largest_mb * 1e6)) as client,
        Ledger(out / LEDGER, "items") as items,
        Ledger(out / LEDGER, "questions") as questions,
    ):
        origins = sources.origins(cfg, hosts, client)
        try:
            (out / MEDIA).mkdir(exist_ok=True)
        except OSError as error:
            raise errors.DataError(
                out, f"cannot be written ({error.strerror}); {FULL_DISK}"
            ) from error
        run = _Run(cfg, out, origins, items, questions, shown)
        unanswered = run.find()
        try:
            fetched = run.fetch()
        finally:
            write_raw(items, out)
        return Summary(items.counts(), fetched, unanswered, run.reasons())


@dataclasses.dataclass(frozen=True)
class _Run:
    cfg: Collect
    out: Path
    origins: Sequence[Origin]
    items: Ledger
    questions: Ledger
    shown: bool

    def find(self) -> dict[str, str]:
        """Asks what there is; question -> why it has no answer."""
        asked = [(one, question) for one in self.origins for question in one.questions()]
        unanswered = {}
        title = "find"
        with logging.Progress(title, len(asked), unit="question", shown=self.shown) as bar:
            for one, question in asked:
                try:
                    self._find(one, question)
                except (Failed, Refused) as error:
                    if not one.is_searched:  # what the user wrote
                        raise
                    unanswered[f"{one.kind}: {question}"] = error.reason
                bar.advance()
        return unanswered

    def _find(self, origin: Origin, question: str) -> None:
        name = json.dumps([origin.kind, question, self.cfg.per_term])
        if origin.is_searched and self.questions.get(name) is not None:
            return
        found = list(origin.find(question))
        if self.cfg.require_licence and not origin.is_searched:
            for one in found:
                if not one.licence:
                    raise errors.DataError(
                        f"{question}: {one.known.get('file') or one.url}",
                        "has no licence, and config.collect.require_licence asks for one; add it "
                        "or leave the item out",
                    )
        self._note_found(found)
        self.questions.put(name, DONE, {"keys": [one.key for one in found]})

    def _note_found(self, found: Sequence[Candidate]) -> None:
        """Adds what is new; of what was known its title and licence are what they are now."""
        self.items.add(Entry(one.key, FOUND, one.as_json()) for one in found)
        for one in found:
            known = self.items.get(one.key)
            assert known is not None  # it was added
            if one.licence is None or Candidate.of_json(known.value) == one:
                continue
            is_same = known.value["url"] == one.url
            kept = (FILE, REASON) if is_same else ()
            more = {name: known.value[name] for name in kept if name in known.value}
            self.items.put(one.key, known.state if is_same else FOUND, one.as_json() | more)

    def fetch(self) -> int:
        """Fetches what is missing; returns how many files it were."""
        by_kind = {one.kind: one for one in reversed(self.origins)}
        for entry in self.items.entries(DONE):
            if origin := by_kind.get(entry.value["kind"]):
                origin.kept(Candidate.of_json(entry.value))
        todo = [one for one in self.items.entries() if self._is_missing(one, by_kind)]
        fetched = 0
        workers = min(self.cfg.workers, max(1, len(todo)))
        with (
            logging.Progress("fetch", len(todo), unit="file", shown=self.shown) as bar,
            concurrent.futures.ThreadPoolExecutor(workers) as pool,
        ):
            for entry, ended in _ahead(pool, todo, self._begin(by_kind), workers * AHEAD):
                fetched += self._keep(entry, ended, by_kind)
                bar.advance()
        return fetched

    def _is_missing(self, entry: Entry, by_kind: Mapping[str, Origin]) -> bool:
        if entry.value["kind"] not in by_kind or entry.state == REFUSED:
            return False
        return entry.state != DONE or not (self.out / entry.value[FILE]).is_file()

    def _begin(self, by_kind: Mapping[str, Origin]) -> Callable[[Entry], Fetched]:
        named = _named(self.out / MEDIA)

        def fetch(entry: Entry) -> Fetched:
            one = Candidate.of_json(entry.value)
            stem = self.out / MEDIA / one.key
            self.allowed(one)
            if one.key in named and one.licence is not None:  # a run was killed before it said so
                return Fetched(named[one.key], one)
            return by_kind[one.kind].fetch(one, stem, self.allowed)

        return fetch

    def allowed(self, one: Candidate) -> None:
        """Checks a licence; one that is not known yet is let through."""
        if one.licence is None:
            return
        if not one.licence and self.cfg.require_licence:
            raise LeftOut(one, "has no licence, which is asked for")
        if self.cfg.licences and one.licence not in self.cfg.licences:
            raise LeftOut(one, f"is under {one.licence or 'no licence'}")

    def _keep(
        self, entry: Entry, ended: concurrent.futures.Future, by_kind: Mapping[str, Origin]
    ) -> int:
        """Notes how fetching ended; returns how many files there are more."""
        try:
            got = ended.result()
        except LeftOut as error:
            self.items.put(entry.key, LEFT_OUT, error.candidate.as_json() | {REASON: error.reason})
        except Refused as error:
            self._note(entry, REFUSED, error.reason)
        except Failed as error:
            self._note(entry, FAILED, error.reason)
        else:
            file = got.path.relative_to(self.out).as_posix()
            self.items.put(entry.key, DONE, got.candidate.as_json() | {FILE: file})
            by_kind[got.candidate.kind].kept(got.candidate)
            return 1
        return 0

    def _note(self, entry: Entry, state: str, reason: str) -> None:
        self.items.put(entry.key, state, {**entry.value, REASON: reason})

    def reasons(self) -> dict[str, int]:
        """Of items that are not there, why, most frequent first."""
        found = collections.Counter(
            f"{one.state}: {one.value[REASON]}"
            for one in self.items.entries()
            if one.state in (REFUSED, FAILED, LEFT_OUT)
        )
        return dict(sorted(found.items(), key=lambda row: (-row[1], row[0])))


def _named(folder: Path) -> dict[str, Path]:
    """Key -> file, of whole ones: parts of yt-dlp have two endings."""
    names = (one for one in os.listdir(folder) if one.count(".") == 1 and one[0] != ".")
    return {
        one.partition(".")[0]: folder / one for one in sorted(names) if not one.endswith(PARTIAL)
    }


def _ahead(
    pool: concurrent.futures.Executor,
    todo: Sequence[Entry],
    begin: Callable[[Entry], Fetched],
    most: int,
) -> Iterator[tuple[Entry, concurrent.futures.Future]]:
    """Each entry with what became of it, as they end; few are begun and not ended."""
    waiting, running = iter(todo), {}
    try:
        while True:
            while len(running) < most and (entry := next(waiting, None)) is not None:
                running[pool.submit(begin, entry)] = entry
            if not running:
                return
            ended, _ = concurrent.futures.wait(
                running, return_when=concurrent.futures.FIRST_COMPLETED
            )
            for one in ended:
                yield running.pop(one), one
    finally:
        for one in running:
            one.cancel()


def write_raw(items: Ledger, out: Path) -> Path:
    """Writes what there is as a source that `corpus run` takes, in the order of the keys.

    Raises:
      DataError: the disk is full.
    """
    told = {}
    for entry in items.entries(DONE):
        one = Candidate.of_json(entry.value)
        told[one.key] = {
            "title": candidates.raw_title(one.title, one.tags),
            "file": entry.value[FILE],
            "licence": one.licence or "",
            "source": one.source,
            "metadata": dict(one.known),
        }
    path = out / RAW
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise errors.DataError(
            path, f"cannot be written ({error.strerror}); {FULL_DISK}"
        ) from error
    return path


def told(summary: Summary) -> list[str]:
    """A summary in words."""
    counts = ", ".join(f"{count:,} {state}" for state, count in summary.counts.items())
    lines = [f"fetched {summary.fetched:,}; in all {counts or 'nothing'}"]
    lines += [f"  no answer: {one}: {why}" for one, why in summary.unanswered.items()]
    lines += [f"  {count:,} {why}" for why, count in list(summary.reasons.items())[:MOST_TOLD]]
    return lines

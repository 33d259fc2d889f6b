"""`lb-jax index COMMAND …`: a store of vectors is built, searched, looked at and upgraded."""

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from lb_jax.cli.arguments import (
    Parser,
    add_settings,
    add_space,
    dispatch,
    given_settings,
    given_space,
)
from lb_jax.core import errors, shipped
from lb_jax.core.modalities import MODALITIES, TEXT
from lb_jax.core.words import clock, counted

STORE = "media.index"
SHOWN = 20  # problems or left out files that are listed one by one


def main(argv: Sequence[str]) -> None:
    """Runs a row of `SUBCOMMANDS`.

    Raises:
      ConfigError: no such command, or none.
    """
    dispatch("index", SUBCOMMANDS, argv)


def build(argv: Sequence[str]) -> None:
    """Embeds media files into a store and brings its index up to date: `lb-jax embed`."""
    from lb_jax.cli import embed

    embed.into_store(argv, "index build", out=STORE)


def search(argv: Sequence[str]) -> None:
    """Prints the moments nearest to a sentence, a file, or both together."""
    from lb_jax.media.settings import Settings
    from lb_jax.search import ranking

    parser = Parser(
        "index search", "Finds the moments nearest to a sentence, to a file, or to both together."
    )
    parser.usage = "%(prog)s [STORE] [TEXT] [options]"
    parser.add_argument(
        "words",
        nargs="*",
        metavar="STORE TEXT",
        help=f"a store, if not {STORE}, and a sentence in quotes; either may be left out",
    )
    parser.add_argument("--store", help="the store; then the words are the sentence alone")
    parser.add_argument("--model", help="the model that made the store, if it lies elsewhere now")
    parser.add_argument("--like", metavar="FILE", help="find what is like this file")
    parser.add_argument(
        "--like-modality",
        choices=tuple(MODALITIES),
        metavar="M",
        help="what the file is (default: by the rules of `lb-jax index build`)",
    )
    parser.add_argument(
        "--weight",
        action="append",
        default=[],
        metavar="NAME=W",
        help="weight of the text or of the file's modality in the sum, such as text=0.3 "
        "(default: 1 each)",
    )
    parser.add_argument(
        "--modality",
        nargs="+",
        action="extend",
        default=[],
        choices=tuple(MODALITIES),
        metavar="M",
        help=f"find only these: {', '.join(MODALITIES)}",
    )
    parser.add_argument("--under", metavar="PATH", help="only this file, or below this folder")
    parser.add_argument("--after", metavar="TIME", help="only what is after 0:30, 1:02:03 or 45")
    parser.add_argument("--before", metavar="TIME", help="only what is before")
    parser.add_argument(
        "--by",
        choices=ranking.BY,
        help="rank by the vectors, by the words of captions, or by both ranks together (default: "
        "both where the store has captions and a sentence is given)",
    )
    parser.add_argument("-k", type=int, default=10, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--exact", action="store_true", help="compare every row, without the index")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument(
        "--no-merge", action="store_true", help="single windows instead of ranges of time"
    )
    add_settings(parser, "files given by --like, if other than those of the store")
    arguments = parser.parse_intermixed_args(argv)
    asking = Settings(**given_settings(arguments))
    arguments.store, arguments.text = store_and_text(arguments)
    if arguments.text is None and arguments.like is None:
        raise errors.ConfigError("index search: give a sentence, --like FILE, or both.")
    if arguments.k < 1:
        raise errors.ConfigError(f"-k is {arguments.k}; it must be at least 1.")
    weights = dict(_weight(one) for one in arguments.weight)
    if arguments.like is not None and not os.path.isfile(arguments.like):
        is_folder = os.path.isdir(arguments.like)
        raise errors.DataError(
            f"--like={arguments.like}",
            f"{'is a folder' if is_folder else 'does not exist'}; give a media file.",
        )
    after_s, before_s = seconds(arguments.after), seconds(arguments.before)

    from lb_jax.search import rows as rows_lib
    from lb_jax.search import store as store_lib

    store = store_lib.Store.open(arguments.store)
    where = store_lib.Filter(
        tuple(arguments.modality),
        None if arguments.under is None else rows_lib.path_of(arguments.under),
        after_s,
        before_s,
    )

    by = ranking.chosen(store, arguments.text, arguments.by)
    if (reason := store.why_nothing(where)) is not None:
        raise errors.DataError(arguments.store, f"{reason}.")
    told = {**store.maker.reading.given, **asking.given}
    if arguments.like is not None and arguments.like_modality is None:
        modality_of(arguments.like, tuple(MODALITIES), **told)

    # jax takes a second to import; what is wrong with the store or the query is told before
    from lb_jax.cli import moments
    from lb_jax.search import fits, query
    from lb_jax.training import compiled

    compiled.keep()
    if store.maker.source == shipped.DEMO:
        upgrade_it = f"lb-jax index upgrade {arguments.store} --model {shipped.REAL}"
        shipped.instead_of(arguments.model, "index search", f"`{upgrade_it}`")
    model = store.maker.load(arguments.model)
    files = {}
    if arguments.like is not None:
        modality = arguments.like_modality or modality_of(arguments.like, model.modalities, **told)
        files[modality] = arguments.like
    vector = query.query_vector(model, arguments.text, files, weights, asking)
    parts = [*([TEXT] if arguments.text is not None else []), *files]
    found = query.find(
        store,
        model,
        vector,
        arguments.k,
        where,
        merge=not arguments.no_merge,
        asked=parts[0] if len(parts) == 1 else None,
        exact=arguments.exact,
        words=arguments.text,
        by=by,
    )
    if arguments.json:
        asked = {"text": arguments.text, "like": arguments.like, "weights": weights}
        told = {
            "query": asked if by == "vector" else {**asked, "by": by},
            "store": str(arguments.store),
            "model": {"source": store.maker.source, "digest": store.maker.digest},
            "grouped": fits.is_grouped(found),
            "results": [{"rank": rank, **moment.as_json()} for rank, moment in enumerate(found, 1)],
        }
        print(json.dumps(told, indent=1, ensure_ascii=False))
    elif found:
        moments.show(found, clock)
        names = dict.fromkeys(one.modality for one in found)
        if len(parts) == 1 and (reason := query.uncalibrated(model, parts[0], [*names])):
            print(f"no probability: {reason}")
    elif by == "caption":
        print("nothing found: no caption of what passes the filters has a word of the sentence")
    else:
        print("nothing found: no row of the store passes the filters")


def info(argv: Sequence[str]) -> None:
    """Prints what a store holds and whose vectors they are."""
    from lb_jax.media.settings import Settings

    parser = Parser("index info", "Tells what a store holds, which model made it, and its index.")
    _add_store(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = _with_store(parser.parse_args(argv))

    from lb_jax.search import fits, store

    told = store.Store.open(arguments.store).info()
    if arguments.json:
        print(json.dumps(told, indent=1))
        return
    print(
        f"{told['uri']}: {counted(told['rows'], 'vector')} of {counted(told['files'], 'file')}, "
        f"{told['bytes'] / 2**20:.1f} MiB, {_index(told['index'])}"
    )
    for modality, counts in told["modalities"].items():
        files, vectors = counted(counts["files"], "file"), counted(counts["rows"], "vector")
        print(f"  {modality:8} {files}, {vectors}")
    if captions := told.get("captions"):
        print(f"  captions {captions['rows']} by {captions['captioner']} ({captions['key'][:12]})")
    for model in told["models"]:
        space = f", space {model['space']}" if model["space"] else ""
        settings = Settings(**model["settings"])
        given = f"{space}, {settings}" if settings else space
        print(
            f"  {model['state']:8} {model['source']} ({model['digest'][:12]}), width "
            f"{model['width']}, {model['dtype']}, windows of {model['window_s']:g} s every "
            f"{model['stride_s']:g} s, frames {model['frames'] or 'as trained'}{given}, since "
            f"{model['created'][:19]} UTC"
        )
        if line := fits.line(model["fit"], model["source"]):
            print(f"           {line}")


def check(argv: Sequence[str]) -> None:
    """Reads a store and looks at its files; status 2 when something is wrong.

    Raises:
      DataError: when something is wrong.
    """
    parser = Parser(
        "index check",
        "Reads every vector and looks at every file of a store: files that are gone or changed, "
        "vectors that are not of length 1, rows of other models. Exit status 2 when something is "
        "wrong.",
    )
    _add_store(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = _with_store(parser.parse_args(argv))

    from lb_jax.search import store

    opened = store.Store.open(arguments.store)
    found = opened.check()
    serious = sum(one.is_serious for one in found)
    if arguments.json:
        rows = [{"path": one.path, "what": one.what, "is_serious": one.is_serious} for one in found]
        print(json.dumps({"store": arguments.store, "problems": rows}, indent=1))
    else:
        for one in found[:SHOWN]:
            place = "" if one.path is None else f"{one.path}: "
            print(f"{'wrong' if one.is_serious else 'note '}  {place}{one.what}")
        if len(found) > SHOWN:
            print(f"and {len(found) - SHOWN} more; --json lists all")
    if serious:
        are = "is" if serious == 1 else "are"
        wrong = f"{counted(serious, 'thing')} {are} wrong, see above."
        raise errors.DataError(arguments.store, wrong)
    if not arguments.json:
        are = "is" if len(opened) == 1 else "are"
        print(f"{arguments.store}: {counted(len(opened), 'vector')} {are} sound")


def upgrade(argv: Sequence[str]) -> None:
    """Embeds every file of a store with another model, then switches to it."""
    parser = Parser(
        "index upgrade",
        "Embeds every file of a store with another model. Until all are done the vectors it has go "
        "on answering; then it switches at once. Stopped at any moment, the same command goes on.",
    )
    _add_store(parser)
    parser.add_argument("--model", help="the model to go over to; not needed for --drop-previous")
    parser.add_argument("--frames", type=int, help="of a video (default: as many as in training)")
    parser.add_argument(
        "--drop-previous",
        action="store_true",
        help="do not keep the vectors of the model before until the next upgrade; without --model "
        "drops those that an earlier upgrade kept",
    )
    parser.add_argument(
        "--abandon",
        action="store_true",
        help="drop what an upgrade to yet another model left half done",
    )
    add_space(parser)
    add_settings(parser, "files of the store (default: as it was built)")
    arguments = _with_store(parser.parse_args(argv))
    given = given_settings(arguments)

    from lb_jax.search import database, store

    opened = store.Store.open(arguments.store)
    if arguments.model is None:
        if not arguments.drop_previous or arguments.frames is not None or arguments.abandon:
            raise errors.ConfigError(
                "index upgrade: --model is needed, the model to go over to; --drop-previous alone "
                "drops the vectors that an upgrade kept."
            )
        dropped = ", ".join(map(str, database.drop(arguments.store, database.PREVIOUS)))
        print(f"{arguments.store}: dropped the vectors of {dropped or 'no model, none were kept'}")
        return

    from lb_jax.inference import opening
    from lb_jax.search import upgrade as upgrade_lib
    from lb_jax.training import compiled

    compiled.keep()
    loading = {"dtype": opened.maker.dtype, "frames": arguments.frames, **given_space(arguments)}
    loading |= {**opened.maker.reading.given, **given}
    model = opening.load_encoder(arguments.model, **loading)
    done = upgrade_lib.run(
        arguments.store, model, drop_previous=arguments.drop_previous, abandon=arguments.abandon
    )
    for (path, modality), reason in list(done.left_out.items())[:SHOWN]:
        print(f"left out: {path} as {modality}: {reason}", file=sys.stderr)
    if len(done.left_out) > SHOWN:
        print(f"and {len(done.left_out) - SHOWN} more", file=sys.stderr)
    if done.before == done.after:
        print(f"{arguments.store}: holds vectors of {done.after} already; others were dropped")
        return
    print(
        f"{arguments.store}: {counted(done.files, 'file')}, from {done.before} to {done.after}; "
        f"{len(done.left_out)} left out"
    )


def seconds(text: str | None) -> float | None:
    """Reads a time such as 45, 45.5, 0:30 or 1:02:03.

    Raises:
      ConfigError: for anything else.
    """
    if text is None:
        return None
    parts = text.split(":")
    try:
        numbers = [*map(int, parts[:-1]), float(parts[-1])]
    except ValueError:
        numbers = [math.nan]
    total = sum(number * 60**place for place, number in enumerate(reversed(numbers)))
    if len(parts) > 3 or not 0 <= total < math.inf or min(numbers) < 0:
        raise errors.ConfigError(f"the time {text!r} is none; write 45, 0:30 or 1:02:03.")
    return total


def modality_of(path: str, known: Sequence[str], **asking) -> str:
    """What a file is by the rules that tell it of files for a store.

    Args:
      path: of the file.
      known: modalities that the model has.
      **asking: settings as `media.settings` names them; a unit says what grey of more than 8 bits
        is.

    Raises:
      ConfigError: for a file of no modality that the model has, or one that no rule tells.
    """
    from lb_jax.corpora import media_files
    from lb_jax.media.settings import Settings

    kinds, why = media_files.kinds_of(Path(path), Settings(**asking))
    for name in kinds:
        if name in known:
            return name
    raise errors.ConfigError(
        f"--like={path}: {why}; say what it is with --like-modality, one of {', '.join(known)}."
    )


def _weight(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    try:
        return name, float(number)
    except ValueError as error:
        raise errors.ConfigError(
            f"--weight is {text!r}; expected NAME=NUMBER such as text=0.3."
        ) from error


def store_and_text(arguments: argparse.Namespace) -> tuple[str, str | None]:
    """The store and the sentence among the words of `index search`.

    Of two words the first is the store. One alone is the sentence, unless it is a store and a file
    is asked for as well.

    Raises:
      ConfigError: for more words than that, and for two of which the first is no store.
    """
    from lb_jax.search import database

    words, store = arguments.words, arguments.store
    several = "a sentence of several words stands in quotes"
    if store is not None:
        if len(words) > 1:
            raise errors.ConfigError(
                f"index search: --store is given, and {len(words)} words; {several}."
            )
        return store, words[0] if words else None
    if len(words) > 2:
        raise errors.ConfigError(f"index search: {len(words)} words are given; {several}.")
    if len(words) == 2:
        if not database.is_store(words[0]):
            raise errors.ConfigError(
                f"index search: {words[0]!r} is no store of vectors; {several}, and a store "
                f'before it: `lb-jax index search {STORE} "a red car"`.'
            )
        return words[0], words[1]
    if words and database.is_store(words[0]):
        if arguments.like is None:
            raise errors.ConfigError(
                f"index search: {words[0]} is a store; give a sentence behind it, --like FILE, or "
                "both."
            )
        return words[0], None
    return STORE, words[0] if words else None


def _add_store(parser: Parser) -> None:
    parser.add_argument("named", nargs="?", metavar="STORE", help=f"(default: {STORE})")
    parser.add_argument("--store", help="the same")


def _with_store(arguments: argparse.Namespace) -> argparse.Namespace:
    """Puts the store that was named into `store`.

    Raises:
      ConfigError: for two of them.
    """
    named, store = arguments.named, arguments.store
    if named is not None and store is not None and named != store:
        raise errors.ConfigError(f"two stores are given, {named} and {store}; give one.")
    arguments.store = named or store or STORE
    return arguments


def _index(told: dict) -> str:
    """The state of an index in words."""
    if not told["rows"]:
        return "every row is compared"
    return (
        f"index {told['kind']} of {counted(told['rows'], 'row')}, {told['rows_outside']} compared "
        "one by one"
    )


# name: (its main(argv), what it does)
SUBCOMMANDS = {
    "build": (build, "embed folders or manifests into a store, and index it"),
    "search": (search, "find moments by a sentence, a file, or both"),
    "info": (info, "what a store holds, and which model made it"),
    "check": (check, "look for files that changed, damaged vectors and rows of other models"),
    "upgrade": (upgrade, "go over to another model while the old vectors answer"),
}

"""`lb-jax embed DIR… -o STORE`, or `--modality=M FILES… -o out.npz`."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from lb_jax.cli import embed_npz, file_arguments
from lb_jax.cli.arguments import Parser, add_settings, add_space, given_settings, given_space
from lb_jax.core import errors, shipped
from lb_jax.core.modalities import MODALITIES, TEXT
from lb_jax.core.words import counted

# Of a store alone: what a command line without them holds.
STORE_DEFAULTS = {
    "window": None,
    "stride": None,
    "prune": False,
    "multihost": False,
    "captions": False,
    "captioner": None,
    "captions_anew": False,
    **file_arguments.READ,
}
SHOWN = 20  # files without a caption that are named
# Taken for files, which a store is not.
FILES = (".csv", ".json", ".jsonl", ".npy", ".parquet", ".tsv", ".txt")


def main(argv: Sequence[str]) -> None:
    """Embeds media into a store, or media or texts into an `.npz`."""
    arguments = _parse(argv, "embed")
    if arguments.out.endswith(".npz"):
        if option := _given(arguments, STORE_DEFAULTS):
            raise errors.ConfigError(
                f"{option} goes with a store; give -o the name of a folder, not {arguments.out}."
            )
        if arguments.modality == TEXT and (option := _given(arguments, file_arguments.UNUSED)):
            raise errors.ConfigError(f"{option} goes with files, and texts are none; leave it out.")
        if arguments.modality is None:
            raise errors.ConfigError(
                f"--modality is needed for {arguments.out}: an .npz holds one modality; one of "
                f"{', '.join((*MODALITIES, TEXT))}. A store (-o FOLDER) holds them all."
            )
        embed_npz.run(arguments)
    else:
        if arguments.modality == TEXT or arguments.out.endswith(FILES):
            what = "texts" if arguments.modality == TEXT else "vectors in a file"
            raise errors.ConfigError(
                f"--out is {arguments.out}; its name must end in .npz for {what}, and a store is a "
                "folder."
            )
        _into_store(arguments)


def into_store(argv: Sequence[str], name: str, out: str) -> None:
    """Embeds media into a store under another name of the command, `out` if none is given."""
    _into_store(_parse(argv, name, out))


def _parse(argv: Sequence[str], name: str, out: str | None = None) -> argparse.Namespace:
    from lb_jax.corpora import media_files

    parser = Parser(
        name,
        "Embeds media files of any number and length into a store, which `lb-jax index search` and "
        "`lb-jax serve` search. Video and sound become one vector for each window. Stopped at any "
        "moment, the same command goes on. With -o NAME.npz: one vector for each file or text, in "
        "one file with `items` and `embeddings`.",
    )
    parser.epilog = (
        f"What a file is, the first that applies: {media_files.told()}. A video is embedded as "
        "audio too where it has sound. Files of modalities that the model lacks are left out."
    )
    add = parser.add_argument
    add(
        "items",
        nargs="+",
        help=f"{file_arguments.ITEMS}; for --modality=text the texts themselves",
    )
    add(
        "--model",
        help="checkpoint, work directory of a finished run, or published weights "
        "(default: demo, which comes with the package and knows only its own drawn scenes)",
    )
    add(
        "-o",
        "--out",
        required=out is None,
        default=out,
        help="store, a folder or a place such as s3://bucket/store; or .npz to write. One that is "
        "there, of the same model, is continued",
    )
    add("--modality", choices=(*MODALITIES, TEXT), help="only this one; needed for an .npz")
    add(
        "--batch-size",
        type=int,
        help="items that each device encodes at once (default: 32; on CPU 4 is quicker for video)",
    )
    add("--frames", type=int, help="of a video (default: as many as the model was trained with)")
    add_space(parser)
    add_settings(parser)
    file_arguments.add_unused(parser, "embedded")
    add = file_arguments.add_read(parser, "stores").add_argument
    add(
        "--window",
        type=float,
        metavar="S",
        help="seconds of video, sound or motion a row (default: 10)",
    )
    add("--stride", type=float, metavar="S", help="from one window to the next (default: --window)")
    add("--prune", action="store_true", help="remove files that are gone from the folders")
    add(
        "--multihost",
        action="store_true",
        help="share the files with other hosts that run the same command",
    )
    add(
        "--captions",
        action="store_true",
        help="write a caption of each window and still too; `lb-jax index search` looks into them",
    )
    add(
        "--captioner",
        metavar="MODEL",
        help="VALOR model that writes them (default: captioner, which comes with the package and "
        "knows only its own drawn scenes)",
    )
    add(
        "--captions-anew",
        action="store_true",
        help="drop captions that another captioner wrote, and write all again",
    )
    arguments = parser.parse_args(argv)
    file_arguments.check(arguments)
    arguments.command = name
    given = {name: vars(arguments)[name] for name in ("frames", "batch_size")}
    arguments.loading = {name: value for name, value in given.items() if value is not None}
    arguments.loading |= given_space(arguments) | given_settings(arguments)
    return arguments


def _given(arguments: argparse.Namespace, defaults: Mapping[str, object]) -> str | None:
    """The first option that is given, of those with these defaults."""
    for name, usual in defaults.items():
        if vars(arguments)[name] != usual:
            return "--" + name.replace("rules", "as").replace("_", "-")
    return None


def _into_store(arguments: argparse.Namespace) -> None:
    from lb_jax.corpora import media_files

    is_captioned = arguments.captions or arguments.captions_anew
    if arguments.captioner is not None and not is_captioned:
        raise errors.ConfigError("--captioner writes captions; give --captions with it.")
    rules = file_arguments.rules_of(arguments)
    file_arguments.make_folders(arguments)

    if arguments.multihost:
        from lb_jax.training import distributed

        distributed.start()  # no `connect`: each host encodes on devices of its own alone
    # jax takes a second to import; wrong arguments are told before
    from lb_jax.inference import opening
    from lb_jax.search import bulk
    from lb_jax.search.maker import Maker
    from lb_jax.training import compiled

    compiled.keep()
    source = shipped.instead_of(arguments.model, arguments.command)
    model = opening.load_encoder(source, **arguments.loading)
    writer = _captioner(arguments) if is_captioned else None
    found = media_files.find(
        arguments.items,
        model.modalities,
        rules=rules,
        only=arguments.modality,
        root=arguments.root,
        unclear=media_files.said(model.settings),
    )
    window_s = arguments.window or bulk.WINDOW_S
    maker = Maker.of(model, window_s, arguments.stride or window_s)
    summary = bulk.fill(
        found,
        model,
        arguments.out,
        maker,
        arguments.quarantine or bulk.quarantine_of(arguments.out),
        workers=arguments.workers,
        prune=arguments.prune,
        retry=arguments.retry,
        max_bad_rate=arguments.max_bad_rate,
        timeout_s=arguments.timeout,
    )
    print(f"{arguments.out}: {summary.told()}")
    for (modality, what), count in found.told.items():
        if modality in media_files.SAID:
            print(f"  as {modality}: {counted(count, 'file')}: {what}")
    each = arguments.list_left_out
    file_arguments.tell_left_out(found.left_out, found.closed, each=each)
    file_arguments.tell_bad(summary)
    if summary.withheld:
        print(f"  no probabilities: {summary.withheld}")
    file_arguments.tell_remarks(summary)
    if writer is not None:
        _write_captions(arguments, maker.digest, writer)


def _captioner(arguments: argparse.Namespace) -> Any:
    """Opens the model that writes, and sees early that a local store takes its captions."""
    from lb_jax.inference import opening
    from lb_jax.search import database, store, writers

    remedy = "--captioner FOLDER, a VALOR model"
    source = arguments.captioner
    source = shipped.instead_of(source, arguments.command, remedy, shipped.CAPTIONER)
    writer = opening.load_writer(source)
    is_there = "://" not in arguments.out and database.is_store(arguments.out)
    if is_there and not arguments.captions_anew:
        captions = store.Store.open(arguments.out).captions()
        if captions is not None:
            captions.require(writers.captioner_of(writer, writer.decoding()))
    return writer


def _write_captions(arguments: argparse.Namespace, digest: str, writer: Any) -> None:
    from lb_jax.search import captioning, hosts, store

    done = captioning.fill(
        store.Store.open(arguments.out, digest=digest),
        writer,
        anew=arguments.captions_anew,
        workers=arguments.workers,
        share=hosts.place(),
    )
    print(f"  captions: {done.told()}")
    for path, reason in list(done.reasons.items())[:SHOWN]:
        print(f"  no caption: {path}: {reason}")
    if done.reasons:
        more = len(done.reasons) - SHOWN
        print(f"  {f'and {more} more, ' if more > 0 else ''}see {done.listed}")

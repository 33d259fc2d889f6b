"""`lb-jax caption FILES… -o captions.jsonl`."""

from collections.abc import Sequence
from pathlib import Path

from lb_jax.cli import file_arguments, writer_arguments
from lb_jax.cli.arguments import Parser
from lb_jax.core import errors, names

OUT, ENDING = "captions.jsonl", ".jsonl"
SHOWN = 8  # files of a run whose captions are printed too


def main(argv: Sequence[str]) -> None:
    """Writes a caption of each media file into a file of rows."""
    from lb_jax.corpora import media_files

    parser = Parser(
        "caption",
        "Writes a caption of each media file, of any number, into a file of JSON lines: path, "
        "group it was written from, caption, hash of the file, and what wrote it. A video is "
        "written of by sight and sound where it has sound, else by sight. Stopped at any moment, "
        "the same command goes on and ends with the same bytes; rows of another model or other "
        "options are never mixed in.",
    )
    parser.epilog = (
        f"What a file is, the first that applies: {media_files.told()}. Depth and thermal pictures "
        "are left out. `lb-jax evaluate --captions` scores the rows."
    )
    add = parser.add_argument
    add("items", nargs="+", help=file_arguments.ITEMS)
    add(
        "-o",
        "--out",
        default=OUT,
        help="JSON lines to write; those that are there, of the same model and options, are "
        "continued (default: %(default)s)",
    )
    writer_arguments.add_model(parser)
    add(
        "--batch-size",
        type=int,
        help="files that are written about at once (default: 8)",
    )
    writer_arguments.add_decoding(parser, beam=3)
    file_arguments.add_unused(parser, "used")
    file_arguments.add_read(parser, "reading")
    arguments = parser.parse_args(argv)
    file_arguments.check(arguments)
    if not arguments.out.endswith(ENDING):
        raise errors.ConfigError(
            f"--out is {arguments.out}; captions are JSON lines, and their name ends in {ENDING}."
        )
    rules = file_arguments.rules_of(arguments)
    model = writer_arguments.open_model(arguments, "caption")
    from lb_jax.search import bulk_captions

    decoding = model.decoding(**writer_arguments.decoding(arguments))
    found = bulk_captions.find(
        arguments.items, model, arguments.group, rules=rules, root=arguments.root
    )
    file_arguments.make_folders(arguments)
    summary = bulk_captions.run(
        found,
        model,
        arguments.out,
        decoding=decoding,
        group=arguments.group,
        quarantine=arguments.quarantine,
        workers=arguments.workers,
        retry=arguments.retry,
        max_bad_rate=arguments.max_bad_rate,
        timeout_s=arguments.timeout,
    )
    print(f"{arguments.out}: {summary.told()}")
    for path, caption in summary.captions.items() if len(found.sources) <= SHOWN else ():
        print(f"  {names.shown(Path(path).name)}: {caption}")
    each = arguments.list_left_out
    file_arguments.tell_left_out(found.left_out, found.closed, each=each)
    file_arguments.tell_bad(summary)
    file_arguments.tell_remarks(summary)

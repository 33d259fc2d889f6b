"""`lb-jax data COMMAND …`: what is done with a corpus before training."""

from collections.abc import Sequence
from pathlib import Path

from lb_jax.cli import corpus_arguments
from lb_jax.cli.arguments import Parser, dispatch
from lb_jax.core.words import noun

FORMATS = ("array_record", "tfds")


def main(argv: Sequence[str]) -> None:
    """Runs a row of `SUBCOMMANDS`.

    Raises:
      ConfigError: no such command, or none.
    """
    dispatch("data", SUBCOMMANDS, argv)


def convert(argv: Sequence[str]) -> None:
    """Packs a corpus of any kind into shards, and prints what they hold."""
    parser = Parser(
        "data convert",
        "Packs a corpus into shards that hold the encoded media themselves. Stopped at any moment, "
        "the same command goes on where it was.",
    )
    corpus_arguments.add_source(parser)
    parser.add_argument("out", type=Path, metavar="DST", help="folder to write; new or empty")
    corpus_arguments.add_only(parser, "modalities to pack (default: all that rows may carry)")
    parser.add_argument(
        "--rows-per-shard", type=int, metavar="N", help="rows that a shard covers (default: 1024)"
    )
    parser.add_argument("--to", choices=FORMATS, default=FORMATS[0], help="(default: %(default)s)")
    parser.add_argument(
        "--max-bad-rate",
        type=float,
        metavar="R",
        help="share of rows that may be left out as unreadable; they are listed in "
        "DST/quarantine.jsonl (default: 0.01)",
    )
    parser.add_argument(
        "--depth-unit",
        metavar="UNIT",
        help="of the depth maps, kept with them: metres per unit, or a name as `lb-jax embed` "
        "takes (default: none is kept)",
    )
    arguments = parser.parse_args(argv)

    from lb_jax.corpora import pack, rows

    source = corpus_arguments.open_source(arguments)
    if arguments.depth_unit is not None:
        source = rows.InUnit(source, arguments.depth_unit)
    given = {
        name: getattr(arguments, name)
        for name in ("rows_per_shard", "max_bad_rate")
        if getattr(arguments, name) is not None
    }
    if arguments.to == "tfds":
        from lb_jax.corpora import tfds_builder

        given["to"] = tfds_builder.shards(source, arguments.only)
    packed = pack.pack(source, arguments.out, only=arguments.only, **given)
    state = "packed" if packed.written else "was already complete; nothing to do"
    print(
        f"{arguments.out}: {state}: {packed.rows:,} {noun(packed.rows, 'row')} "
        f"in {packed.shards:,} {noun(packed.shards, 'shard')}"
    )
    for carried in (packed.media, packed.texts):
        print("  " + (", ".join(f"{name} {rows:,}" for name, rows in carried.items()) or "nothing"))
    if packed.left_out:
        print(f"  left out: {packed.left_out:,}, see {arguments.out / pack.QUARANTINE}")


def check(argv: Sequence[str]) -> None:
    """Decodes a whole corpus and reports on it, or looks for a published test set."""
    from lb_jax.cli import data_benchmark, data_check

    (data_benchmark if data_benchmark.asked_for(argv) else data_check).main(argv)


# name: (its main(argv), what it does)
SUBCOMMANDS = {
    "check": (check, "decode everything and report what is bad, repeated, truncated, and how fast"),
    "convert": (convert, "pack a corpus of any kind into shards, as ArrayRecord or TFDS"),
}

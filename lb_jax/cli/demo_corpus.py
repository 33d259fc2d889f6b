"""`lb-jax demo corpus`: a drawn corpus as files."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from lb_jax.cli.arguments import Parser, make_folder
from lb_jax.core import logging

ITEMS = 2560
KINDS = ("scenes", "films", "narrated")


def options(
    name: str, description: str, argv: Sequence[str], *, items: int, seed_of: str, items_are: str
) -> argparse.Namespace:
    """The options of a demo that draws a corpus: --out, --seed and --items.

    Args:
      name: of the command; "demo mmv" works in `build/demo-mmv`.
      description: what it does, for the help text.
      argv: arguments.
      items: the usual number.
      seed_of: what the seed is of, for the help text.
      items_are: what the number is of, for the help text.
    """
    parser, out = Parser(name, description), Path("build", name.replace(" ", "-"))
    add = parser.add_argument
    add("--out", type=Path, default=out, help=f"folder for everything (default: {out})")
    add("--seed", type=int, default=0, help=f"{seed_of} (default: 0)")
    add("--items", type=int, default=items, help=f"{items_are} (default: {items})")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> None:
    """`lb-jax demo corpus --kind KIND --seed N --items M --out DIR`."""
    parser = Parser(
        "demo corpus",
        "Writes the demo corpus: real mp4, wav, jpg and png files with captions and "
        "labels. Same seed, same bytes.",
    )
    parser.add_argument("--out", type=Path, required=True, help="new or empty folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--items", type=int, default=ITEMS)
    parser.add_argument(
        "--kind",
        choices=KINDS,
        default="scenes",
        help="scenes of five sensors, films with any sound, or films whose sound follows what "
        "they show, half of them narrated (default: scenes)",
    )
    arguments = parser.parse_args(argv)

    from lb_jax.demo import corpus, films, folder, narrated

    kinds = dict(zip(KINDS, (corpus.SCENES, films.FILMS, narrated.NARRATED), strict=True))
    make_folder(arguments.out, "--out")
    with logging.Progress("write corpus", arguments.items, unit="item") as bar:
        folder.write(
            kinds[arguments.kind],
            arguments.out,
            seed=arguments.seed,
            items=arguments.items,
            progress=lambda done, total: bar.advance(done - bar.done),
        )

"""`lb-jax demo corpus`: a drawn corpus as files."""

from collections.abc import Sequence
from pathlib import Path

from lb_jax.cli.arguments import Parser, make_folder
from lb_jax.core import logging

ITEMS = 2560
KINDS = ("scenes", "films", "narrated")


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

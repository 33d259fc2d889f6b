"""`lb-jax corpus generate FILES… --depth MODEL --infrared MODEL -o DIR`."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from lb_jax.cli import file_arguments
from lb_jax.cli.arguments import Parser, make_folder
from lb_jax.core import errors

PRESETS = ("default", "reference")
VIDEO = "video"
PUBLISHED = "vinvino02/glpn-nyu"
OUT_OF_LIST = "generate.quarantine.jsonl"


def main(argv: Sequence[str]) -> None:
    """Makes depth and infrared pictures of every film."""
    arguments = _parse(argv)
    rules = file_arguments.rules_of(arguments)
    make_folder(arguments.out, "--out")
    listed = arguments.quarantine or arguments.out / OUT_OF_LIST
    make_folder(listed.absolute().parent, "--quarantine")

    from lb_jax.corpora import media_files

    found = media_files.find(
        arguments.items,
        (VIDEO,),
        rules=rules,
        root=arguments.root,
        command="corpus generate",
        option="--as",
    )

    # jax takes a second to import; wrong arguments are told before
    from lb_jax.builder import generators
    from lb_jax.corpora.quarantine import Quarantine

    films = generators.named([one.path for one in found.sources], found.folders)
    made = [make(arguments) for make in (_depth, _infrared)]
    summary = generators.generate(
        films,
        [one for one in made if one is not None],
        arguments.out,
        Quarantine(listed, arguments.max_bad_rate, "--max-bad-rate"),
        threads=arguments.workers or generators.THREADS,
    )
    print(f"{arguments.out}: {summary.told()}")
    if summary.bad:
        print(f"  cannot be used: {summary.bad}, see {listed}")
    file_arguments.tell_left_out(found.left_out, found.closed, each=arguments.list_left_out)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = Parser(
        "corpus generate",
        "Makes depth and infrared pictures of frames of every film, on all devices, in the layout "
        "of VIDAL: NAME_depth_f8glpn_folder/0.png, 1.png, … in millimetres and "
        "NAME_thermal_folder/0.jpg, …. A folder that is there is finished; stopped at any moment, "
        "the same command makes the others. made.json in it says by what it was made.",
    )
    add = parser.add_argument
    add("items", nargs="+", help=file_arguments.ITEMS)
    add("-o", "--out", type=Path, required=True, metavar="DIR", help="folder of all folders")
    add(
        "--depth",
        nargs="?",
        const=PUBLISHED,
        metavar="MODEL",
        help="GLPN: a folder as transformers writes it, or a name on the hub (alone: "
        f"{PUBLISHED}); transformers:NAME for any depth model in metres that transformers has",
    )
    add(
        "--infrared",
        metavar="MODEL",
        help="translation_weights.pt of sRGB-TIR, or a folder with it",
    )
    add(
        "--preset",
        choices=PRESETS,
        default="default",
        help="default keeps the shape of frames, and a film has one style and one scale of "
        "infrared; reference does what LanguageBind's scripts did (default: %(default)s)",
    )
    add("--frames", type=int, help="of each film (default: 8)")
    add("--seed", type=int, default=0, help="of infrared styles (default: %(default)s)")
    add("--lossless", action="store_true", help="infrared as png in place of jpg")
    add(
        "--batch-size",
        type=int,
        help="frames at once, of all devices together (default: 8, on a CPU 2)",
    )
    group = parser.add_argument_group("films")
    add = group.add_argument
    add("--workers", type=int, help="films that are read at a time (default: 4)")
    file_arguments.add_rules(group)
    add("--root", type=Path, help="folder that paths of manifests are relative to")
    add("--list-left-out", action="store_true", help="name each file that is left out, and why")
    add("--quarantine", type=Path, metavar="FILE", help="list of films that cannot be used")
    add("--max-bad-rate", type=float, help="share of them above which it stops")
    parser.set_defaults(rules=[], max_bad_rate=0.5)
    arguments = parser.parse_args(argv)
    if arguments.depth is None and arguments.infrared is None:
        raise errors.ConfigError(
            "nothing to make; give --depth, --infrared MODEL, or both, see `lb-jax corpus generate "
            "--help`."
        )
    if arguments.infrared is None and (arguments.lossless or arguments.seed):
        option = "--lossless" if arguments.lossless else "--seed"
        raise errors.ConfigError(f"{option} is of infrared; give --infrared MODEL with it.")
    if arguments.seed < 0:
        raise errors.ConfigError(f"--seed is {arguments.seed}; it must be 0 or more.")
    file_arguments.check(arguments)
    return arguments


def _frames(arguments: argparse.Namespace, frames):
    """What a preset says of frames, with what was given."""
    if arguments.frames is None:
        return frames
    return dataclasses.replace(frames, count=arguments.frames)


def _depth(arguments: argparse.Namespace):
    """The generator of depth that is asked for, if one is."""
    if arguments.depth is None:
        return None
    from lb_jax.builder import depth, depth_transformers

    name, size = arguments.depth, arguments.batch_size
    if name.startswith(depth_transformers.PREFIX):
        name = name.removeprefix(depth_transformers.PREFIX)
        model = depth_transformers.load(name, batch_size=size)
    else:
        model = depth.load(name, batch_size=size)
    options = depth.PRESETS[arguments.preset]
    options = dataclasses.replace(options, frames=_frames(arguments, options.frames))
    return depth.Depth(model, options)


def _infrared(arguments: argparse.Namespace):
    """The generator of infrared that is asked for, if one is."""
    if arguments.infrared is None:
        return None
    from lb_jax.builder import infrared

    options = infrared.PRESETS[arguments.preset]
    options = dataclasses.replace(
        options,
        frames=_frames(arguments, options.frames),
        seed=arguments.seed,
        format="png" if arguments.lossless else options.format,
    )
    translator = infrared.load(arguments.infrared, batch_size=arguments.batch_size)
    return infrared.Infrared(translator, options)

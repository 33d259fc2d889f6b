"""`lb-jax deflate MODEL -o DIR`: an image tower out of the video tower of an MMV model."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lb_jax.cli import file_arguments
from lb_jax.cli.arguments import Parser, make_folder
from lb_jax.core import errors
from lb_jax.core.words import counted

IMAGE, VIDEO = "image", "video"
# What a command line without them holds: options of a fit, and of its pictures.
FITTED_BY = {
    "steps": 500,
    "batch_size": 16,
    "learning_rate": 1e-2,
    "frames": None,
    "seed": 0,
}
FIT = {**FITTED_BY, "rules": [], "quarantine": None, "max_bad_rate": 0.5}


def main(argv: Sequence[str]) -> None:
    """Writes the model with an image tower beside its others."""
    arguments = _parse(argv)
    make_folder(arguments.out.absolute().parent, "--out")

    # jax takes a second to import; wrong arguments are told before
    from lb_jax.convert import mmv_files, replacing
    from lb_jax.inference import mmv
    from lb_jax.media import specs
    from lb_jax.models import deflation
    from lb_jax.text import words

    where = _model_of(arguments.model)
    replacing.require(
        where, arguments.out, "safetensors", mmv_files.FORMATS, "MMV", mmv_files.is_mmv
    )
    read = mmv_files.open_mmv(where)
    cfg = read.config
    if cfg.video is None:
        raise errors.ConfigError(
            f"{arguments.model}: has no video tower to deflate; it has {', '.join(cfg.towers)}."
        )
    if cfg.image is not None:
        raise errors.ConfigError(
            f"{arguments.model}: has an image tower already; give the model it was made from."
        )
    film = mmv.read_specs(read)[VIDEO]
    assert isinstance(film, specs.VideoSpec)
    still = specs.still(film)
    params = read.params()
    if arguments.naive:
        made, tower = deflation.deflated(cfg.video, params[VIDEO])
        lines = ["naive: time is left out, nothing is fitted"]
    else:
        made, tower, lines = _fitted(arguments, cfg.video, params[VIDEO], film)
    mmv_files.save(
        arguments.out,
        dataclasses.replace(cfg, image=made),
        {**params, IMAGE: tower},
        {**read.preprocess, IMAGE: specs.to_dict(still)},
        None if read.words is None else words.Words.read(read.words),
    )
    print(f"{arguments.out}: MMV, {', '.join((*cfg.towers, IMAGE))}")
    for line in lines:
        print(f"  {line}")


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    from lb_jax.corpora import media_files

    parser = Parser(
        "deflate",
        "Makes an image tower out of the video tower of an MMV model, and writes the model with "
        "it: pictures then lie in the spaces of its videos. With --images the tower is fitted, on "
        "any pictures and without labels, to what the video tower gives for films in which nothing "
        "moves; with --naive time is left out and that is all.",
    )
    parser.epilog = f"What a file of a folder is, the first that applies: {media_files.told()}."
    add = parser.add_argument
    add(
        "model",
        metavar="MODEL",
        help="MMV model: a checkpoint, the work directory of a finished run, or a released file",
    )
    add("-o", "--out", type=Path, required=True, help="folder to write")
    add("--images", metavar="FOLDER", help="folder or manifest of pictures to fit it on")
    add("--naive", action="store_true", help="do not fit it")
    group = parser.add_argument_group("the fit")
    add = group.add_argument
    add("--steps", type=int, help="of Adam (default: %(default)s)")
    add("--batch-size", type=int, help="pictures a step (default: %(default)s)")
    add("--learning-rate", type=float, help="of the first step (default: %(default)s)")
    add("--frames", type=int, help="of the films it is fitted to (default: those of the model)")
    add("--seed", type=int, help="of order, crops and augmentation (default: %(default)s)")
    file_arguments.add_rules(group)
    add("--quarantine", type=Path, metavar="FILE", help="list of pictures that cannot be used")
    add("--max-bad-rate", type=float, help="share of them above which it stops")
    parser.set_defaults(**FIT)
    arguments = parser.parse_args(argv)
    if arguments.naive == (arguments.images is not None):
        found = "--naive fits nothing, and --images" if arguments.naive else "what to fit it on"
        raise errors.ConfigError(
            f"{found} is {'given' if arguments.naive else 'missing'}; give --images FOLDER of any "
            "pictures, or --naive for an image tower that is not fitted."
        )
    fit = {name: vars(arguments)[name] for name in FIT}
    if arguments.naive and (strange := [name for name in FIT if fit[name] != FIT[name]]):
        option = strange[0].replace("rules", "as").replace("_", "-")
        raise errors.ConfigError(f"--{option} is of a fit, and --naive fits nothing; leave it out.")
    if arguments.steps < 1 or not arguments.learning_rate > 0:
        raise errors.ConfigError(
            f"--steps is {arguments.steps} and --learning-rate {arguments.learning_rate}; they "
            "must be at least 1 and above 0."
        )
    file_arguments.check(arguments)
    return arguments


def _model_of(given: str) -> Path:
    """Where the MMV model lies.

    Raises:
      ConfigError: for a model of another kind.
      CheckpointError: for what is no model.
    """
    from lb_jax.convert import hub, weights
    from lb_jax.inference import opening

    path = hub.local(given)
    if opening.is_mmv(path):
        return path
    if opening.is_valor(path):
        what = "a VALOR model, which reads a picture as a film of one frame"
    else:
        weights.open_weights(given)
        what = "a LanguageBind model, and LanguageBind has an image encoder of its own"
    raise errors.ConfigError(f"{given}: {what}; give an MMV model to deflate.")


def _fitted(
    arguments: argparse.Namespace, cfg: Any, params: Any, film: Any
) -> tuple[Any, Any, list[str]]:
    """The image tower's config and leaves, and what is to be said of them."""
    from lb_jax.core import logging
    from lb_jax.corpora import media_files
    from lb_jax.corpora.quarantine import Quarantine
    from lb_jax.training import image_tower

    rules = [media_files.parse_rule(rule) for rule in arguments.rules]
    where = arguments.images
    found = media_files.find([where], (IMAGE,), rules=rules, command="deflate", option="--images")
    if len(found.sources) < max(arguments.batch_size, 2):
        raise errors.ConfigError(
            f"{where}: {counted(len(found.sources), 'picture')}, fewer than a batch of "
            f"{arguments.batch_size}; give more (at least 2), or a smaller --batch-size."
        )
    usual = arguments.out.with_name(f"{arguments.out.name}.quarantine.jsonl")
    listed = arguments.quarantine or usual
    make_folder(listed.absolute().parent, "--quarantine")
    quarantine = Quarantine(listed, arguments.max_bad_rate, "--max-bad-rate")
    options = {name: vars(arguments)[name] for name in FITTED_BY}
    made = image_tower.fit(
        cfg, params, film, [one.path for one in found.sources], quarantine, where=where, **options
    )
    lines = [
        f"L1 distance on {counted(made.held_out, 'picture')} held out: {made.naive:.4f} naively, "
        f"{made.fitted:.4f} fitted in {counted(arguments.steps, 'step')}"
    ]
    if made.fitted >= made.naive:
        lines.append("the fit made it no better: give more pictures or steps, or take --naive")
    if quarantine.bad:  # which counts a picture each time it comes
        lines.append(f"cannot be used: {len(logging.read_metrics(listed))}, see {listed}")
    return made.config, made.params, lines

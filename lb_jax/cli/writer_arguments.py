"""Options of commands whose model writes: `lb-jax caption`, `lb-jax ask`."""

import argparse
from typing import Any

from lb_jax.cli.arguments import Parser
from lb_jax.core import errors, shipped

GROUPS = {"tva": "sight and sound", "tv": "sight alone", "ta": "sound alone"}
LOADED = ("config", "batch_size", "frames", "clips")  # options of opening a model
# Option of `ValorModel.decoding`: type, and what it says.
DECODING = {
    "longest": (int, "most tokens, the end included (default: 30, or what the model has room for)"),
    "shortest": (int, "least tokens before the end (default: 0)"),
    "length_penalty": (
        float,
        "texts are compared by log-probability / length to the power of this (default: 0)",
    ),
    "no_repeat_ngram": (int, "no run of so many tokens comes twice (default: 0, all may)"),
}


def add_model(parser: Parser) -> None:
    """Adds --model, --config, --group, --frames and --clips."""
    add = parser.add_argument
    default = shipped.MODELS[shipped.CAPTIONER]
    told = f"{shipped.CAPTIONER}, which comes with the package and {default.knows}"
    add(
        "--model",
        help="VALOR model: folder as released, work directory or checkpoint"
        + (f" (default: {told})" if shipped.is_there(shipped.CAPTIONER) else ""),
    )
    add(
        "--config",
        metavar="FILE",
        help="options of the run (hps.json), where they do not lie beside the weights of --model",
    )
    add(
        "--group",
        choices=GROUPS,
        help=f"what all is written from: {', '.join(f'{k} {v}' for k, v in GROUPS.items())} "
        "(default: what a file has, a video's sound where it has one)",
    )
    add("--frames", type=int, help="of a video (default: what the model states, 8 otherwise)")
    add("--clips", type=int, help="of a sound (default: what the model states, 2 otherwise)")


def add_decoding(parser: Parser, beam: int) -> None:
    """Adds how words are chosen.

    Args:
      parser: of a command whose model writes.
      beam: texts that are followed at a time, unless --beam says it.
    """
    group = parser.add_argument_group("how words are chosen")
    group.add_argument(
        "--beam",
        type=int,
        default=beam,
        help="texts that are followed at a time; 1 is greedy (default: %(default)s)",
    )
    for name, (kind, told) in DECODING.items():
        group.add_argument(f"--{name.replace('_', '-')}", type=kind, help=told)


def open_model(arguments: argparse.Namespace, command: str) -> Any:
    """Opens the `lb_jax.inference.valor.ValorModel` of --model, or that of the package.

    Raises:
      ConfigError: for none where the package has none, one that does not write, and --config with
        one of the package.
      CheckpointError: as `lb_jax.inference.valor.load`.
    """
    if arguments.config is not None and arguments.model in (None, *shipped.MODELS):
        given = f"--model {arguments.model}" if arguments.model else "no --model"
        raise errors.ConfigError(
            f"--config {arguments.config} with {given}; models of the package have their own. It "
            "goes with --model FOLDER, weights as released: give that, or leave --config out."
        )
    source = shipped.instead_of(arguments.model, command, name=shipped.CAPTIONER)
    # jax takes a second to import; wrong arguments are told before
    from lb_jax.inference import opening
    from lb_jax.training import compiled

    compiled.keep()
    return opening.load_writer(source, **_given(arguments, LOADED))


def decoding(arguments: argparse.Namespace) -> dict[str, Any]:
    """What was given of `add_decoding`, for `ValorModel.decoding`."""
    return {"beam": arguments.beam, **_given(arguments, DECODING)}


def _given(arguments: argparse.Namespace, names: Any) -> dict[str, Any]:
    found = {name: vars(arguments).get(name) for name in names}
    return {name: value for name, value in found.items() if value is not None}

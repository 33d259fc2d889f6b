"""`lb-jax calibrate --model=M --data=CORPUS`."""

from collections.abc import Sequence

from lb_jax.cli import bars, corpus_arguments, evaluate
from lb_jax.cli.arguments import (
    Parser,
    add_settings,
    add_space,
    given_settings,
    given_space,
    make_folder,
)
from lb_jax.core import errors


def main(argv: Sequence[str]) -> None:
    """Fits the probability that two things belong together and keeps it in the checkpoint."""
    parser = Parser(
        "calibrate",
        "Fits the probability that two things belong together to one half of the held-out items "
        "of a corpus, measures it on the other half, and writes calibration.json into the "
        "checkpoint, with what is usual among items of both splits: media unlike those get no "
        "probability. Give rows that the model was not trained on. Embeddings stay as they are.",
    )
    parser.add_argument(
        "--model", required=True, help="checkpoint, or work directory of a finished run"
    )
    parser.add_argument("--data", required=True, metavar="CORPUS", help=evaluate.DATA_HELP)
    parser.add_argument(
        "--split", choices=("test", "train"), help="which items of a corpus folder (default: test)"
    )
    corpus_arguments.add_own(parser)
    add_space(parser)
    add_settings(parser)
    arguments = parser.parse_args(argv)
    given = given_space(arguments) | given_settings(arguments)
    rate = corpus_arguments.rate(arguments)

    from lb_jax.evaluation import evaluate as evaluation
    from lb_jax.inference import opening

    model = opening.load_encoder(arguments.model, **given)
    if model.folder is None:
        raise errors.ConfigError(
            f"--model={arguments.model} is no checkpoint of this package, and a calibration lies "
            f"in one; write it with `lb-jax convert {arguments.model} DST --to=safetensors`, then "
            "calibrate DST."
        )
    make_folder(model.folder, "--model")
    corpus = corpus_arguments.read_labelled(arguments, model.modalities)
    corpus_arguments.warn_of_training(corpus, model.folder, arguments.data)
    with bars.shown() as progress:
        embedded = evaluation.embed(model, corpus, progress=progress, **rate)
    run(model, embedded, "all rows" if corpus.by_caption else arguments.split or "test")


def run(model, embedded, split: str) -> None:
    """Fits, prints the table and writes `calibration.json`; embeds some of the other split too.

    Args:
      model: an `Encoder` of a checkpoint of this package.
      embedded: items and captions of a split, `evaluate.Embedded`; the result of an evaluation is
        one too.
      split: its name.

    Raises:
      DataError: for items that no curve can be fitted to.
      CheckpointError: when the disk does not take the file.
    """
    from lb_jax.evaluation import calibrations, familiar
    from lb_jax.evaluation import evaluate as evaluation
    from lb_jax.evaluation.reports import terminal

    found, left_out = calibrations.fit(embedded)
    terminal.print_problems(embedded.problems)
    terminal.show([terminal.calibration_table(found)])
    for name, reason in left_out.items():
        print(f"{name}: left out: {reason}")
    splits, other = [embedded], "train" if split == "test" else "test"
    if not embedded.corpus.by_caption:  # rows of a manifest have no splits
        try:
            with bars.shown() as progress:
                drawn = {"drawn": familiar.AT_MOST, "progress": progress}
                splits.append(evaluation.embed(model, embedded.corpus.root, split=other, **drawn))
        except errors.DataError as error:
            print(f"what is usual is taken from the {split} items alone: {error}")
    data, kept = calibrations.describe(embedded.corpus, split), calibrations.usual_of(*splits)
    found = calibrations.Calibrations(model.stated_digest, data, found, kept)
    print(calibrations.write(model.folder, found))

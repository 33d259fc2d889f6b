"""`lb-jax calibrate --model=M --data=CORPUS`."""

from collections.abc import Sequence

from lb_jax.cli import evaluate
from lb_jax.cli.arguments import Parser, add_settings, given_settings, make_folder
from lb_jax.core import errors


def main(argv: Sequence[str]) -> None:
    """Fits the probability that two things belong together and keeps it in the checkpoint."""
    parser = Parser(
        "calibrate",
        "Fits the probability that two things belong together to one half of the held-out items "
        "of a labelled corpus, measures it on the other half, and writes calibration.json into the "
        "checkpoint, with what is usual among items of both splits: media unlike those get no "
        "probability. The embeddings stay as they are.",
    )
    parser.add_argument(
        "--model", required=True, help="checkpoint, or work directory of a finished run"
    )
    parser.add_argument(
        "--data", required=True, help="corpus folder, as `lb-jax demo corpus` writes it"
    )
    parser.add_argument(
        "--split", default="test", choices=("test", "train"), help="which items (default: test)"
    )
    add_settings(parser)
    arguments = parser.parse_args(argv)
    given = given_settings(arguments)

    from lb_jax.evaluation import evaluate as evaluation
    from lb_jax.inference import api

    model = api.load(arguments.model, **given)
    if model.folder is None:
        raise errors.ConfigError(
            f"--model={arguments.model} is no checkpoint of this package, and a calibration lies "
            f"in one; write it with `lb-jax convert {arguments.model} DST --to=safetensors`, then "
            "calibrate DST."
        )
    make_folder(model.folder, "--model")
    with evaluate.bars() as progress:
        embedded = evaluation.embed(model, arguments.data, split=arguments.split, progress=progress)
    run(model, embedded, arguments.split)


def run(model, embedded, split: str) -> None:
    """Fits, prints the table and writes `calibration.json`; embeds some of the other split too.

    Args:
      model: an `api.Model` of a checkpoint of this package.
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
    terminal.show([terminal.calibration_table(found)])
    for name, reason in left_out.items():
        print(f"{name}: left out: {reason}")
    splits, other = [embedded], "train" if split == "test" else "test"
    try:
        with evaluate.bars() as progress:
            drawn = {"drawn": familiar.AT_MOST, "progress": progress}
            splits.append(evaluation.embed(model, embedded.corpus.root, split=other, **drawn))
    except errors.DataError as error:
        print(f"what is usual is taken from the {split} items alone: {error}")
    data, kept = calibrations.describe(embedded.corpus, split), calibrations.usual_of(*splits)
    found = calibrations.Calibrations(model.stated_digest, data, found, kept)
    print(calibrations.write(model.folder, found))

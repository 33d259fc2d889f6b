"""`lb-jax convert SRC DST --to safetensors|orbax|hf|clip|open_clip|stablehlo`."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from lb_jax.cli.arguments import Parser, make_folder
from lb_jax.cli.corpus_arguments import add_only
from lb_jax.core import checkpoint, errors
from lb_jax.core.modalities import MODALITIES
from lb_jax.core.words import counted

FORMATS = {  # and what opens each
    "safetensors": "lb_jax.load, lb-jax",
    "orbax": "the same",
    "hf": "LanguageBind's or ImageBind's own code",
    "clip": "transformers' Auto classes and sentence-transformers; image, depth, thermal",
    "open_clip": "OpenCLIP; plain towers",
    "stablehlo": "jax.export; one program per tower",
}
OURS = tuple(FORMATS)[:2]  # checkpoints of this package


def main(argv: Sequence[str]) -> None:
    """Reads weights of any kind, writes them in one format, and prints a report."""
    parser = Parser(
        "convert",
        "Weights in and out: SRC is a hub name, a folder or a file of LanguageBind, CLIP, "
        "OpenCLIP, ImageBind, VALOR or MMV weights, or a checkpoint of this package.",
    )
    parser.add_argument(
        "source",
        nargs="+",
        metavar="SRC",
        help="weights; or several as MODALITY=SRC, such as video=DIR_A audio=DIR_B",
    )
    parser.add_argument("out", type=Path, metavar="DST", help="folder to write")
    parser.add_argument(
        "--to",
        required=True,
        choices=tuple(FORMATS),
        help="format, by what opens it: "
        + "; ".join(f"{name}: {what}" for name, what in FORMATS.items()),
    )
    add_only(parser, "modalities to write, with their text tower (default: all of SRC)")
    parser.add_argument(
        "--merge-lora",
        action="store_true",
        help="fold LoRA factors into the weights; clip always does",
    )
    parser.add_argument(
        "--config",
        help="for weights without one: a JSON file, or the name of an OpenCLIP model such as "
        "ViT-B-32-quickgelu, or imagebind_huge",
    )
    parser.add_argument(
        "--size",
        type=int,
        help="side of pictures in pixels, of stills and clips of ImageBind (docs/weights.md)",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="load what was written and print the largest difference of the embeddings",
    )
    arguments = parser.parse_args(argv)
    make_folder(arguments.out.parent, "DST")

    # jax takes a second to import; wrong arguments are told before
    from lb_jax.convert import hub, mmv_files, resized, valor_folder, verify, weights, write

    if len(arguments.source) == 1:
        path = checkpoint.within(hub.local(arguments.source[0]))
        if valor_folder.is_valor(path):
            convert_valor(arguments, path)
            return
        if mmv_files.is_mmv(path):
            convert_mmv(arguments, path)
            return
    stored = weights.open_weights(sources(arguments.source), config=arguments.config)
    chosen = weights.Only(stored, arguments.only) if arguments.only else stored
    chosen = resized.Resized(chosen, arguments.size) if arguments.size is not None else chosen
    opened = weights.Merged(chosen) if arguments.merge_lora else chosen
    report = write.write(opened, arguments.out, arguments.to)
    print(f"{arguments.out}: {', '.join(opened.config.towers)} and text, as {arguments.to}")
    print(f"  {counted(report.tensors, 'tensor')}, {report.parameters:,} parameters")
    print(f"  ignored: {', '.join(opened.ignored) or 'nothing'}")
    for note in report.notes:
        print(f"  {note}")
    if stored.folder and (stored.folder / checkpoint.CALIBRATION).is_file():
        print(f"  calibration: {carry_calibration(stored, arguments.out, arguments.to)}")
    if stored.folder and arguments.to in OURS and (stored.folder / checkpoint.SEEN).is_file():
        shutil.copyfile(stored.folder / checkpoint.SEEN, arguments.out / checkpoint.SEEN)
    if arguments.verify:
        for name, difference in verify.differences(chosen, arguments.out, arguments.to).items():
            print(f"  {name}: embeddings differ by at most {difference:.1e}")


def convert_valor(arguments, path: Path) -> None:
    """The same for the VALOR model at a path, which has options of its own and is one whole.

    Raises:
      ConfigError: for a format or an option that is not for it.
    """
    from lb_jax.convert import valor_folder

    if arguments.only or arguments.merge_lora or arguments.size:
        raise errors.ConfigError(
            f"{arguments.source[0]}: a VALOR model, which is written whole; leave out --only, "
            "--merge-lora and --size."
        )
    given = {"config": arguments.config, "called": arguments.source[0]}
    read, written = valor_folder.convert(path, arguments.out, arguments.to, **given)
    print(f"{arguments.out}: VALOR, {', '.join(read.config.towers)} and text, as {arguments.to}")
    print(f"  not used by the model and kept: {counted(len(read.unused), 'tensor')}")
    if arguments.verify:
        for name, difference in valor_folder.differences(read, written).items():
            print(f"  {name}: differ by at most {difference:.1e}")


def convert_mmv(arguments, path: Path) -> None:
    """The same for the MMV model at a path, whose file says all that there is to say.

    Raises:
      ConfigError: for a format or an option that is not for it.
    """
    from lb_jax.convert import mmv_files

    if arguments.only or arguments.merge_lora or arguments.config or arguments.size:
        raise errors.ConfigError(
            f"{arguments.source[0]}: an MMV model, which is written whole and needs no config; "
            "leave out --only, --merge-lora, --config and --size."
        )
    read, written = mmv_files.convert(path, arguments.out, arguments.to)
    print(f"{arguments.out}: MMV, {', '.join(read.config.towers)}, as {arguments.to}")
    print(f"  {counted(len(read.places), 'tensor')}, graph {read.config.graph.kind}")
    if arguments.verify:
        for name, difference in mmv_files.differences(read, written).items():
            print(f"  {name}: differ by at most {difference:.1e}")


def carry_calibration(stored, out: Path, to: str) -> str:
    """Copies the calibration of a checkpoint into what was written, where it still holds.

    Args:
      stored: `weights.Stored` of a checkpoint that has a calibration.
      out: what was written from them.
      to: the format.

    Returns:
      What became of it, in words.
    """
    from lb_jax.evaluation import calibrations
    from lb_jax.inference import api

    if to not in OURS:
        return f"left out, {to} has no place for it"
    written, digest = api.load(out), api.Model(stored).digest
    try:
        found = calibrations.read(stored.folder, digest)
    except errors.CheckpointError as error:
        return f"left out ({error})"
    if written.digest != digest:
        return "left out, the weights are others now; run `lb-jax calibrate` on them"
    calibrations.write(out, found)
    return "carried over"


def sources(given: Sequence[str]) -> str | dict[str, str]:
    """One source, or modality -> source.

    Raises:
      ConfigError: for several sources that do not all name their modality.
    """
    pairs = [one.split("=", 1) for one in given if one.split("=", 1)[0] in MODALITIES]
    named = dict(pairs)
    if len(named) < len(pairs):
        raise errors.ConfigError(f"a modality is given twice in {' '.join(given)}; give each once.")
    if len(named) == len(given):
        return named
    if len(given) > 1:
        raise errors.ConfigError(
            f"several sources are written MODALITY=SRC with one of {', '.join(MODALITIES)}; got "
            f"{' '.join(given)}."
        )
    return given[0]

"""`lb-jax corpus terms --config=SHEET --out=FILE [--config.name=value ...]`."""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from lb_jax.cli.arguments import make_folder
from lb_jax.core.words import counted

USAGE = "usage: lb-jax corpus terms --config=SHEET --out=FILE [--config.name=value ...]"
HELP = f"""{USAGE}

Makes a table of search terms of labels and captions of sets that show things: forms of one term
are put together, every source has its share, and each term has a weight. `lb-jax corpus collect`
searches them.

  --config              sheet, a Python file with get_config(), or the name of one that comes with
                        the package: corpus_vidal
  --out                 the table; its ending says how it is written: .parquet, .csv, .jsonl
  --config.name=value   another value for a setting of the sheet, such as
                        "--config.terms.files=('coco=captions_train2017.json','mine=a.csv:title')"
                        or --config.terms.most=5000

Files are told by their content: COCO's captions and instances, MSR-VTT, HMDB-51 (a folder of its
splits or of class folders), ImageNet, AVA, YouTube-8M, a column of a table (PATH:COLUMN), or a
text file of one a line."""


def main(argv: Sequence[str]) -> None:
    """Makes the table as the arguments say."""
    if "--help" in argv or "-h" in argv:
        print(HELP)
        return
    from lb_jax.builder import sheet
    from lb_jax.builder.terms import table
    from lb_jax.training import sheets

    def define(values: flags.FlagValues) -> None:
        flags.DEFINE_string("out", None, "the table", flag_values=values)

    cfg, values = sheets.parse(argv, USAGE, define, required="out", read=sheet.from_config_dict)
    path = Path(values.out)
    table.require_format(path)
    make_folder(path.absolute().parent, "--out")
    rows = table.build(cfg.terms)
    table.write(rows, path)
    print(f"{path}: {counted(len(rows), 'term')}")

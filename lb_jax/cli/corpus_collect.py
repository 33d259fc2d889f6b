"""`lb-jax corpus collect --config=SHEET --out=DIR [--config.name=value ...]`."""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from lb_jax.cli.arguments import make_folder
from lb_jax.core import errors, locks

USAGE = "usage: lb-jax corpus collect --config=SHEET --out=DIR [--config.name=value ...]"
HELP = f"""{USAGE}

Finds films and sounds, and fetches those that may be used: DIR/raw.json is a source that `lb-jax
corpus run` takes. The same command goes on where it was stopped or killed, and fetches what is
missing alone. Licence and source stay with every item.

  --config              sheet, a Python file with get_config(), or the name of one that comes with
                        the package: corpus_vidal
  --out                 folder of the collection
  --config.name=value   another value for a setting of the sheet, such as
                        "--config.collect.sources=('folder=films','urls=table.csv')",
                        "--config.collect.licences=('CC0-1.0',)" or --config.collect.per_minute=30

Sources: folder=DIR; urls=TABLE with the columns url,title,licence,source; ytdlp=URL or, for the
terms of --config.collect.terms, ytdlp (extra `collect`); freesound likewise, with a key in the
environment as FREESOUND_API_KEY."""


def main(argv: Sequence[str]) -> None:
    """Collects as the arguments say, and tells what it came to."""
    if "--help" in argv or "-h" in argv:
        print(HELP)
        return
    from lb_jax.builder import sheet
    from lb_jax.builder.stage import Package
    from lb_jax.training import sheets

    def define(values: flags.FlagValues) -> None:
        flags.DEFINE_string("out", None, "folder of the collection", flag_values=values)

    cfg, values = sheets.parse(argv, USAGE, define, required="out", read=sheet.from_config_dict)
    client = Package("httpx2", "httpx2")
    if not client.is_there:
        raise errors.ConfigError(f"corpus collect needs httpx2, which is not here; {client.how}.")
    from lb_jax.builder.collecting import driver

    folder = Path(values.out)
    make_folder(folder, "--out")
    busy = f"--out: another run is at work in {folder}; wait for it or give another folder."
    with locks.of_folder(folder, busy, "give an --out on another one"):
        summary = driver.collect(cfg.collect, folder)
    print("\n".join(driver.told(summary)))
    print(folder / driver.RAW)

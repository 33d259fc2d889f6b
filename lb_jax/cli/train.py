"""`lb-jax train --config=SHEET[:ARGUMENT] --workdir=DIR [--config.name=value ...]`."""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from lb_jax.core.modalities import MODALITIES

USAGE = "usage: lb-jax train --config=SHEET --workdir=DIR [--config.name=value ...]"
NAMES = ", ".join(MODALITIES)
HELP = f"""{USAGE}

Runs a lab sheet and writes an inference checkpoint to DIR/checkpoint. The same command again
resumes a run that was stopped.

  --config              lab sheet, a Python file with get_config(), or the name of one that comes
                        with the package; what follows a colon is handed to it, and `,trial` at
                        the end makes it small
  --workdir             folder of the run; new, empty, or of the same run
  --config.name=value   another value for a setting of the sheet, such as --config.optim.lr=1e-4
  --multihost           train together with the other hosts, each running this same command: a
                        Cloud TPU slice, a Slurm, Open MPI or Kubernetes job, or hosts that
                        JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID
                        describe
  --profile             write a trace of five steps to DIR/profile

Own data: a CSV file with the columns path,caption, and the modality of its files
({NAMES}):

  lb-jax train --config=finetune:depth --workdir=run --config.data.sources.main.path=my.csv

To try it, about a minute on a CPU and no network: --config=finetune:depth,trial"""


def main(argv: Sequence[str]) -> None:
    """Trains as the arguments say, and prints where the checkpoint is."""
    if "--help" in argv or "-h" in argv:
        print(HELP)
        return
    cfg, values = parse(argv)
    # jax takes a second to import; wrong arguments are told before
    from lb_jax.training import compiled, distributed, host_memory, loop

    host_memory.keep()
    compiled.keep()
    if values.multihost:
        distributed.start()
    print(f"checkpoint: {loop.run(cfg, Path(values.workdir), profile=values.profile)}")


def parse(argv: Sequence[str]):
    """Reads `--config`, its overrides, and the command's own flags; see `sheets.parse_flags`."""
    from lb_jax.training import sheets

    def define(values: flags.FlagValues) -> None:
        flags.DEFINE_string("workdir", None, "folder of the run", flag_values=values)
        flags.DEFINE_bool("multihost", False, "one of several hosts", flag_values=values)
        flags.DEFINE_bool("profile", False, "write a trace", flag_values=values)

    return sheets.parse_flags(argv, USAGE, define, required="workdir")

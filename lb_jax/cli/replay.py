"""`lb-jax replay WORKDIR STEP`."""

from collections.abc import Sequence
from pathlib import Path

from lb_jax.cli.arguments import Parser


def main(argv: Sequence[str]) -> None:
    """Computes a step that a run skipped once more, and prints what in it is not finite."""
    parser = Parser(
        "replay",
        "Computes a step that was skipped because it was not finite once more, from the batch that "
        "the run kept and its newest state up to that step, and names what is not finite.",
    )
    parser.add_argument("workdir", type=Path, metavar="WORKDIR", help="folder of the run")
    parser.add_argument("step", type=int, metavar="STEP", help="one of those in WORKDIR/nonfinite")
    given = parser.parse_args(argv)
    from lb_jax.training.replay import replay

    found = replay(given.workdir, given.step)
    print(f"step {given.step} with the parameters of step {found['state']}")
    print(f"inputs that are not finite: {', '.join(found['inputs']) or 'none'}")
    for name, loss in found["losses"].items():
        print(f"loss of {name}: {loss:.6g}")
    print(f"gradients that are not finite: {', '.join(found['gradients']) or 'none'}")
    if found["state"] < given.step and not (found["inputs"] or found["gradients"]):
        print(
            f"the step was not reproduced: the parameters moved on after step {found['state']}, "
            "the newest state up to it; a smaller config.save_every keeps them closer"
        )

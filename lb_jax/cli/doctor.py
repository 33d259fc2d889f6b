"""`lb-jax doctor`: versions, devices, memory, decoders, a model; what to do about each problem."""

import dataclasses
import json
from collections.abc import Sequence

from lb_jax.cli.arguments import Parser
from lb_jax.core import errors, shipped
from lb_jax.core.words import counted

COLOURS = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def main(argv: Sequence[str]) -> None:
    """Prints one line for each check; a failed one ends with status 2."""
    parser = Parser(
        "doctor",
        "Tries this machine and a model and says what is wrong and what to do: versions, devices, "
        "memory, disk, decoders, and whether the model gives the vectors it gave where it was "
        "right. Status 2 when a check failed, 0 otherwise.",
    )
    parser.add_argument("--model", help="what to try (default: demo)")
    parser.add_argument("--store", help="a store of vectors to check too, and its model")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument(
        "--write-golden",
        action="store_true",
        help="write golden.json beside the weights: what the model gives here is taken as right",
    )
    arguments = parser.parse_args(argv)

    # jax takes a second to import; wrong arguments are told before
    from lb_jax.inference import opening
    from lb_jax.search import doctor

    model = shipped.instead_of(arguments.model, "doctor")
    if arguments.write_golden:
        print(doctor.write_golden(opening.load_encoder(model)))
        return
    found = []
    for one in doctor.findings(doctor.Case(model, arguments.store)):
        found.append(one)
        if not arguments.json:
            show(one)
    failed = [f"{one.check} {one.name}" for one in found if one.status == doctor.FAIL]
    if arguments.json:
        statuses = {one.status for one in found}
        worst = next(one for one in (doctor.FAIL, doctor.WARN, doctor.OK) if one in statuses)
        checks = [dataclasses.asdict(one) for one in found]
        print(json.dumps({"status": worst, "checks": checks}, indent=1))
    if failed:
        raise errors.ConfigError(
            f"{len(failed)} of {counted(len(found), 'check')} failed: {', '.join(failed)}; "
            "each says what to do."
        )


def show(one) -> None:
    """Prints a `doctor.Finding`, with colours on a terminal."""
    import rich.console
    import rich.text

    what = f"{one.check} {one.name}".ljust(28)
    rest = f"{what} {one.found}{f' -> {one.do}' if one.do else ''}"
    console = rich.console.Console()
    if console.is_terminal:
        console.print(rich.text.Text.assemble((one.status.ljust(5), COLOURS[one.status]), rest))
    else:
        print(f"{one.status.ljust(5)}{rest}", flush=True)

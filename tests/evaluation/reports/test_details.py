"""What a suite measured, printed."""

import io

import rich.console

from lb_jax.evaluation.reports import terminal
from tests.evaluation.measured import metrics


def test_everything_is_printed_and_no_word_is_taken_for_markup():
    given = metrics(
        problems=[{"kind": "missing", "name": "[red]", "reason": "no file", "modality": "video"}]
    )
    console = rich.console.Console(file=io.StringIO())
    terminal.print_suite(given, console=console)
    shown = console.file.getvalue()
    for words in (
        "MSR-VTT",
        "42.6 65.4 75.5",
        "[red]",
        "no folder msvd",
        "42.6 (39.6 to 45.6)",
        "+32.0",
    ):
        assert words in shown, words

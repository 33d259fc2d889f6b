"""Tables and headline numbers show what was measured, beside chance and target."""

import io

import pytest
import rich.console

from lb_jax.core import errors
from lb_jax.evaluation import evaluate
from lb_jax.evaluation.reports import terminal


@pytest.fixture
def measured(corpus, planted):
    return evaluate.evaluate(planted, corpus).metrics


def test_tables_are_plain_aligned_text_in_a_file(measured):
    file = io.StringIO()
    terminal.print_tables(measured, rich.console.Console(file=file))
    text = file.getvalue()
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 120
    lines = {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}
    assert lines["video/motion"] == ["video/motion", "100.0", "%", "25.0", "%", "12"]
    assert lines["text->audio"][1:9] == ["100.0", "%", "100.0", "%", "100.0", "%", "8.3", "%"]
    assert "audio->image" in lines


def test_tables_are_drawn_on_a_terminal(measured):
    file = io.StringIO()
    options = {"force_terminal": True, "color_system": "standard"}  # whatever TERM says
    terminal.print_tables(measured, rich.console.Console(file=file, width=120, **options))
    assert "\x1b[" in file.getvalue()


def test_headlines_meet_or_miss_their_targets(measured):
    targets = {
        "video/motion": (">=", 0.85),
        "video/motion_shuffled": ("<=", 0.6),
        "text->video": (">=", 13.0),
    }
    lines = {line.name: line for line in terminal.headlines(measured, targets)}
    assert [lines[name].passes for name in targets] == [True, True, False]
    assert (lines["text->video"].shown, lines["video/motion"].shown) == ("12.0×", "100.0 %")
    assert lines["best emergent pair"].value == 12
    assert lines["image/category"].passes is None


def test_a_target_without_a_result_is_refused(measured):
    with pytest.raises(
        errors.ConfigError, match=r"'text->vidoe' names no result.*Did you mean 'text->video'"
    ):
        terminal.headlines(measured, {"text->vidoe": (">=", 10)})

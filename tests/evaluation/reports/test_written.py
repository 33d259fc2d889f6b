"""What a model wrote on the page of a suite: marked, escaped, from the worst to the best."""

import re

from lb_jax.evaluation.benchmarks import layouts, results, suite
from lb_jax.evaluation.benchmarks.table import BENCHMARKS, Settings
from lb_jax.evaluation.reports import suite as suite_report
from lb_jax.evaluation.reports import written
from tests.evaluation import miniatures
from tests.evaluation.planted import Writes


def page(tmp_path, *names, writer=Writes):
    settings = Settings()
    benchmarks = {}
    for name in names:
        miniatures.write(name, tmp_path)
        split = layouts.LAYOUTS[name].read(tmp_path / name)
        benchmarks[name] = suite.score(
            None, name, BENCHMARKS[name], split, settings, writer=writer(split)
        )
    found = suite.SuiteResult(benchmarks, {}, settings)
    metrics = {"model": "m", "digest": "d"} | results.to_json(found)
    suite_report.write(tmp_path / "report.html", found, metrics)
    return (tmp_path / "report.html").read_text()


def test_words_are_marked_by_whether_a_reference_has_them():
    found = written.marked("A dog's <b>ball, rolls!", ["the dog's ball", "it rolls."])
    plain = re.sub(r' title="[^"]*"', "", found)
    assert plain == "<u>A</u> <b>dog&#x27;s</b> <u>&lt;b&gt;ball,</u> <b>rolls!</b>"
    assert written.marked("", ["x"]) == '<u title="in no reference">(nothing)</u>'
    assert written.marked("a -- b", ["a b"]).count("<b ") == 2


def test_the_page_shows_texts_beside_those_of_people(tmp_path):
    text = page(tmp_path, "msrvtt_caption", "activitynet_qa")
    assert '<p class="said"><b title="in a reference">a</b>' in text
    assert "<li>someone sings</li>" in text
    assert '<p class="asked-for">is it raining</p>' in text
    assert '<span class="good">right</span> v_aaa' in text
    assert "tokeniser" in text


def test_what_a_model_wrote_cannot_become_part_of_the_page(tmp_path):
    class Hostile(Writes):
        def caption(self, group, items, **options):
            return ["<script>alert(1)</script> \x00 & \ud83d"] * len(items)

        def answer(self, items, questions, *, group):
            return ["</p><img src=x onerror=alert(1)>"] * len(items)

    text = page(tmp_path, "msrvtt_caption", "activitynet_qa", writer=Hostile)
    assert "<script" not in text
    assert "<img src=x" not in text
    assert '<span class="bad">wrong</span>' in text


def test_shown_are_texts_from_the_worst_to_the_best(tmp_path, monkeypatch):
    monkeypatch.setattr(written, "SHOWN", 2)

    class Half(Writes):
        def answer(self, items, questions, *, group):
            right = super().answer(items, questions, group=group)
            return [one if i else "wrong" for i, one in enumerate(right)]

    text = page(tmp_path, "activitynet_qa", writer=Half)
    assert re.findall(r'<span class="\w+">(\w+)</span>', text) == ["wrong", "right"]
    assert "2 of 3 texts" in text

"""The report is one file with the numbers and the media, and asks nothing of the network."""

import html
import html.parser
import re

import pytest

from lb_jax.core import errors
from lb_jax.evaluation import evaluate
from lb_jax.evaluation.reports import corpus as report

CURVES = {
    "bind <1>": [
        {"step": i, "loss": 4.0 - i / 100, "loss/video": 3.5 - i / 100, "logit_scale/video": 2.6}
        for i in range(300)
    ]
}


class _Page(html.parser.HTMLParser):
    """Collects addresses and checks that elements close in order."""

    VOID = ("meta", "img", "br", "wbr", "link", "input")

    def __init__(self):
        super().__init__()
        self.addresses, self.open, self.images = [], [], []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.addresses += [
            value for key, value in attrs.items() if key in ("src", "href", "xlink:href", "srcset")
        ]
        if tag == "img":
            self.images.append(attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.addresses += [value for key, value in attrs if key in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def written(media_result, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "new" / "report.html"
    facts = {"seed": 7, "note": "<b>not bold</b>"}
    targets = {"image/category": (">=", 0.9), "text->video": (">=", 99.0)}
    report.write_report(
        path, media_result, curves=CURVES, title="Demo & more", facts=facts, targets=targets
    )
    return path, media_result


def test_the_page_is_well_formed_and_self_contained(written):
    path, _ = written
    page = _Page()
    page.feed(path.read_text())
    assert page.open == []
    assert page.addresses
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert not re.search(r"https?://|@import|url\((?!#)", path.read_text())
    assert path.stat().st_size < 3_000_000
    assert list(path.parent.iterdir()) == [path]


def test_the_page_holds_the_numbers(written):
    text = html.unescape(written[0].read_text()).replace("\N{NO-BREAK SPACE}", " ")
    for shown in (
        "video/motion_shuffled",
        "100.0 %",
        "8.3 %",
        "12.0×",
        "audio → image",
        "Targets met: 1 of 2",
    ):
        assert shown in text
    assert "✓ met: at least 90.0 %" in text
    assert "✗ missed: at least 99.0×" in text


def test_text_is_escaped_and_paths_are_relative(written):
    text = written[0].read_text()
    assert "&lt;b&gt;not bold&lt;/b&gt;" in text
    assert "Demo &amp; more" in text
    assert "bind &lt;1&gt;: loss" in text
    assert str(written[1].corpus.root) not in text


def test_every_picture_has_an_alternative_text(written):
    page = _Page()
    page.feed(written[0].read_text())
    assert len(page.images) > 60
    assert all(
        re.match(r"(image|video|depth|thermal|audio) of item item\d+: ", image["alt"])
        for image in page.images
    )


def test_right_and_wrong_hits_are_marked(written):
    text = written[0].read_text()
    right = len(re.findall('<figure class="right">', text))
    assert right == 4 * 4 + 4  # four texts in four modalities, four sounds in images
    assert len(re.findall('<figure class="(kin|wrong)">', text)) == 4 * right


def test_a_broken_file_is_named_and_the_old_report_stays(written, tmp_path, corpus, planted):
    target = tmp_path / "report.html"
    target.write_text("old")
    result = evaluate.evaluate(planted, corpus)  # its media files are empty
    with pytest.raises(errors.DataError, match="item"):
        report.write_report(target, result, curves={}, title="", facts={})
    assert target.read_text() == "old"


def test_curves_that_are_not_finite_are_counted(written, tmp_path):
    rows = [{"step": 0, "loss": 1.0}, {"step": 1, "loss": float("nan")}]
    report.write_report(tmp_path / "r.html", written[1], curves={"run": rows}, title="", facts={})
    assert "1 value not finite and not drawn" in (tmp_path / "r.html").read_text()

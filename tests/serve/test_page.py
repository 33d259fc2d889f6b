"""The page in a browser, on a screen and on a phone."""

import shutil
import time

import pytest

from lb_jax.inference import valor
from lb_jax.serve import captions, drawing
from tests.media import media_files
from tests.serve.client import CAPTIONS, CONTENT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")
WAIT_MS = 120_000
SCREENS = {"desktop": (1280, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(params=SCREENS)
def page(request, browser, server):
    """The page, ready; afterwards it has asked nobody but the server."""
    width, height = SCREENS[request.param]
    opened = browser.new_page(viewport={"width": width, "height": height})
    opened.set_default_timeout(WAIT_MS)
    elsewhere = []
    ours = (server.url, "data:", "blob:")
    opened.on("request", lambda sent: sent.url.startswith(ours) or elsewhere.append(sent.url))
    opened.goto(server.url)
    opened.wait_for_selector("#similar-go")
    yield opened
    assert elsewhere == []
    opened.close()


@pytest.mark.parametrize(
    ("share", "digits", "shown"),
    [
        (0.995, 0, "&gt; 99 %"),
        (1.0, 0, "&gt; 99 %"),
        (0.99, 0, "99 %"),
        (0.004, 0, "&lt; 1 %"),
        (0.5, 0, "50 %"),
        (0.9996, 1, "&gt; 99.9 %"),
        (0.123, 1, "12.3 %"),
    ],
)
def test_no_probability_is_rounded_to_certainty(share, digits, shown):
    assert drawing.percent(share, digits) == shown


def drop(page, zone, name, data):
    """Gives a file to one of the places for files, and waits until it is there."""
    file = {"name": name, "mimeType": "application/octet-stream", "buffer": data}
    page.set_input_files(f"#{zone} input[type=file]", file)
    page.wait_for_selector(f"#{zone} .file-preview [aria-label='{name}']")


def turn_to(page, name, zone):
    """Opens a tab, and waits until its parts have their values."""
    page.get_by_role("tab", name=name).click()
    page.wait_for_function(f"document.querySelector('#{zone}-kind input').value != ''")


def ask(page, zone, typed, answer):
    """Types into a tab, presses its button, and waits for the answer, a selector.

    Gradio drops without a word what is typed or pressed while it is still making a tab, which takes
    seconds on a busy machine. People type again, and so does this.
    """
    until = time.monotonic() + WAIT_MS / 1000
    while time.monotonic() < until:
        for place, text in typed.items():
            page.fill(f"#{zone}-{place} textarea, #{zone}-{place} input", text)
        page.click(f"#{zone}-go")
        for _ in range(50):
            page.wait_for_timeout(100)
            if page.locator(answer).count():
                return page.locator(answer).first
    shown = page.locator(f"#{zone}-out").inner_text()
    raise AssertionError(f"{answer} did not come; {zone} shows: {shown!r}")


def fits(page):
    """Whether nothing is wider than the screen."""
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_similarity_search_and_labels(page, model):
    drop(page, "similar-image", "picture.png", CONTENT["image"])
    drop(page, "similar-audio", "sound.wav", CONTENT["audio"])
    ask(page, "similar", {"texts": "a cat\na <b>dog</b>"}, ".lb-heat")
    expected = model.similarity(
        model.embed("image", [CONTENT["image"]]), model.embed("text", ["a cat", "a <b>dog</b>"])
    )[0]
    shown = page.locator(".lb-heat tbody tr").first.locator("td").all_inner_texts()
    assert [float(one) for one in shown] == pytest.approx(expected, abs=0.006)
    assert "a <b>dog</b>" in page.locator(".lb-heat thead").inner_text()
    assert fits(page)
    page.get_by_label("Logits").check()
    page.wait_for_selector(".lb-heat[data-value=logits]")

    drop(page, "similar-image", "broken.png", CONTENT["image"][:60])
    message = ask(page, "similar", {}, "#similar-out .lb-bad").inner_text()
    assert message.startswith("broken.png: ")

    turn_to(page, "Search", "search")
    drop(page, "search-file", "clip.mp4", CONTENT["video"])
    player = ask(page, "search", {}, ".lb-card[data-modality=video] video")
    assert player.get_attribute("src").endswith("#t=0.5,1")
    page.wait_for_function("document.querySelector('.lb-card video').currentTime == 0.5")
    first = page.locator(".lb-card").first.inner_text()
    assert "cosine 1.000" in first
    assert CAPTIONS["video"] in first
    assert fits(page)
    page.get_by_label("words of captions").check()
    ask(page, "search", {"text": "pattern"}, "#search-out:not(:has(.lb-card[data-modality=image]))")
    assert page.locator(".lb-card").count() == 1

    turn_to(page, "Zero-shot", "zero")
    drop(page, "zero-file", "sound.wav", CONTENT["audio"])
    page.wait_for_function("document.querySelector('#zero-kind input').value == 'audio'")
    ask(page, "zero", {"labels": "a dog\nrain\na car"}, ".lb-bar")
    shares = page.locator(".lb-bar b").all_inner_texts()
    assert sum(float(one.rstrip(" %")) for one in shares) == pytest.approx(100, abs=0.3)
    assert fits(page)


def test_captions_and_answers(page, captioner):
    writer = valor.load(captioner, batch_size=captions.SIZE)
    loud, question = media_files.clip(sound=True), "what is <b>seen</b>"
    turn_to(page, "Captions", "write")
    drop(page, "write-file", "loud.mp4", loud)  # which is all that has to be done
    said = page.wait_for_selector("#write-out .lb-said").inner_text()
    assert said == writer.caption("video", [loud])[0]
    note = "Caption of loud.mp4, written from sight and sound."
    assert note in page.locator("#write-out").inner_text()
    page.wait_for_function("document.querySelector('#write-kind input').value == 'video'")
    answer = ask(page, "ask", {"question": question}, "#ask-out .lb-said").inner_text()
    assert answer == writer.answer([loud], question)[0]
    assert f"Answer to “{question}” about loud.mp4" in page.locator("#ask-out").inner_text()
    assert fits(page)

    page.get_by_label("sound", exact=True).check()
    ask(page, "write", {}, "#write-out .lb-note:has-text('written from sound.')")
    assert page.locator("#write-out .lb-said").inner_text() == writer.caption("ta", [loud])[0]
    page.locator("#write-file").get_by_label("Clear").click()
    drop(page, "write-file", "silent.mp4", CONTENT["video"])
    told = page.wait_for_selector("#write-out .lb-bad").inner_text()
    assert told.startswith("silent.mp4: is a film without a sound track, and ta needs audio")
    assert fits(page)


@pytest.mark.parametrize("page", ["desktop"], indirect=True)
def test_a_button_that_is_faster_than_the_guess_of_what_a_file_is_does_its_work(page):
    held = []

    def hold_guesses(route):
        data = route.request.post_data_json["data"]
        if len(data) == 1 and isinstance(data[0], dict):
            held.append(route)
        else:
            route.continue_()

    page.route("**/gradio_api/queue/join*", hold_guesses)
    turn_to(page, "Search", "search")
    drop(page, "search-file", "clip.mp4", CONTENT["video"])
    page.click("#search-go")
    page.wait_for_selector(".lb-card[data-modality=video] video")
    turn_to(page, "Zero-shot", "zero")
    drop(page, "zero-file", "clip.mp4", CONTENT["video"])
    page.click("#zero-go")
    page.wait_for_selector(".lb-bar")
    assert len(held) == 2
    kind = page.locator("#search-kind input")
    assert kind.input_value() != "video"
    for route in held:
        route.continue_()
    page.wait_for_function("document.querySelector('#zero-kind input').value == 'video'")
    page.get_by_role("tab", name="Search").click()
    page.wait_for_function("document.querySelector('#search-kind input').value == 'video'")

    kind.click()  # what is chosen by hand counts
    page.get_by_role("option", name="image").click()
    page.click("#search-go")
    message = page.wait_for_selector("#search-out .lb-bad").inner_text()
    assert message.startswith("clip.mp4: ")


@pytest.mark.parametrize("size", SCREENS)
def test_no_probability_of_what_the_model_does_not_know(browser, calibrated, size):
    width, height = SCREENS[size]
    page = browser.new_page(viewport={"width": width, "height": height})
    page.set_default_timeout(WAIT_MS)
    page.goto(calibrated.url)
    page.wait_for_selector("#similar-go")
    drop(page, "similar-image", "noise.png", CONTENT["image"])
    page.get_by_label("Calibrated probability").check()
    answer = "#similar-out .lb-bad:has-text('noise.png: the image is unlike')"
    ask(page, "similar", {"texts": "a red car"}, answer)

    turn_to(page, "Search", "search")
    assert not page.locator("#search-by").count()  # the store has no captions
    ask(page, "search", {"text": "a red car"}, ".lb-card")
    blocks = [one.lower() for one in page.locator(".lb-block").all_inner_texts()]
    assert sorted(blocks) == ["audio", "image", "video"]
    for modality in blocks:
        cards = page.locator(f".lb-card[data-modality={modality}]").all_inner_texts()
        assert {"probability" in one for one in cards} == {modality != "audio"}
    assert "No probability: 8 of 8 audio vectors" in page.locator("#search-out").inner_text()
    assert fits(page)

    turn_to(page, "Zero-shot", "zero")
    drop(page, "zero-file", "noise.png", CONTENT["image"])
    told = ask(page, "zero", {}, "#zero-out .lb-bad").inner_text()
    assert told.startswith("No probabilities: the image is unlike")
    assert page.locator(".lb-bar").count() == 0
    page.close()

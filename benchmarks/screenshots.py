"""The pictures of the README: page and report of the shipped model on the demo's corpus.

    python benchmarks/screenshots.py [--out docs/images] [--items 120]

Writes `page.png` and `report.png` by way of chromium, which has to be installed, and playwright,
of the extra `test`. Palettes of 128 colours keep them small.
"""

import argparse
import contextlib
import io
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright import sync_api

sys.path.insert(0, str(Path(__file__).parents[1]))

from lb_jax.cli import main as cli
from tests.serve import client

QUERY = "a red car"
SIZE = {"width": 1280, "height": 1000}
# Files that are searched in: of each scene the clip, a still, a depth map, a thermal picture.
SHOWN = (
    "*/*.mp4",
    *(f"*/*_{kind}_folder/0.*" for kind in ("resize256", "depth_f8glpn", "thermal")),
)
WAIT_MS = 600_000
SETTLE_MS = 5_000
COLOURS = 128


def main() -> None:
    """Makes corpus, store and report in a folder that goes away, and takes the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--items", type=int, default=120)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    out = given.out.absolute()
    with (
        tempfile.TemporaryDirectory() as scratch,
        contextlib.chdir(scratch),  # the report names its corpus
        sync_api.sync_playwright() as playwright,
    ):
        called("demo", "corpus", "--out=corpus", f"--items={given.items}")
        called("evaluate", "--model=demo", "--data=corpus", "--out=result")
        files = [str(file) for one in SHOWN for file in sorted(Path("corpus").glob(one))]
        called("index", "build", *files, "-o", "media.index", "--model=demo")
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(WAIT_MS)
        page.goto((Path(scratch) / "result/report.html").as_uri())
        write(page.screenshot(), out / "report.png")
        with client.serving("--model=demo", f"--store={scratch}/media.index") as server:
            page.goto(server.url)
            page.wait_for_selector("#similar-go")
            page.get_by_role("tab", name="Search").click()
            page.fill("#search-text textarea", QUERY)
            page.click("#search-go")
            page.wait_for_selector(".lb-card img")
            page.wait_for_timeout(SETTLE_MS)  # players draw themselves
            write(page.screenshot(), out / "page.png")
        browser.close()


def called(*words: str) -> None:
    """Does a command, which has to work."""
    assert cli.main(words) == 0, words


def write(png: bytes, path: Path) -> None:
    """A screenshot with a palette."""
    with Image.open(io.BytesIO(png)) as opened:
        small = opened.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(path, optimize=True)
    print(f"{path}: {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()

"""`lb-jax deflate`: an image tower beside the others, fitted or not, or one line and nothing."""

import dataclasses
import json
import re

import jax
import numpy as np
import pytest

import lb_jax
from lb_jax.convert import mmv_files
from lb_jax.core import paths
from lb_jax.media import specs
from lb_jax.models import deflation
from lb_jax.models.mmv import Mmv
from lb_jax.text import words
from tests.convert import test_mmv as small
from tests.evaluation import divided_miniatures, miniatures
from tests.inference import mmv_models
from tests.media import media_files

STATED = {"video": {"frames": 8, "size": 24}, "text": {"context": 5}}
FIT = "deflate {models}/model -o {tmp}/out --images {models}/pictures --batch-size 4 --steps 40"


def leaves(cfg):
    """Drawn leaves of towers and heads that let through what comes."""
    rng = np.random.default_rng(0)
    flat = paths.flatten(Mmv(cfg).shapes)
    for path, leaf in flat.items():
        size = np.prod(leaf.shape[:-1]) ** -0.5 if path.endswith("kernel") else 0.3
        middle = 1.0 if path.endswith(("scale", "var/average")) else 0.0
        noise = 0.0 if path.endswith("var/average") else size
        flat[path] = (middle + noise * rng.standard_normal(leaf.shape)).astype(np.float32)
    return paths.unflatten(flat)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("deflate")
    known = words.Words([*words.SPECIAL, *(f"w{i}" for i in range(2, 30))])
    mmv_files.save(folder / "model", small.CFG, leaves(small.CFG), STATED, known)
    lone = dataclasses.replace(small.CFG, video=None)
    mmv_files.save(folder / "lone", lone, leaves(lone))
    rng = np.random.default_rng(1)
    for name, count in (("pictures", 20), ("few", 3), ("none", 0)):
        (folder / name).mkdir()
        for i in range(count):
            grid = rng.integers(0, 256, (4, 4, 3), np.uint8)
            picture = media_files.picture(np.kron(grid, np.ones((8, 8, 1), np.uint8)))
            (folder / name / f"{i}.png").write_bytes(picture)
    (folder / "pictures" / "broken.png").write_bytes(picture[: len(picture) // 2])
    return folder


@pytest.fixture
def run(call, models):
    return lambda line: call(line.replace("{models}", str(models)))


def test_a_fitted_image_tower_lies_beside_the_others(run, models, tmp_path):
    result = run(FIT)
    assert result.status == 0, result.err
    assert "out: MMV, video, audio, text, image" in result.out
    told = next(line for line in result.out.splitlines() if "L1 distance" in line).split()
    before, after = float(told[told.index("naively,") - 1]), float(told[told.index("fitted") - 1])
    assert after < before
    assert "cannot be used: 1, see" in result.out
    row = json.loads((tmp_path / "out.quarantine.jsonl").read_text())
    assert row["path"].endswith("broken.png")
    assert "deflate: 40/40" in result.err

    source, made = (mmv_files.open_mmv(one) for one in (models / "model", tmp_path / "out"))
    assert made.config == dataclasses.replace(
        source.config, image=dataclasses.replace(source.config.video, shift=0.0)
    )
    assert words.Words.read(made.words).vocabulary == words.Words.read(source.words).vocabulary
    still = specs.from_dict("image", made.preprocess["image"])
    assert (still.size, still.kernel) == (24, "bilinear")
    assert {name: made.preprocess[name] for name in STATED} == STATED
    params = made.params()
    image = paths.flatten(params.pop("image"))
    jax.tree.map(np.testing.assert_array_equal, params, source.params())
    naive = paths.flatten(deflation.deflated(source.config.video, source.params()["video"])[1])
    moved = {path for path, leaf in image.items() if not np.array_equal(leaf, naive[path])}
    assert moved
    assert all(paths.match_one(deflation.AFFINE, path) for path in moved)


def test_naive_deflation_needs_no_pictures(run, tmp_path):
    result = run("deflate {models}/model -o {tmp}/out --naive")
    assert result.status == 0, result.err
    made = mmv_files.open_mmv(tmp_path / "out")
    naive = deflation.deflated(made.config.video, made.params()["video"])[1]
    jax.tree.map(np.testing.assert_array_equal, made.params()["image"], naive)
    again = run("deflate {tmp}/out -o {tmp}/more --naive")
    assert again.status == 2
    assert "has an image tower already" in again.err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{models}/model", "what to fit it on is missing; give --images FOLDER .* or --naive"),
        ("{models}/model --naive --images {models}/few", "fits nothing, and --images is given"),
        ("{models}/model --naive --steps 3", "--steps is of a fit, and --naive fits nothing"),
        ("{models}/lone --naive", "has no video tower to deflate; it has audio, text"),
        (
            "{model} --naive",
            "a LanguageBind model, and LanguageBind has an image encoder of its own",
        ),
        ("{models}/none --naive", "none: "),
        ("{models}/model --images {models}/none", "none: nothing to deflate as image"),
        ("{models}/model --images {models}/few", "few: 3 pictures, fewer than a batch of 16"),
        ("{models}/model --images {models}/no", "no: does not exist"),
        ("{models}/model --images {models}/few --steps 0", "--steps is 0"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(run, tmp_path, line, said):
    result = run(f"deflate {line} -o {{tmp}}/out")
    assert result.status == 2
    assert len(result.err.splitlines()) == 1
    assert re.search(said, result.err), result.err
    assert not list(tmp_path.iterdir())


def test_a_folder_that_holds_something_else_stays(run, models, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    result = run("deflate {models}/model -o {tmp}/out --naive")
    assert result.status == 2
    assert "holds no MMV model but something else" in result.err
    assert [one.name for one in (tmp_path / "out").iterdir()] == ["notes.txt"]


PICTURES = [media_files.scene(40, 60), media_files.scene(60, 40)[::-1].copy()]


def test_a_still_lies_where_the_film_of_it_lies(run, tmp_path):
    flat = dataclasses.replace(mmv_models.CFG.video, shift=0.0)  # a frame sees no other
    mmv_models.save(tmp_path / "model", dataclasses.replace(mmv_models.CFG, video=flat))
    result = run("deflate {tmp}/model -o {tmp}/out --naive")
    assert result.status == 0, result.err
    model = lb_jax.load(tmp_path / "out")
    assert model.modalities == ("audio", "image", "video")
    still = model.embed("image", PICTURES)
    film = model.embed("video", [[one] for one in PICTURES])
    np.testing.assert_allclose(still, film, atol=1e-5)


def test_what_was_deflated_takes_part_in_both_suites(run, tmp_path):
    known = words.Words.build([f"fry for {n} minutes" for n in (0, 2)])  # and no word of the third
    cfg = dataclasses.replace(
        mmv_models.CFG, text=dataclasses.replace(mmv_models.CFG.text, vocab=len(known))
    )
    mmv_models.save(tmp_path / "model", cfg, known)
    assert run("deflate {tmp}/model -o {tmp}/out --naive").status == 0
    for name in ("voc2007", "imagenet"):
        divided_miniatures.write(name, tmp_path / "sets")
    line = "evaluate --root {tmp}/sets --model {tmp}/out --cache {tmp}/cache --out {tmp}/page"
    result = run(f"{line} --suite linear --only voc2007,imagenet")
    assert result.status == 0, result.err
    found = json.loads((tmp_path / "page" / "metrics.json").read_text())["benchmarks"]
    assert set(found) == {"voc2007", "imagenet"}
    assert found["voc2007"]["tasks"]["image->class"]["metrics"]["mAP"] > 0.4
    steps = miniatures.write("youcook2", tmp_path / "sets")
    file = steps / "youcookii_annotations_trainval.json"
    file.write_text(file.read_text().replace("fry for 3 minutes", "serve"))
    result = run(f"{line} --suite paper --only youcook2")
    assert result.status == 0, result.err
    found = json.loads((tmp_path / "page" / "metrics.json").read_text())["benchmarks"]
    assert found["youcook2"]["tasks"]["text->video"]["n"] == 2
    (left,) = (one for one in found["youcook2"]["problems"] if one["kind"] == "annotation")
    assert (left["name"], left["modality"]) == ("abcdefghij3_0", "text")
    assert "has no word that the model knows" in left["reason"]
    assert "MMV, zero-shot text to video" in (tmp_path / "page" / "report.html").read_text()

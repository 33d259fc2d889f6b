"""Runs of MMV: the step on any devices, statistics of batch norms, whole runs on real films."""

import dataclasses
import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lb_jax
from lb_jax.convert import mmv_files
from lb_jax.core import errors, paths
from lb_jax.feed import pipeline
from lb_jax.objectives import mil_nce
from lb_jax.training import config as train_config
from lb_jax.training import (
    families,
    mmv,
    mmv_loss,
    plan,
    program,
    sharding,
)
from lb_jax.training import step as step_lib
from lb_jax.training.config import ModalityRecipe
from lb_jax.training.mmv_config import CORPUS
from lb_jax.training.valor_config import ValorRun
from tests.training import mmv_runs, plain_step
from tests.training.mmv_runs import CFG, changed
from tests.training.test_loop import figures

KEY = jax.random.key(0)


def assert_close(found, expected, bound=1e-5):
    """By tensor, see `plain_step.gradient_error`: a bias before a batch norm has no gradient."""
    found, expected = (paths.flatten(jax.device_get(one)) for one in (found, expected))
    for path, error in plain_step.gradient_error(found, expected).items():
        assert error < bound, f"{path}: {error:.1e}"


@pytest.fixture(scope="module")
def plain():
    trainable, batch = mmv_runs.start()
    return jax.device_get(mmv_runs.plain_gradient()(trainable, {}, batch, KEY))


@pytest.mark.parametrize("shape", [(1, 8, 1), (2, 2, 2)], ids=str)
def test_devices(shape, plain):
    """Value, gradient and statistics of batch norms are those of one device.

    Of the gradient by the rounding of embeddings, which the temperature multiplies in the softmax.
    """
    (_, metrics), gradient = mmv_runs.as_run(shape)
    (_, expected), plain_gradient = plain
    assert_close(metrics, expected)
    assert_close(gradient, plain_gradient, 1e-5 / mil_nce.TEMPERATURE)
    assert any("/running/" in path for path in paths.flatten(metrics[step_lib.RUNNING]))
    assert not any("/running/" in path for path in paths.flatten(gradient))


# The step on meshes argv[1:] against one device, all of it in float64, so that rounding is no cause
# of a difference: largest error of loss and statistics, and of the gradient, and the types.
WIDE = """
import json, sys
import jax, jax.numpy as jnp, numpy as np
jax.config.update("jax_enable_x64", True)
jnp.float32 = jnp.float64  # what the package says where it computes in float32
import dataclasses
from lb_jax.core import paths
from tests.training import mmv_runs
mmv_runs.CFG = dataclasses.replace(mmv_runs.CFG, dtype="float64")
def wide(leaf):
    return leaf.astype(np.float64) if leaf.dtype == np.float32 else leaf
start = jax.tree.map(wide, mmv_runs.start())
mmv_runs.start = lambda: start
def flat(found):
    (_, metrics), gradient = jax.device_get(found)
    return [paths.flatten(one) for one in (metrics, gradient)]
def error(found, expected):
    whole = np.sqrt(sum(np.linalg.norm(one) ** 2 for one in expected.values()))
    assert found.keys() == expected.keys()
    return max(
        float(np.linalg.norm(found[path] - one) / max(np.linalg.norm(one), 1e-3 * whole))
        for path, one in expected.items()
    )
trainable, batch = start
plain = flat(mmv_runs.plain_gradient()(trainable, {}, batch, jax.random.key(0)))
for mesh in json.loads(sys.argv[1]):
    found = flat(mmv_runs.as_run(tuple(mesh)))
    leaves = {path: leaf for one in found for path, leaf in one.items()}
    types = {str(leaf.dtype) for path, leaf in leaves.items() if not path.startswith("present/")}
    print(json.dumps([mesh, *map(error, found, plain), sorted(types)]))
"""


def test_without_rounding_any_mesh_is_one_device():
    """Data, fsdp and tensor meshes: value, statistics and gradient to far below 1e-5."""
    meshes = [[8, 1, 1], [1, 8, 1], [1, 1, 8], [2, 2, 2]]
    done = subprocess.run(
        [sys.executable, "-c", WIDE, json.dumps(meshes)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [mesh for mesh, *_ in found] == meshes
    for mesh, value, gradient, types in found:
        assert types == ["float64"], mesh
        assert max(value, gradient) < 1e-9, (mesh, value, gradient)


def test_loss_is_the_sum_of_its_pairs_over_the_items_that_have_both(plain):
    """Both are computed anew from the embeddings of the items that there are, and no others."""
    (total, metrics), _ = plain
    trainable, batch = mmv_runs.start()
    model = mmv.make_model(CFG, mmv.build(CFG)[0])
    inputs, counted = mmv_loss.inputs_of(batch["items"])
    found = jax.jit(model.run)(trainable, inputs, counted).embeddings
    bags = {"audio": counted["audio"][:, None], "text": counted["text"].reshape(CFG.batch_size, -1)}
    for name, space in (("audio", "va"), ("text", "vat")):
        bag, videos = bags[name], np.asarray(counted["video"])
        rows = np.flatnonzero(videos | bag.any(1))
        unit = [
            one / np.linalg.norm(one, axis=-1, keepdims=True)
            for one in (
                np.asarray(found["video"][space]),
                np.asarray(found[name][space]).reshape(*bag.shape, -1),
            )
        ]
        expected = mil_nce.mil_nce(
            *(jnp.asarray(one[rows]) for one in unit), present=videos[rows], candidates=bag[rows]
        )
        np.testing.assert_allclose(metrics[f"loss/{name}"], expected, rtol=1e-5)
        share = (videos & bag.any(1)).mean()
        assert metrics[f"present/{name}"] == pytest.approx(share)
    weighted = metrics["loss/audio"] + 2 * metrics["loss/text"]
    assert total == pytest.approx(weighted, rel=1e-6)


def test_what_is_missing_changes_nothing():
    """Not a number in its place; without texts nothing of them has a gradient or statistics."""
    trainable, batch = mmv_runs.start()
    media, texts = batch["items"]["media"], batch["items"]["text"]
    silent = np.zeros_like(texts["narration_present"])
    lost = np.where(media["present"][:, 1, None, None, None], media["audio"], np.nan)
    runs = [
        {"media": {**media, "audio": audio}, "text": {**texts, "narration_present": silent}}
        for audio in (media["audio"], lost)
    ]
    gradient = mmv_runs.plain_gradient()
    one, other = (jax.device_get(gradient(trainable, {}, {"items": x}, KEY)) for x in runs)
    jax.tree.map(np.testing.assert_array_equal, one, other)
    (_, metrics), grads = one
    assert (metrics["loss/text"], metrics["present/text"]) == (0, 0)
    idle = [leaf for path, leaf in paths.flatten(grads).items() if "text" in path]
    assert idle
    assert not any(leaf.any() for leaf in idle)


def test_a_step_moves_statistics_and_one_that_is_not_finite_does_not(plain):
    """On eight devices, of which none gathers anything: they sum, and send bags around the ring."""
    mesh = plain_step.mesh_of((8, 1, 1))
    made = program.make_program(CFG, mesh, *program.shapes(CFG))
    trainable, batch = mmv_runs.start()
    start = jax.device_get(made.initial_state(trainable))
    key = jax.device_put(KEY, sharding.replicated(mesh))
    compiled = made.lower(program.place(start, mesh), {}, key).compile()
    assert "collective-permute(" in compiled.as_text()
    assert "all-gather(" not in compiled.as_text()
    assert not any("running" in str(path) for path, _ in jax.tree.leaves_with_path(start["opt"]))

    def step(batch):
        placed = sharding.put_batch(batch, mesh)
        return jax.device_get(compiled(program.place(start, mesh), {}, placed, key))

    after, metrics = step(batch)
    assert metrics.keys() >= {"loss", "loss/audio", "present/text", "lr"}
    assert step_lib.RUNNING not in metrics
    statistics, moved = paths.divide(after["params"], mmv.RUNNING)
    (_, told), _ = plain
    assert_close(statistics, told[step_lib.RUNNING])
    before = paths.divide(trainable, mmv.RUNNING)
    for one, other in zip((statistics, moved), before, strict=True):
        same = jax.tree.map(lambda a, b: np.array_equal(a, b), one, other)
        unused = {path for path, is_same in paths.flatten(same).items() if is_same}
        assert all("_at/" in path for path in unused)  # heads that nothing is compared by
    items = batch["items"]
    spoilt = {**items["media"], "video": np.full_like(items["media"]["video"], np.inf)}
    kept, metrics = step({"items": {**items, "media": spoilt}})
    jax.tree.map(np.testing.assert_array_equal, kept["params"], trainable)
    assert (int(kept["skipped"]), bool(metrics["finite"])) == (1, False)


def test_a_tower_that_is_frozen_reads_its_statistics_and_keeps_them():
    cfg = dataclasses.replace(CFG, trainable=(("(video|audio|text)/.*", False), (".*", True)))
    model = mmv.make_model(cfg, mmv.build(cfg)[0])
    gradient = mmv.make_gradient(cfg, plain_step.mesh_of((1, 1, 1)), model)
    trainable, frozen = paths.partition(mmv_runs.start()[0], cfg.trainable)
    assert {*trainable} == {"heads"}
    (_, metrics), grads = jax.jit(gradient)(trainable, frozen, mmv_runs.start()[1], KEY)
    assert {*metrics[step_lib.RUNNING]} == {*grads} == {"heads"}
    inputs, counted = mmv_loss.inputs_of(mmv_runs.start()[1]["items"])
    run = jax.jit(model.run, static_argnames="still")
    still = ("video", "audio", "text")
    found = run(mmv_runs.start()[0], inputs, counted, still=still)
    there = np.flatnonzero(counted["video"])
    expected = run(mmv_runs.start()[0], inputs).features["video"].pooled[there]
    np.testing.assert_allclose(found.features["video"].pooled[there], expected, rtol=1e-5)
    part = (("video/.*running/mean/.*", False), (".*", True))
    with pytest.raises(errors.ConfigError, match="leaves statistics of video in part"):
        mmv.make_gradient(
            dataclasses.replace(cfg, trainable=part), plain_step.mesh_of((1, 1, 1)), model
        )


@pytest.fixture(scope="module")
def run(mmv_run):
    return mmv_run


@pytest.fixture(scope="module")
def trained(mmv_trained):
    """The work directory of a whole run."""
    return mmv_trained


def test_result_is_a_model_with_its_words_and_statistics(run, trained):
    rows = figures(trained)
    assert [row["step"] for row in rows] == [0, 1, 2, 3]
    assert {row["bad_samples"] for row in rows} == {0}
    assert any(0 < row["present/text"] < 1 for row in rows)  # two films of four are narrated
    assert any(0 < row["present/audio"] < 1 for row in rows)  # one is silent
    model = lb_jax.load(trained)
    assert model.words.vocabulary[:5] == ("<pad>", "<unk>", "bread", "cut", "spread")
    assert len(model.words) == mmv_runs.SIZE.text.vocab
    assert (model.specs["video"].frames, model.specs["text"].context) == (2, 3)
    assert (model.specs["audio"].target_frames, model.specs["audio"].mel_bins) == (10, 8)
    film = f"{run.data.sources['main'].path}/a.mp4"
    found = model.similarity(model.embed("video", [film]), model.embed("text", ["cut the bread"]))
    assert found.shape == (1, 1)
    counters = paths.flatten(mmv_files.open_mmv(trained / "checkpoint").params()["video"])
    seen = {float(one) for path, one in counters.items() if path.endswith("counter")}
    assert seen == {4.0}


def test_batch_has_the_shapes_that_are_compiled(run):
    for cfg in (run, changed(run, text_weight=0.0), changed(run, audio_weight=0.0)):
        shape, preprocess = mmv.build(cfg)
        batch = pipeline.BatchLoader(mmv.loaders(cfg, preprocess), cfg.batch_sizes)(0)["items"]
        told, found = (
            jax.tree.map(lambda one: (one.shape, one.dtype), one)
            for one in (
                mmv.batch_shapes(cfg, shape)["items"],
                {side: batch[side] for side in ("media", "text")},
            )
        )
        assert found == told


def test_a_run_goes_on_from_a_trained_model_with_fewer_towers(run, trained):
    cfg = changed(run, init_from=str(trained), vocabulary="", text_weight=0.0)
    params = mmv.initial_params(cfg, mmv.make_model(cfg, mmv.build(cfg)[0]))
    assert {*params} == {"video", "audio", "heads"}
    stored = mmv_files.open_mmv(trained / "checkpoint").params()
    jax.tree.map(np.testing.assert_array_equal, params["video"], stored["video"])
    with_text = changed(run, init_from=str(trained), vocabulary="")
    assert mmv.loaders(with_text, mmv.build(with_text)[1])  # by the words beside it
    other = changed(cfg, graph="shared")
    with pytest.raises(errors.ConfigError, match=r"graph.kind is fac, of the run shared.*Choose"):
        mmv.initial_params(other, mmv.make_model(other, mmv.build(other)[0]))


def test_a_frozen_table_of_words_starts_from_vectors_that_are_named(run, tmp_path):
    rows = {"bread": range(6), "Cut": range(6, 12), "soup": range(12, 18)}
    file = tmp_path / "vectors.txt"
    file.write_text("".join(f"{word} {' '.join(map(str, row))}\n" for word, row in rows.items()))
    frozen = (("text/token_embed/.*", False), (".*", True))
    for vocabulary, expected in ((CORPUS, ("bread", "cut")), ("", ("bread", "cut", "soup"))):
        options = {"vocabulary": vocabulary, "word_vectors": str(file), "trainable": frozen}
        cfg = changed(run, **options)
        model = mmv.make_model(cfg, mmv.build(cfg)[0])
        table = mmv.initial_params(cfg, model)["text"]["token_embed"]["embedding"]
        known = mmv.loaders(cfg, mmv.build(cfg)[1])["items"].encoders["narration"].known
        found = dict(zip(known.vocabulary, table.tolist(), strict=True))
        assert known.vocabulary[2 : 2 + len(expected)] == expected
        assert [found[word] for word in ("bread", "cut")] == [[*range(6)], [*range(6, 12)]]


def test_other_narrations_are_other_data(run, tmp_path):
    identities = []
    for text in ("x", "y"):
        said = {"a": {"start": [0], "end": [1], "text": [text]}}
        (tmp_path / "asr.json").write_text(json.dumps(said))
        (tmp_path / "words.txt").write_text("<pad>\n<unk>\nx\ny\n")
        source = dataclasses.replace(
            run.data.sources["main"], narrations=str(tmp_path / "asr.json")
        )
        data = dataclasses.replace(run.data, sources={"main": source})
        cfg = changed(run, data=data, vocabulary=str(tmp_path))
        assert mmv.build(cfg)[0].text.vocab == 4
        identities.append(mmv.loaders(cfg, mmv.build(cfg)[1])["items"].identity())
    assert identities[0] != identities[1]


def test_a_silent_film_is_a_line_where_sound_is_needed(run):
    cfg = changed(run, needs=("audio",))
    loader = mmv.loaders(cfg, mmv.build(cfg)[1])["items"]
    samples = [loader(number) for number in range(8)]
    [why] = {bad.reason for sample in samples for bad in sample.bad}
    assert "without a sound track; this training needs audio" in why
    assert all(sample.media["present"].all() for sample in samples)


def begin(cfg):
    """What a run does before its first step."""
    family = families.of(cfg)
    shape, preprocess = family.build(cfg)
    family.loaders(cfg, preprocess)
    family.initial_params(cfg, family.make_model(cfg, shape))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"accumulate": 2}, "config.accumulate: MMV has no use for it"),
        ({"remat": "full"}, "config.remat: MMV"),
        ({"audio_weight": 0.0, "text_weight": 0.0}, "compared with nothing; give one"),
        ({"modalities": {"video": ModalityRecipe()}}, "config.modalities has video and .*takes"),
        ({"needs": ("sound",)}, "config.mmv.needs sound; MMV takes video and audio"),
        ({"arch": "MMV-S3"}, "unknown architecture 'MMV-S3' of MMV.*Did you mean 'MMV-S3D'"),
        ({"arch": "MMV-S3D", "frames": 3}, r"video.preprocess.frames is 3.*multiples of 2"),
        ({"fps": None}, "fps is None; sound and narrations"),
        ({"vocabulary": ""}, "config.mmv.vocabulary is empty; give a file of words"),
        ({"narrations": ""}, "no film of config.data.sources has narrations"),
        ({"valor": ValorRun()}, "config.valor and config.mmv: a run is of one system"),
        ({"trainable": (("text/token_embed/.*", False), (".*", True))}, "words would stay noise"),
    ],
    ids=lambda one: next(iter(one)) if isinstance(one, dict) else "",
)
def test_settings_that_mmv_cannot_use_are_told(run, fields, told):
    fields = dict(fields)
    source = run.data.sources["main"]
    data = {name: fields.pop(name) for name in ("narrations",) if name in fields}
    video = {name: fields.pop(name) for name in ("frames", "fps") if name in fields}
    sources = {"main": dataclasses.replace(source, **data)}
    cfg = changed(run, data=dataclasses.replace(run.data, sources=sources), **fields)
    if video:
        recipe = cfg.modalities["video"]
        recipe = dataclasses.replace(recipe, preprocess={**recipe.preprocess, **video})
        cfg = dataclasses.replace(cfg, modalities={**cfg.modalities, "video": recipe})
    with pytest.raises(errors.ConfigError, match=told):
        begin(cfg)


def test_settings_go_through_json_and_are_held_to_their_ranges():
    config = train_config.as_config_dict(CFG)
    assert train_config.from_config_dict(config) == CFG
    config.mmv.graph = "fac_rely"
    with pytest.raises(errors.ConfigError, match=r"mmv\.graph is 'fac_rely'; it must be 'fac"):
        train_config.from_config_dict(config)


def test_plan_knows_the_memory_of_a_step():
    trial = plan.try_out(CFG, plan.target("cpu:8"))
    trainable, _ = program.shapes(CFG)
    _, moved = paths.divide(trainable, mmv.RUNNING)
    count, moments = (sum(leaf.size * 4 for leaf in jax.tree.leaves(x)) for x in (trainable, moved))
    batch = sum(
        leaf.size * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(mmv.batch_shapes(CFG, mmv.build(CFG)[0]))
    )
    expected = count + 2 * moments + batch / 8
    assert trial.figures.argument_bytes == pytest.approx(expected, rel=0.02)
    assert trial.figures.model_flops > 0
    assert plan.savings(CFG) == [{"remat": "none", "accumulate": 1}]

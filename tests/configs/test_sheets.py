"""Every lab sheet: it says its command, fits a screen, and its whole step can be traced.

The published ones train what the original trains, tensor by tensor counted.
"""

import dataclasses
import functools
import importlib
import math
import pathlib

import jax
import ml_collections
import pytest

from lb_jax.convert.weights import open_weights
from lb_jax.core import config as config_lib
from lb_jax.core import errors, paths
from lb_jax.core.modalities import LANGUAGEBIND
from lb_jax.media import specs
from lb_jax.models.languagebind import LanguageBind
from lb_jax.models.mmv import Mmv
from lb_jax.models.valor import Valor
from lb_jax.training import config as train_config
from lb_jax.training import (
    families,
    imagebind_published,
    mmv_published,
    published,
    recipe,
    sharding,
    sheets,
)
from lb_jax.training import program as program_lib
from lb_jax.training.config import SourceConfig

FOLDER = pathlib.Path(__file__).parents[2] / "configs"
# those of a corpus are no training's: tests/builder/test_sheet.py
SHEETS = sorted(
    path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith(("__init__", "corpus_"))
)
# what may stand after the colon
ARGUMENTS = {"finetune": tuple(LANGUAGEBIND), "audio": ("", "full"), "video": ("", "full")}
# the sheets of VALOR, of whose many rows a few are traced: each model, each task, each kind of data
VALOR = {f"valor_{task}": tuple(published.rows(task)) for task in published.TASKS}
TRACED = {
    "valor_pretrain": ("valor1m", "webvid", "cc3m,base"),
    "valor_retrieval": ("msrvtt,base", "audiocaps"),
    "valor_caption": ("coco",),
    "valor_qa": ("vqav2",),
}
# those of MMV, of whose rows some are traced
MMV = {
    "mmv_s3d": tuple(mmv_published.SETTINGS),
    "mmv_tsm": tuple(f"{row}{x2}" for row in mmv_published.SETTINGS for x2 in ("", ",x2")),
}
TRACED |= {"mmv_s3d": ("howto100m_audioset",), "mmv_tsm": ("narrated,trial",)}
# those of ImageBind, of whose rows some are traced
TRACED |= {
    "imagebind": ("imu,whole", "audio,text", "video", "depth,trial"),
    "demo_imagebind": ("vision", "image", "text"),
}
RUNS = [(name, one) for name in SHEETS for one in TRACED.get(name, ARGUMENTS.get(name, ("",)))]


def sheet(name, argument=""):
    given = f"{FOLDER / name}.py" + (f":{argument}" if argument else "")
    return sheets.load_sheet(given)


@functools.cache
def run(name, argument=""):
    config = sheet(name, argument)
    config.data.sources.main.path = "x.json"
    return train_config.from_config_dict(config)


@functools.cache
def trained(name, argument=""):
    """Path -> shape of what trains."""
    trainable, _ = program_lib.shapes(run(name, argument))
    return {path: leaf.shape for path, leaf in paths.flatten(trainable).items()}


@pytest.mark.parametrize("name", SHEETS)
def test_sheet_is_one_screen_that_starts_with_its_command(name):
    text = (FOLDER / f"{name}.py").read_text("utf-8")
    doc = importlib.import_module(f"lb_jax.configs.{name}").__doc__
    assert f"lb-jax train --config=configs/{name}.py" in doc
    assert text.count("\n") <= 64
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(("name", "argument"), RUNS)
def test_whole_step_of_a_sheet_can_be_traced(name, argument):
    cfg = run(name, argument)
    mesh = sharding.make_mesh({"data": -1, "fsdp": 1, "tensor": 1})
    sharding.require_divisible(cfg.batch_sizes, mesh)
    trainable, frozen = program_lib.shapes(cfg)
    assert paths.flatten(trainable)
    program = program_lib.make_program(cfg, mesh, trainable, frozen)
    state = jax.eval_shape(program.initial_state, trainable)
    key = jax.random.key(0)
    after, metrics = jax.eval_shape(program.step, state, frozen, program.batch, key)
    assert jax.tree.map(lambda leaf: leaf.shape, after) == jax.tree.map(lambda x: x.shape, state)
    assert metrics["loss"].shape == ()


@pytest.mark.parametrize(
    ("name", "argument", "count"),  # LanguageBind spec 3.2, counted in the original
    [
        ("video", "lora", 4_180_993),
        ("video_v15", "", 101_804_033),
        ("audio", "lora", 3_935_233),
        ("audio", "full", 101_551_105),
        ("depth", "", 1_182_721),
        ("thermal", "", 1_182_721),
    ],
)
def test_as_many_numbers_train_as_in_the_original(name, argument, count):
    assert sum(map(math.prod, trained(name, argument).values())) == count


@pytest.mark.parametrize("name", ["video", "audio", "depth", "thermal"])
def test_modality_trains_in_one_run_what_it_trains_alone(name):
    together = {
        path: shape
        for path, shape in trained("bind_all").items()
        if path.startswith((f"towers/{name}/", f"logit_scale/{name}"))
    }
    assert together == trained(name)
    alone, joint = run(name), run("bind_all")
    [recipe_alone], recipe_joint = alone.modalities.values(), joint.modalities[name]
    for field in ("patch_dropout", "lora", "temporal", "tube_size"):
        assert getattr(recipe_joint, field) == getattr(recipe_alone, field), field
    factors = paths.match(joint.optim.lr_factors, trained("bind_all"))
    assert {joint.optim.lr * factors[path] for path in together} == {alone.optim.lr}


# LanguageBind spec 6.5: rate, global batch, steps, warm-up, patch dropout, captions, rank
PUBLISHED = {
    "video": (1e-4, 640, 16 * (3_020_000 // 640), 2000, 0.3, "polish_mplug", 16),
    "video_v15": (1e-4, 1024, 6 * (10_076_613 // 1024), 2000, 0.3, "mix", None),
    "video_v15_huge": (1e-4, 1024, 6 * (10_076_613 // 1024), 2000, 0.3, "mix", None),
    "audio": (1e-3, 1024, 16 * (4_800_000 // 1024), 2000, 0.1, "caption", 16),
    "depth": (5e-4, 1024, 3_020_000 // 1024, 200, 0.5, "polish_mplug", 2),
    "thermal": (1e-4, 1024, 3_020_000 // 1024, 200, 0.5, "polish_mplug", 2),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_settings_are_the_published_ones(name):
    cfg = run(name)
    [one] = cfg.modalities.values()
    rank = one.lora and one.lora.rank
    found = cfg.optim.lr, cfg.batch_size, cfg.steps, cfg.optim.warmup_steps
    assert (*found, one.patch_dropout, one.text_kind, rank) == PUBLISHED[name]
    assert one.lora is None or (one.lora.alpha, one.lora.dropout) == (16, 0)
    optim = cfg.optim
    assert (optim.b1, optim.b2, optim.eps, optim.weight_decay) == (0.9, 0.98, 1e-6, 0.2)
    assert (optim.init_temperature, optim.clip_norm, optim.lr_factors) == (0.07, 0.0, ())
    assert (cfg.loss.kind, cfg.loss.mask_duplicates) == ("infonce", False)
    assert cfg.batch_size % cfg.accumulate == 0


def test_shapes_of_the_towers_are_the_published_ones():
    towers = {name: recipe.build(run(name))[0].towers for name in PUBLISHED}
    audio, first, huge = (
        towers[name][one]
        for name, one in (("audio", "audio"), ("video", "video"), ("video_v15_huge", "video"))
    )
    assert (audio.image_size, audio.grid) == ((126, 1036), (9, 74))
    assert (first.frames, first.tube_size, first.temporal) == (8, 0, True)
    assert (huge.frames, huge.tube_size, huge.temporal, huge.width) == (8, 1, True, 1280)
    assert run("video_v15_huge").remat == "full"


def test_huge_differs_from_large_in_what_its_title_says():
    differing = {
        field.name
        for field in dataclasses.fields(train_config.TrainConfig)
        if getattr(run("video_v15"), field.name) != getattr(run("video_v15_huge"), field.name)
    }
    assert differing == {"arch", "init_from", "remat", "accumulate"}


def test_the_original_preprocessing_can_be_written():
    for name in LANGUAGEBIND:
        cfg = run("finetune", name)
        reference = specs.to_dict(specs.preset(name, "reference"))
        one = dataclasses.replace(cfg.modalities[name], preprocess=reference)
        cfg = dataclasses.replace(cfg, modalities={name: one})
        assert recipe.build(cfg)[1][name] == specs.preset(name, "reference")


def test_a_modality_that_languagebind_has_not_is_refused():
    cfg = run("finetune", "image")
    cfg = dataclasses.replace(cfg, modalities={"imu": train_config.ModalityRecipe()})
    with pytest.raises(errors.ConfigError, match=r"have none for imu; expected some of image"):
        recipe.build(cfg)


def test_own_data_needs_a_known_modality():
    with pytest.raises(errors.ConfigError, match=r"one of image, video, .*finetune\.py:.*got none"):
        sheet("finetune")
    with pytest.raises(errors.ConfigError, match=r"not 'dept'\. Did you mean 'depth'"):
        sheet("finetune", "dept")


@pytest.mark.parametrize(
    "given", ["finetune:depth", "finetune.py:depth", "configs/finetune.py:depth"]
)
def test_a_shipped_sheet_is_found_by_name_from_anywhere(given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sheets.load_sheet(given).to_dict() == sheet("finetune", "depth").to_dict()
    (tmp_path / "finetune.py").write_text("def get_config(one):\n    return one\n")
    if given.startswith("finetune.py"):  # a file that is here comes first
        assert sheets.load_sheet(given) == "depth"


def test_a_sheet_that_is_not_there_is_answered_with_another_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.ConfigError, match=r"'finetun' here\. Did you mean 'finetune'\?"):
        sheets.load_sheet("finetun:audio")
    with pytest.raises(errors.ConfigError, match=r"'elsewhere/audio\.py' here\. Those that"):
        sheets.load_sheet("elsewhere/audio.py")


@pytest.mark.parametrize("name", VALOR)
def test_every_row_of_a_valor_sheet_is_a_run_with_rules_for_its_parameters(name):
    """And so is its trial. Models of one shape have the same parameters."""
    shapes = functools.cache(lambda shape: paths.flatten(Valor(shape).shapes))
    for row in VALOR[name]:
        for argument in (row, f"{row},trial"):
            cfg = run(name, argument)
            family = families.of(cfg)
            shape, preprocess = family.build(cfg)
            flat = shapes(dataclasses.replace(shape, frames=32, clips=32))
            trains = paths.match(cfg.trainable, flat, f"{argument} trainable")
            if cfg.optim.lr_factors:
                learning = [path for path in flat if trains[path]]
                paths.match(cfg.optim.lr_factors, learning, f"{argument} lr_factors")
            assert {*cfg.modalities} == {*preprocess} - {"text"}
            assert (cfg.steps, shape.text.cross) == (
                100 if "trial" in argument else 0,
                "va_concate",
            )


# VALOR spec 6.2, 6.3: rate, batch, epochs, groups, frames and clips in training and in test, tokens
VALOR_PUBLISHED = {
    ("pretrain", "valor1m"): (5e-5, 512, 32, "tva tv ta", (2, 2), (1, 1), 42),
    ("pretrain", "cc12m"): (5e-5, 1024, 12, "tv", (1, 1), None, 42),
    ("pretrain", "valor1m,base"): (1e-4, 512, 20, "tva tv ta", (4, 4), (1, 1), 42),
    ("pretrain", "webvid,base"): (1e-4, 512, 16, "tv", (4, 4), None, 42),
    ("retrieval", "msrvtt"): (2e-5, 64, 70, "tva tv", (4, 8), (2, 2), 32),
    ("retrieval", "didemo"): (9e-6, 64, 30, "tva tv", (8, 32), (4, 8), 67),
    ("retrieval", "activitynet,base"): (2e-5, 64, 40, "tva tv", (8, 32), (2, 2), 76),
    ("retrieval", "coco"): (2e-5, 1024, 75, "tv", (1, 1), None, 32),
    ("retrieval", "clotho"): (1e-4, 64, 45, "ta", None, (6, 6), 32),
    ("caption", "vatex"): (2e-5, 64, 100, "tva tv", (8, 20), (2, 2), 32),
    ("caption", "valor32k"): (2e-5, 64, 10, "tva tv ta", (4, 8), (2, 2), 32),
    ("qa", "msvd"): (1e-5, 64, 250, "tv", (4, 8), None, 32),
    ("qa", "music_avqa"): (2e-5, 64, 25, "tva tv", (4, 8), (4, 8), 32),
    ("qa", "vqav2"): (2e-5, 256, 200, "tv", (1, 1), None, 32),
}


@pytest.mark.parametrize(("task", "row"), VALOR_PUBLISHED)
def test_settings_of_valor_are_the_published_ones(task, row):
    cfg = run(f"valor_{task}", row)
    grouping, inference = cfg.valor.grouping, cfg.valor.inference
    [groups] = {*filter(None, (grouping.align, grouping.caption, grouping.answer))}
    counts = [
        (cfg.modalities[role].preprocess[count], inference[role])
        if role in cfg.modalities
        else None
        for role, count in (("video", "frames"), ("audio", "clips"))
    ]
    found = cfg.optim.lr, cfg.batch_size, cfg.valor.epochs, " ".join(groups), *counts
    assert (*found, cfg.text_length) == VALOR_PUBLISHED[task, row]
    optim, is_base = cfg.optim, row.endswith(",base")
    assert (optim.b1, optim.b2, optim.eps, optim.weight_decay) == (0.9, 0.98, 1e-6, 0.01)
    assert (optim.clip_norm, cfg.valor.warmup) == (5.0 if is_base else 2.0, 0.1)
    assert grouping.alpha == (1.5 if task == "pretrain" else 1.0)
    rates = {path: optim.lr * factor for path, factor in optim.lr_factors}
    if not is_base and "video" in cfg.modalities:
        assert rates["video/.*"] == pytest.approx(8e-6 if task == "pretrain" else 5e-7)
    assert bool(rates) is not is_base


@pytest.mark.parametrize("name", MMV)
def test_every_row_of_an_mmv_sheet_is_a_run_with_rules_for_its_parameters(name):
    """And so is its trial."""
    shapes = functools.cache(lambda shape: paths.flatten(Mmv(shape).shapes))
    for row in MMV[name]:
        for argument in (row, f"{row},trial"):
            cfg = run(name, argument)
            shape, preprocess = families.of(cfg).build(cfg)
            assert {*shape.towers} == {*preprocess}
            assert ("text" in shape.towers) == (row.split(",")[0] not in ("films", "audioset"))
            trains = paths.match(cfg.trainable, shapes(shape), f"{argument} trainable")
            frozen = {path for path, is_trained in trains.items() if not is_trained}
            is_word2vec = "howto100m" in row and "trial" not in argument
            assert frozen == ({"text/token_embed/embedding"} if is_word2vec else set())


def test_every_row_of_imagebinds_sheet_trains_its_modality_and_nothing_that_it_is_bound_to():
    """And so does its trial; LoRA a hundredth of it."""
    shapes = functools.cache(
        lambda cfg: paths.flatten(jax.eval_shape(LanguageBind(cfg).init, jax.random.key(0)))
    )
    for row, (name, to_text, is_whole) in imagebind_published.ROWS.items():
        for argument in (row, f"{row},trial"):
            cfg = run("imagebind", argument)
            flat = shapes(recipe.build(cfg)[0])
            trains = paths.match(cfg.trainable, flat, f"{argument} trainable")
            found = {path: math.prod(flat[path].shape) for path in flat if trains[path]}
            of = {
                path.split("/")[0] if path.startswith("base") else path.split("/")[1]
                for path in found
            }
            own = {"base", name} if name in ("image", "video") else {name}
            assert of <= own, (argument, of)
            every = {path for path in flat if path.startswith((f"towers/{name}/", "base/"))}
            if is_whole and name not in ("image", "video"):
                assert {p for p in every if p.startswith("towers/")} <= {*found}
            one = cfg.modalities[name]
            assert (one.anchor == "text") is (to_text or name in ("image", "video"))
            learns = f"logit_scale/{name}" in found
            assert learns is (one.anchor == "text" and name not in ("image", "video"))


# ImageBind spec 3: rate, decay, clip, temperature, pairs in a step
IMAGEBIND_PUBLISHED = {
    "audio": (1.6e-3, 0.2, 1.0, 0.05, 2048),
    "depth": (1.6e-3, 0.2, 1.0, 0.2, 512),
    "thermal": (5e-4, 0.05, 5.0, 0.1, 512),
    "imu": (5e-4, 0.5, 1.0, 0.2, 512),
}


@pytest.mark.parametrize("name", IMAGEBIND_PUBLISHED)
def test_settings_of_imagebind_are_the_published_ones(name):
    cfg = run("imagebind", f"{name},whole")
    optim, [one] = cfg.optim, cfg.modalities.values()
    found = optim.lr, optim.weight_decay, optim.clip_norm, optim.init_temperature, cfg.batch_size
    assert found == IMAGEBIND_PUBLISHED[name]
    # spec 1.1: drop path of the last block; 1.6: the dropout of motion's head
    assert one.drop_path == {"audio": 0.1, "imu": 0.7}.get(name, 0.0)
    assert one.head_dropout == {"imu": 0.5}.get(name, 0.0)


# MMV spec 2.1, 2.2, 4.4: what is known. Adam's rate, warm-up, batch; frames, rate, size; sound
def test_settings_of_mmv_are_the_published_ones_and_the_others_are_marked():
    cfg = run("mmv_s3d", "howto100m_audioset")
    optim = cfg.optim
    assert (optim.lr, optim.warmup_steps, cfg.batch_size, cfg.text_length) == (2e-3, 5000, 4096, 16)
    assert (cfg.mmv.weights, cfg.mmv.graph) == ({"audio": 1.0, "text": 1.0}, "fac_relu")
    assert run("mmv_s3d", "howto100m").mmv.weights == {"audio": 1.0, "text": 10.0}
    shape, preprocess = families.of(cfg).build(cfg)
    film, sound = preprocess["video"], preprocess["audio"]
    assert (film.frames, film.fps, film.size, film.train_flip) == (32, 10.0, 200, 0.5)
    assert (sound.sample_rate_hz, sound.target_frames, sound.mel_bins) == (48_000, 150, 80)
    # MMV spec 3 and 7: with statistics, of which the published counts say nothing
    flat = paths.flatten(Mmv(shape).shapes)
    counts = {path: math.prod(leaf.shape) for path, leaf in flat.items() if "/running/" not in path}
    assert sum(counts.values()) == 57_509_968
    rows = {
        **paths.flatten(config_lib.to_dict(cfg)),
        "mmv/text_weight": run("mmv_s3d", "howto100m").mmv.text_weight,
        "modalities/audio/preprocess/bank": sound.bank,
        "modalities/video/preprocess/augmentation": film.augmentation,
        "data/sources": ", ".join(cfg.data.sources),
    }
    for name, (value, why) in mmv_published.UNKNOWN.items():
        assert rows[name.replace(".", "/")] == value, name
        assert why


TRIALS = [run for run in RUNS if not run[0].startswith(("demo_", "valor_", "mmv_", "imagebind"))]


@pytest.mark.parametrize(("name", "argument"), TRIALS)
def test_a_trial_has_the_shapes_of_the_model_that_comes_with_the_package(name, argument):
    config = sheets.load_sheet(f"{name}:{argument},trial" if argument else f"{name}:trial")
    cfg = train_config.from_config_dict(config)
    there = open_weights(cfg.init_from).config
    towers = recipe.build(cfg)[0].towers
    assert set(towers) == set(run(name, argument).modalities)
    for modality, tower in towers.items():
        assert (tower.image_size, tower.frames) == (
            there.towers[modality].image_size,
            there.towers[modality].frames,
        )
    trainable, _ = program_lib.shapes(cfg)
    assert paths.flatten(trainable)


def test_a_trial_is_named_with_a_comma_or_a_colon():
    config = sheet("finetune", "audio,trial")
    assert config.to_dict() == sheet("finetune", "audio:trial").to_dict()
    assert sheet("depth", "trial").init_from == "demo"
    with pytest.raises(errors.ConfigError, match="not 'trail'"):
        sheet("finetune", "trail")


def test_own_data_is_of_its_modality():
    for name in LANGUAGEBIND:
        cfg = run("finetune", name)
        assert list(cfg.modalities) == [name]
        assert cfg.data.sources == {"main": SourceConfig("x.json", modality=name)}
        assert cfg.init_from.lower().startswith(f"languagebind/languagebind_{name}")


def test_no_setting_is_named_as_something_of_config_dict():
    """Or its flag would be that method."""
    kinds = [one for one in vars(train_config).values() if dataclasses.is_dataclass(one)]
    names = {field.name for one in kinds for field in dataclasses.fields(one)}
    assert {"optim", "lr", "size"} <= names
    assert not names & set(dir(ml_collections.ConfigDict))

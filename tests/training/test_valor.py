"""Whole runs of VALOR on real files, by the loop of every run."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lb_jax
from lb_jax.convert import valor_bases, valor_folder
from lb_jax.core import errors, paths
from lb_jax.feed import pipeline
from lb_jax.models import valor_architectures
from lb_jax.text import wordpiece
from lb_jax.training import config as train_config
from lb_jax.training import families, loop, program, published, sharding, valor
from lb_jax.training.config import (
    DataConfig,
    ModalityRecipe,
    ParaphraseConfig,
)
from lb_jax.training.valor_config import GroupingConfig, ValorRun
from tests.convert import small
from tests.convert.test_valor_bases import bert_file
from tests.inference import valor_models
from tests.training.test_loop import figures
from tests.training.valor_runs import FOLDERS, ITEMS


@pytest.fixture(scope="module")
def folder(valor_texts):
    return valor_texts


@pytest.fixture(scope="module")
def run(valor_run):
    return valor_run


@pytest.fixture(scope="module")
def trained(valor_trained):
    """The work directory of a whole run."""
    return valor_trained


def test_figures_name_every_part_of_the_loss(trained):
    each = {"loss/align/tva", "loss/align/ta", "loss/caption/tva"}
    assert each | {"loss", "lr", "temperature", "grad_norm"} <= figures(trained)[-1].keys()


def test_result_opens_and_writes_with_the_counts_of_inference(run, trained, corpus_dir):
    model = lb_jax.load(trained)
    assert model.specs["video"].frames == 2
    assert (model.specs["audio"].clips, model.specs["text"].context) == (1, 16)
    films = sorted((corpus_dir / FOLDERS["video"]).glob("*.mp4"))[:2]
    assert len(model.caption("video", list(map(str, films)))) == 2
    assert model.vocabulary.vocabulary == tuple(valor_models.VOCABULARY)


@pytest.fixture(scope="module")
def asking(run, folder, trained):
    """A run over questions that starts from the trained model, with more frames."""
    source = dataclasses.replace(run.data.sources["main"], path=str(folder / "questions.json"))
    grouping = GroupingConfig(answer=("tva",))
    video = ModalityRecipe(preprocess={"frames": 2, "size": 16})
    return dataclasses.replace(
        run,
        init_from=str(trained),
        modalities={**run.modalities, "video": video},
        trainable=published.trains(grouping, prompts=True),
        steps=0,
        data=DataConfig({"main": source}),
        valor=ValorRun(grouping, epochs=1, answer_length=6, answers=2),
    )


def test_questions_are_learnt_from_a_trained_model_for_epochs_of_items(asking, trained, tmp_path):
    loop.run(asking, tmp_path)
    rows = figures(tmp_path)
    assert len(rows) == ITEMS // asking.batch_size
    assert rows[0]["loss/answer/tva"] == rows[0]["loss"]
    before, after = (valor_folder.open_valor(one / "checkpoint") for one in (trained, tmp_path))
    assert dict(after.trained) == {"video": 2, "audio": 1}
    one, other = (paths.flatten(weights.params()) for weights in (before, after))
    moved = {path for path in one if not np.array_equal(one[path], other[path])}
    assert not any(path.startswith(("align/", "temperature")) for path in moved)
    assert {"text/head/bias", "video/patch_embed/kernel", "text/prompt_embed"} <= moved


def test_captions_are_learnt_by_their_reward(run):
    grouping = GroupingConfig(caption=("tva",), way="rewarded")
    cfg = dataclasses.replace(
        run,
        trainable=published.trains(grouping, prompts=True),
        valor=dataclasses.replace(run.valor, grouping=grouping),
    )
    family = families.of(cfg)
    loader = family.loaders(cfg, family.build(cfg)[1])["items"]
    trainable, frozen = program.shapes(cfg)
    mesh = sharding.make_mesh({"data": -1, "fsdp": 1, "tensor": 1})
    made = program.make_program(cfg, mesh, trainable, frozen)
    state, key = jax.eval_shape(made.initial_state, trainable), jax.random.key(0)
    _, metrics = jax.eval_shape(made.step, state, frozen, made.batch, key)
    assert {"loss", "loss/caption/tva"} <= metrics.keys()
    assert shapes_of(loader, cfg) == structure(made.batch["items"])
    references = loader.references("caption")
    numbers = [int(loader(number).text["item"]) for number in range(4)]
    said = np.stack([loader(number).text["caption"][1:] for number in range(4)])
    for number, one in zip(numbers, said, strict=True):
        np.testing.assert_array_equal(references[number][0][1:], one)
    reward = jax.jit(valor.reward_of(cfg, family.build(cfg)[0].text))
    right, wrong = (reward(jnp.asarray(rows), said) for rows in (numbers, numbers[::-1]))
    assert (right > wrong).all()
    with pytest.raises(errors.ConfigError, match="for captions alone, and the run writes answer"):
        family.build(changed(cfg, grouping=GroupingConfig(answer=("tva",), way="rewarded")))


def test_frames_that_training_did_not_see_start_as_the_last_one(asking, trained):
    before = valor_folder.open_valor(trained / "checkpoint").params()
    family = families.of(asking)
    model = family.make_model(asking, family.build(asking)[0])
    table = family.initial_params(asking, model)["hand_over"]["video"]["frame_embed"]
    np.testing.assert_array_equal(table[0], before["hand_over"]["video"]["frame_embed"][0])
    np.testing.assert_array_equal(table[1], table[0])


def structure(tree):
    """Shapes and types of a batch."""
    return jax.tree.map(lambda one: (one.shape, one.dtype), tree)


def shapes_of(loader, cfg):
    """Those of the first batch that is loaded."""
    batch = pipeline.BatchLoader({"items": loader}, cfg.batch_sizes)(0)["items"]
    return structure({side: batch[side] for side in ("media", "text")})


def test_batch_has_the_shapes_that_are_compiled(asking):
    family = families.of(asking)
    shape, preprocess = family.build(asking)
    loader = family.loaders(asking, preprocess)["items"]
    assert shapes_of(loader, asking) == structure(family.batch_shapes(asking, shape)["items"])


def changed(run, **fields):
    """The run with other fields of itself, or of its part for VALOR."""
    own = {name: fields.pop(name) for name in list(fields) if hasattr(run.valor, name)}
    return dataclasses.replace(run, valor=dataclasses.replace(run.valor, **own), **fields)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"accumulate": 2}, "config.accumulate: VALOR has no use for it"),
        ({"paraphrase": ParaphraseConfig()}, "config.paraphrase: VALOR"),
        ({"grouping": GroupingConfig()}, "has no groups; give those of a task"),
        ({"grouping": GroupingConfig(align=("tv",))}, "takes video, config.modalities has audio"),
        ({"inference": {"video": 3}}, "3 frames of video, and VALOR-test has embeddings for 2"),
        ({"text_length": 25}, "25; the text encoder of VALOR-test takes at most 24"),
        ({"arch": "VALOR-X"}, "unknown architecture 'VALOR-X' of VALOR"),
        ({"vocabulary": ""}, "config.valor.vocabulary is empty; give the vocab.txt"),
    ],
)
def test_settings_that_valor_cannot_use_are_told(run, fields, told):
    cfg = changed(run, **fields)
    family = families.of(cfg)
    with pytest.raises(errors.ConfigError, match=told):
        family.loaders(cfg, family.build(cfg)[1])


def test_a_run_starts_from_the_encoders_that_it_names(run, tmp_path, monkeypatch):
    words = [*wordpiece.vocabulary_of(["a b c"]), *(f"w{n}" for n in range(120))][:120]
    bert, clip = bert_file(tmp_path / "bert")[0], small.clip_folder(tmp_path / "clip")
    wordpiece.WordPiece(words).write(bert)
    text, video = valor_bases.load_bert(bert), valor_bases.load_tower(clip, "image")
    shape = dataclasses.replace(
        valor_models.CONFIG,
        text=dataclasses.replace(text.config, dropout=0.0),
        video=dataclasses.replace(video.config, image_size=(32, 32)),
        temperature="logit_scale",
    )
    monkeypatch.setitem(valor_architectures.VALOR_ARCHITECTURES, "VALOR-bases", shape)
    modalities = {**run.modalities, "video": ModalityRecipe(preprocess={"frames": 2})}
    bases = {"text": str(bert), "video": str(clip)}
    cfg = changed(run, arch="VALOR-bases", modalities=modalities, bases=bases, vocabulary="")
    family = families.of(cfg)
    model_cfg, preprocess = family.build(cfg)
    assert (model_cfg.text.vocab, model_cfg.text.begin) == (120, words.index("[CLS]"))
    assert family.loaders(cfg, preprocess)
    params = family.initial_params(cfg, family.make_model(cfg, model_cfg))
    np.testing.assert_array_equal(params["text"]["head"]["bias"], text.params["head"]["bias"])
    assert params["video"]["position_embed"].shape == (1 + 4 * 4, video.config.width)
    np.testing.assert_array_equal(params["logit_scale"], video.logit_scale)
    other = changed(cfg, bases={**bases, "audio": str(clip)})
    with pytest.raises(errors.CheckpointError, match="not those of an AST"):
        family.initial_params(other, family.make_model(other, model_cfg))


def test_frames_that_are_drawn_are_not_kept(run):
    cfg = dataclasses.replace(run, data=dataclasses.replace(run.data, cache="memory"))
    family = families.of(cfg)
    with pytest.raises(errors.ConfigError, match=r"data\.cache is 'memory', and video is decoded"):
        family.loaders(cfg, family.build(cfg)[1])


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"video": valor_models.CONFIG.audio}, r"video\.form"),
        ({"task_prompts": False}, r"task_prompts is True, of the run False.*Choose its"),
        ({"frames": 3}, r"video/frame_embed is \[2, 16\], of the run \[3, 16\]"),
    ],
)
def test_a_model_of_another_size_is_refused(run, trained, monkeypatch, other, told):
    shape = valor_models.changed(**other)
    monkeypatch.setitem(valor_architectures.VALOR_ARCHITECTURES, "VALOR-other", shape)
    cfg = changed(run, init_from=str(trained), arch="VALOR-other")
    family = families.of(cfg)
    model = family.make_model(cfg, family.build(cfg)[0])
    with pytest.raises(errors.ConfigError, match=told):
        family.initial_params(cfg, model)


def test_groups_on_the_command_line_are_known_ones(run):
    config = train_config.as_config_dict(run)
    config.valor.grouping.caption = ("vta",)
    with pytest.raises(errors.ConfigError, match="must be groups of tva, tv, ta, or none"):
        train_config.from_config_dict(config)
    assert train_config.from_config_dict(train_config.as_config_dict(run)) == run

"""The encoders that VALOR starts from: their names, what is dropped, what they compute."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

from lb_jax.convert import rules, valor_bases
from lb_jax.core import errors, paths
from lb_jax.models.ast import ast_config
from lb_jax.models.bert import Bert, BertConfig
from lb_jax.models.valor import Valor, ValorConfig
from lb_jax.models.vision import VisionTower
from tests.convert import small

SIZE, GRID = (64, 2, 1, 96), (3, 5)
STORED = ast_config(*SIZE, image_size=(48, 80))


def drawn_ast():
    rng = np.random.default_rng(0)
    return {
        path: rng.standard_normal(shape).astype(np.float32)
        for path, shape in valor_bases.leaf_shapes(VisionTower, STORED).items()
    }


def ast_file(path, begins, leaves, **more):
    """A file of an AST under the names that begin so."""
    table, _ = valor_bases.AST_NAMES[begins]
    places = rules.places(table, {path: leaf.shape for path, leaf in leaves.items()})
    written = rules.written(
        lambda path, layer: leaves[path] if layer is None else leaves[path][layer], places
    )
    found = {name: np.ascontiguousarray(array) for name, array in written}
    safetensors.numpy.save_file({**found, **more}, path)
    return path


@pytest.mark.parametrize(
    ("begins", "more"),
    [
        ("embeddings.", "embeddings.distillation_token"),
        ("v.", "v.dist_token"),
    ],
    ids=["transformers", "original"],
)
def test_an_ast_comes_without_its_distillation_token(tmp_path, begins, more):
    leaves = drawn_ast()
    file = ast_file(tmp_path / "x.safetensors", begins, leaves, **{more: np.ones((1, 1, 64), "f")})
    found = valor_bases.load_ast(file, image_size=STORED.image_size, grid=GRID)
    assert found.config == STORED
    flat = paths.flatten(found.params)
    assert flat.keys() == leaves.keys()
    for path, leaf in leaves.items():
        np.testing.assert_allclose(flat[path], leaf, atol=1e-6, err_msg=path)


def test_positions_of_an_ast_are_brought_to_the_grid_that_is_wanted(tmp_path):
    file = ast_file(tmp_path / "x.safetensors", "v.", drawn_ast())
    found = valor_bases.load_ast(file, image_size=(32, 64), grid=GRID)
    assert found.params["position_embed"].shape == (1 + 2 * 4, 64)
    with pytest.raises(errors.CheckpointError, match=r"v.pos_embed is \[1, 17, 64\], expected"):
        valor_bases.load_ast(file)


def test_an_ast_of_transformers_computes_the_same(tmp_path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    model = transformers.ASTModel(
        transformers.ASTConfig(
            hidden_size=64, num_hidden_layers=2, num_attention_heads=1, intermediate_size=96,
            num_mel_bins=48, max_length=80, frequency_stride=16, time_stride=16,
        )
    ).eval()  # fmt: skip
    model.save_pretrained(tmp_path)
    base = valor_bases.load_ast(tmp_path, image_size=STORED.image_size, grid=GRID)
    sound = torch.randn(2, 80, 48)
    with torch.no_grad():
        embedded = model.embeddings(sound)
        hidden = torch.cat([embedded[:, :1], embedded[:, 2:]], 1)  # the distillation token
        for layer in model.layers:
            hidden = layer(hidden)
        expected = model.layernorm(hidden)
    graph = nnx.split(VisionTower(base.config, rngs=nnx.Rngs(params=0)))[0]
    tower = nnx.merge(graph, jax.tree.map(jnp.asarray, base.params))
    found = tower(np.swapaxes(sound.numpy(), 1, 2)[..., None]).tokens[:, 0]
    np.testing.assert_allclose(found, expected.numpy(), atol=2e-5)


@pytest.mark.parametrize("kind", ["BertForMaskedLM", "BertForPreTraining", "BertModel"])
def test_a_bert_of_transformers_computes_the_same(tmp_path, kind):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96,
        vocab_size=120, max_position_embeddings=16,
    )  # fmt: skip
    model = getattr(transformers, kind)(config).eval()
    model.save_pretrained(tmp_path)
    base = valor_bases.load_bert(tmp_path, cross=None)
    assert (base.config.heads, base.config.context) == (4, 16)
    ids = np.array([[101, 7, 9, 103, 102], [101, 8, 102, 0, 0]])
    with torch.no_grad():
        told = model(torch.tensor(ids), attention_mask=torch.tensor(ids != 0))
    drawn = Bert(base.config, rngs=nnx.Rngs(params=0))
    graph, state = nnx.split(drawn)
    params = paths.overlay(nnx.to_pure_dict(state), base.params)
    bert = nnx.merge(graph, jax.tree.map(jnp.asarray, params))
    found = bert(ids).text
    if kind == "BertModel":
        expected = told.last_hidden_state
    else:
        found = bert.logits(found)
        expected = told.logits if kind == "BertForMaskedLM" else told.prediction_logits
    np.testing.assert_allclose(found, expected.numpy(), atol=2e-5)


def bert_file(folder, **changed):
    """A small BERT as transformers stores it; (embedding, head) and a config."""
    rng = np.random.default_rng(0)
    leaves = valor_bases.leaf_shapes(Bert, BertConfig(64, 1, 1, 96, vocab=120, context=16))
    wanted = {f"text/{path}": shape for path, shape in leaves.items() if path != "prompt_embed"}
    found = {
        place.name: rng.standard_normal(place.foreign_shape).astype(np.float32)
        for place in rules.places(valor_bases.BERT_NAMES, wanted)
    }
    folder.mkdir(exist_ok=True)
    safetensors.numpy.save_file({**found, **changed}, folder / "model.safetensors")
    return folder, found


def test_the_tokens_that_are_no_words_are_those_of_the_vocabulary(tmp_path):
    folder, _ = bert_file(tmp_path / "b")
    words = [*"abc", "[PAD]", "[CLS]", "d", "[SEP]", "[MASK]"]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    cfg = valor_bases.load_bert(folder).config
    assert (cfg.pad, cfg.begin, cfg.end, cfg.mask) == (3, 4, 6, 7)
    (folder / "vocab.txt").write_text("a\nb\n")
    with pytest.raises(errors.CheckpointError, match=r"has no \[PAD\], \[CLS\]"):
        valor_bases.load_bert(folder)


@pytest.mark.parametrize(
    ("changed", "config", "told"),
    [
        (
            {"cls.predictions.decoder.weight": np.ones((120, 64), np.float32)},
            {},
            "1 tensor that the model shares differ",
        ),
        ({}, {"hidden_act": "relu"}, "hidden_act is 'relu', expected gelu"),
        ({}, {"model_type": "roberta"}, "model_type is 'roberta', expected bert"),
    ],
)
def test_a_bert_that_is_another_is_told(tmp_path, changed, config, told):
    folder, _ = bert_file(tmp_path / "b", **changed)
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(errors.CheckpointError, match=told):
        valor_bases.load_bert(folder)


def test_weights_of_something_else_are_told(tmp_path):
    other = small.clip_folder(tmp_path / "clip")
    with pytest.raises(errors.CheckpointError, match="not those of a BERT"):
        valor_bases.load_bert(other)
    with pytest.raises(errors.CheckpointError, match="not those of an AST"):
        valor_bases.load_ast(other)


def test_a_model_starts_from_its_encoders(tmp_path):
    bert = valor_bases.load_bert(bert_file(tmp_path / "b")[0])
    clip = valor_bases.load_tower(small.clip_folder(tmp_path / "c"), "image", image_size=(32, 16))
    sound = valor_bases.load_ast(
        ast_file(tmp_path / "a.safetensors", "v.", drawn_ast()), image_size=(32, 64), grid=GRID
    )
    cfg = ValorConfig(
        bert.config, clip.config, sound.config, embed_dim=8, temperature="logit_scale"
    )
    bases = {"text": bert, "video": clip, "audio": sound}
    drawn = jax.tree.map(lambda leaf: np.zeros(leaf.shape, "f"), Valor(cfg).shapes)
    params, fresh = valor_bases.initial(cfg, drawn, bases)
    np.testing.assert_array_equal(params["logit_scale"], clip.logit_scale)
    for role, base in bases.items():
        flat = paths.flatten(params[role])
        for path, leaf in paths.flatten(base.params).items():
            np.testing.assert_array_equal(flat[path], leaf)
    assert all(path.startswith(("text/blocks/cross_", "text/prompt_embed")) for path in fresh)
    with pytest.raises(errors.ConfigError, match="the encoders to start from are not the model's"):
        valor_bases.initial(cfg, drawn, {"video": sound})


def test_a_tower_of_languagebind_comes_whole_without_its_projection(tmp_path):
    folder = small.write(
        tmp_path / "d",
        small.arrays(
            small.clip.peft_rules(small.LORA.lora.targets, base_layer=False), small.LORA, "depth"
        ),
        small.languagebind.to_config("depth", small.LORA, small.TEXT),
    )
    base = valor_bases.load_tower(folder, "depth")
    assert base.config.lora == small.LORA.lora
    assert "proj" not in base.params
    with pytest.raises(errors.ConfigError, match="has depth and no video; choose one of them"):
        valor_bases.load_tower(folder, "video")

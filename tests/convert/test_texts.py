"""How foreign folders say that texts become tokens: followed, or refused by name."""

import hashlib
import json

import pytest

import lb_jax
from lb_jax.convert import clip, open_clip, texts, weights, write
from lb_jax.core import errors
from lb_jax.text import clip_bpe, spec
from tests.convert import small

VOCABULARY = {piece: token for token, piece in enumerate(clip_bpe.vocabulary())}
CONFIG = {
    "tokenizer_class": "CLIPTokenizer",
    "model_max_length": 77,
    "do_lower_case": True,
    "pad_token": "!",
    "bos_token": {"content": "<|startoftext|>", "lstrip": False},
    "eos_token": "<|endoftext|>",
}


def open_clip_folder(folder, **text_cfg):
    small.open_clip_folder(folder)
    path = folder / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["model_cfg"]["text_cfg"] |= text_cfg
    path.write_text(json.dumps(config))
    return folder


def clip_folder(folder, **files):
    small.clip_folder(folder)
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def test_digest_is_of_the_vocabulary_here():
    pieces = clip_bpe.vocabulary()
    assert len(pieces) == texts.PIECES
    assert hashlib.sha256("\n".join(pieces).encode()).hexdigest() == texts.DIGEST


@pytest.mark.parametrize("clean", ["canonicalize", "whitespace"])
@pytest.mark.parametrize("through", ["open_clip", "safetensors", "orbax"])
def test_cleaning_stays_with_the_model(tmp_path, clean, through):
    source = open_clip_folder(tmp_path / "a", tokenizer_kwargs={"clean": clean})
    first = lb_jax.load(source)
    assert first.specs["text"] == spec.TextSpec(small.TEXT.context, clean)
    assert first.digest != lb_jax.load(open_clip_folder(tmp_path / "plain")).digest
    write.write(weights.open_weights(source), tmp_path / "b", through)
    assert lb_jax.load(tmp_path / "b").specs["text"] == first.specs["text"]
    expected = lb_jax.preprocess("text", ["A dog!"], first.specs["text"])
    assert (first.preprocess("text", ["A dog!"]) == expected).all()
    with pytest.raises(errors.CheckpointError, match=f"the cleaning '{clean}', which .*open_clip"):
        write.write(weights.open_weights(tmp_path / "b"), tmp_path / "c", "hf")


def test_usual_cleaning_changes_nothing(tmp_path):
    plain = weights.open_weights(open_clip_folder(tmp_path / "plain"))
    kwargs = {"clean": "lower", "reduction_mask": "", "context_length": small.TEXT.context}
    stated = open_clip_folder(tmp_path / "stated", tokenizer_kwargs=kwargs, tokenizer_mode=None)
    assert weights.open_weights(stated).digest == plain.digest


@pytest.mark.parametrize(
    ("text_cfg", "message"),
    [
        ({"hf_tokenizer_name": "xlm-roberta-base"}, "hf_tokenizer_name='xlm-roberta-base'"),
        ({"tokenizer_mode": "clips"}, "tokenizer_mode='clips'"),
        ({"tokenizer_kwargs": {"clean": "upper"}}, r"tokenizer_kwargs\.clean='upper'"),
        ({"tokenizer_kwargs": {"reduction_mask": "syntax"}}, "reduction_mask='syntax'"),
        ({"tokenizer_kwargs": {"strip_sep_token": True}}, "strip_sep_token=True"),
        ({"tokenizer_kwargs": {"context_length": 64}}, "context_length=64"),
        ({"tokenizer_kwargs": [1]}, "tokenizer_kwargs: expected a JSON object"),
        ({"no_causal_mask": True}, "no_causal_mask is True; the towers follow"),
        ({"pool_type": "last"}, "pool_type is 'last'"),
        ({"pool_type": "eos"}, "pool_type is 'eos'"),
        ({"embed_cls": True}, "embed_cls is True"),
        ({"pad_id": 1}, "pad_id is 1"),
    ],
)
def test_other_texts_of_open_clip_are_refused_by_name(tmp_path, text_cfg, message):
    with pytest.raises(errors.CheckpointError, match=message):
        weights.open_weights(open_clip_folder(tmp_path, **text_cfg))


@pytest.mark.parametrize("vocab", [49408, 49410])
def test_texts_of_open_clip_are_pooled_at_the_end_token(tmp_path, vocab):
    text_cfg = {"width": 64, "heads": 1, "layers": 1, "vocab_size": vocab, "pool_type": "eos"}
    config = {"embed_dim": 8, "vision_cfg": {"width": 64, "layers": 1}, "text_cfg": text_cfg}
    vision, text = open_clip.towers(config | {"text_cfg": text_cfg | {"eos_id": 49407}}, "x")
    assert text.end == (49407 if vocab > 49408 else None)
    again = open_clip.towers(open_clip.to_config(vision, text)["model_cfg"], "x")
    assert again == (vision, text)
    with pytest.raises(errors.CheckpointError, match="pool_type is 'eos'"):
        open_clip.towers(config, "x")


def test_fields_of_open_clip_that_state_what_is_usual_are_no_obstacle(tmp_path):
    usual = {"pool_type": "argmax", "eos_id": 2, "pad_id": 0, "embed_cls": False, "act_kwargs": {}}
    usual |= {"proj_type": "linear", "hf_model_pretrained": True, "hf_tokenizer_name": ""}
    weights.open_weights(open_clip_folder(tmp_path, **usual))


def test_tokenizer_of_clip_is_known(tmp_path):
    added = {"<|startoftext|>": 49406, "<|endoftext|>": 49407, "<new>": 49408}
    weights.open_weights(
        clip_folder(tmp_path, tokenizer_config=CONFIG, vocab={**VOCABULARY, **added})
    )


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"tokenizer_config": {**CONFIG, "tokenizer_class": "BertTokenizer"}}, "='BertTokenizer'"),
        ({"tokenizer_config": {**CONFIG, "model_max_length": 8}}, r"=8 \(the tower takes 10"),
        ({"tokenizer_config": {**CONFIG, "eos_token": "</s>"}}, "eos_token='</s>'"),
        ({"special_tokens_map": {"bos_token": {"content": "<s>"}}}, "bos_token='<s>' "),
        ({"vocab": {"a": 0, "b": 1}}, r"vocab\.json asks for another vocabulary: 2 pieces"),
        (
            {"tokenizer": {"model": {"vocab": {**VOCABULARY, "dog</w>": 1930, "x": 1929}}}},
            r"tokenizer\.json asks for another vocabulary: .*tokens 320 and 1929 are 'a</w>', 'x'",
        ),
    ],
)
def test_tokenizer_of_another_kind_is_refused_by_name(tmp_path, files, message):
    with pytest.raises(errors.CheckpointError, match=message):
        weights.open_weights(clip_folder(tmp_path, **files))


def test_texts_of_two_sources_are_cleaned_alike(tmp_path):
    source = open_clip_folder(tmp_path / "a", tokenizer_kwargs={"clean": "canonicalize"})
    plain = open_clip_folder(tmp_path / "b")
    with pytest.raises(errors.ConfigError, match="texts are cleaned otherwise, as usual"):
        weights.open_weights({"image": source, "depth": plain})


def test_config_written_for_added_tokens_names_the_end(tmp_path):
    text = clip.to_config(small.VISION, small.TEXT)["text_config"]
    assert (text["bos_token_id"], text["eos_token_id"]) == (58, 59)

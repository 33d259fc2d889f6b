"""Captions by transformers: a small model of pictures, and what is none."""

import json
import shutil

import numpy as np
import pytest

from lb_jax.builder.texts import captioning, ofa
from lb_jax.core import errors
from tests.builder import raw

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "a", "cat", "dog", "runs", "box"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A BLIP of two layers that knows six words."""
    folder = tmp_path_factory.mktemp("blip")
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {
        **small,
        "intermediate_size": 32,
        "vocab_size": len(WORDS),
        "encoder_hidden_size": 16,
        "max_position_embeddings": 40,
        "projection_dim": 16,
        "bos_token_id": 5,
        "eos_token_id": 3,
        "sep_token_id": 3,
        "pad_token_id": 0,
    }
    vision = {**small, "intermediate_size": 32, "image_size": 32, "patch_size": 16}
    torch.manual_seed(0)
    found = transformers.BlipConfig(text_config=text, vision_config=vision)
    model = transformers.BlipForConditionalGeneration(found)
    with torch.no_grad():
        for name, one in model.named_parameters():
            seen = "crossattention" in name or "patch_embedding" in name
            one.mul_(180 if seen else 20)  # so that what is seen tells
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    tokens = transformers.BertTokenizerFast(vocab=str(folder / "vocab.txt"))
    pictures = transformers.BlipImageProcessor(size={"height": 32, "width": 32})
    transformers.BlipProcessor(pictures, tokens).save_pretrained(folder)
    return folder


def test_texts_are_those_of_the_model(folder):
    cfg = ofa.Ofa(model=f"transformers:{folder}", batch_size=3, beam=2, longest=6)
    writer = ofa.prepare(cfg)
    assert writer.wants.pictures == {8}
    grey = np.linspace(0, 255, 9).astype(np.uint8)[:, None, None, None]
    dark = np.broadcast_to(grey, (9, 96, 96, 3))
    some = [raw.Fake(frames=one) for one in (dark, raw.drawn(0, frames=9, side=96)[0])]
    looked = [one.figures for one in ofa.look(None, some, writer)]
    found = ofa.judge(None, looked, writer)
    assert [len(one.figures["texts"]) for one in found] == [8, 8]
    processor = transformers.AutoProcessor.from_pretrained(folder)
    model = transformers.AutoModelForImageTextToText.from_pretrained(folder).eval()
    for film, verdict in zip(some, found, strict=True):
        for picture, text in zip(film.pictures(8), verdict.figures["texts"], strict=True):
            given = processor(images=[picture], return_tensors="pt")
            ids = model.generate(
                **given, num_beams=2, max_new_tokens=6, no_repeat_ngram_size=3, do_sample=False
            )
            expected = processor.batch_decode(ids, skip_special_tokens=True)[0]
            assert text == " ".join(expected.split())
    assert found[0].figures["model"] == cfg.model
    assert len({text for one in found for text in one.figures["texts"]}) > 1


def test_what_is_no_such_model_is_told(folder, tmp_path):
    with pytest.raises(errors.ConfigError, match="transformers opens no model") as caught:
        ofa.prepare(ofa.Ofa(model=f"transformers:{tmp_path / 'nothing'}"))
    assert "\n" not in str(caught.value)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(errors.ConfigError, match="a bert, which transformers does not take for"):
        ofa.prepare(ofa.Ofa(model=f"transformers:{tmp_path}"))


def test_a_model_of_conversations_is_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "chat")
    (tmp_path / "chat" / "chat_template.jinja").write_text("{{ messages }}")
    with pytest.raises(errors.ConfigError, match="is a model of conversations"):
        ofa.prepare(ofa.Ofa(model=f"transformers:{tmp_path / 'chat'}"))


def test_large_pictures_are_handed_over_small(folder):
    writer = ofa.prepare(ofa.Ofa(model=f"transformers:{folder}"))
    film = raw.Fake(frames=np.zeros((9, 960, 1280, 3), np.uint8))
    assert writer.ready(film)["pictures"].shape == (8, 480, 640, 3)


def test_the_group_of_a_view_is_one():
    assert captioning.View("ofa", "tv", 8) == ofa.VIEW

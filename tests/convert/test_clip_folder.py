"""`--to clip`: transformers and sentence-transformers open it, and give the vectors of ours."""

import json

import numpy as np
import pytest
from PIL import Image

import lb_jax
from lb_jax.convert import pictures, texts, tokenizer_files, weights, write
from lb_jax.media import specs
from lb_jax.text import tokenizer
from tests.convert import small

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

SIDE = small.VISION.image_size[0]
TOLERANCE = 1e-5
TEXTS = [
    "A dog!",
    "it's 3 o'clock, they'll say “hé” & ‘no’",
    "&lt;b&gt; Tom &amp;amp; Jerry &quot;x&quot; &#39;y&#39;",
    "<|endoftext|> is a word, <|startoftext|> too",
    "  the\tﬁrst\nline_2 ① ½ 😀 Ünïcode 中文 ",
    "e\u0301tude",
]


def source(folder, modality):
    if modality == "image":
        return small.open_clip_folder(folder, small.WORDS)
    return small.languagebind_folder(folder, modality, text=small.WORDS)


@pytest.fixture(scope="module", params=["image", "depth", "thermal"])
def both(request, tmp_path_factory):
    """Our model, the folder written from it, and its modality."""
    folder = tmp_path_factory.mktemp("clip")
    read = source(folder / "from", request.param)
    write.write(weights.open_weights(read), folder / "clip", "clip")
    return lb_jax.load(read), folder / "clip", request.param


def noise(rows=SIDE, columns=SIDE):
    """A grey picture without a black pixel, which would be no reading of depth, [h, w, 3]."""
    grey = np.random.default_rng(0).integers(1, 256, (rows, columns, 1), np.uint8)
    return np.tile(grey, (1, 1, 3))


SHOWN = Image.fromarray(noise())
# What ours takes for the same: of depth metres, of which 10 are white.
GIVEN = {"image": SHOWN, "thermal": SHOWN, "depth": noise()[..., 0] / np.float32(25.5)}


def test_auto_classes_give_the_vectors_of_ours(both):
    model, folder, modality = both
    theirs = transformers.AutoModel.from_pretrained(folder)
    processor = transformers.AutoProcessor.from_pretrained(folder)
    given = processor(
        text=TEXTS, images=[SHOWN], return_tensors="pt", padding=True, truncation=True
    )
    found = theirs(**given)
    # ours makes windows of a text that is too long; theirs cuts it
    tokens = tokenizer.tokenize(TEXTS, small.WORDS.context)
    here = model.encode("text", tokens), model.embed(modality, [GIVEN[modality]])
    for ours, one in zip(here, (found.text_embeds, found.image_embeds), strict=True):
        np.testing.assert_allclose(one.detach(), ours, atol=TOLERANCE, rtol=0)
    scale = np.exp(model.logit_scale[modality])
    assert theirs.logit_scale.exp().item() == pytest.approx(float(scale), rel=1e-6)


def test_sentence_transformers_gives_the_vectors_of_ours(both):
    library = pytest.importorskip("sentence_transformers")
    model, folder, modality = both
    theirs = library.SentenceTransformer(str(folder), device="cpu")
    tokens = tokenizer.tokenize(TEXTS, small.WORDS.context)
    np.testing.assert_allclose(
        theirs.encode(TEXTS), model.encode("text", tokens), atol=TOLERANCE, rtol=0
    )
    ours = model.embed(modality, [GIVEN[modality]])
    np.testing.assert_allclose(theirs.encode([SHOWN]), ours, atol=TOLERANCE, rtol=0)
    assert theirs.max_seq_length == small.WORDS.context


@pytest.mark.parametrize("cleaning", ["lower", "canonicalize", "whitespace"])
def test_tokens_are_those_of_ours(tmp_path, cleaning):
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    tokenizer_files.write(tmp_path, 77, {"clean": cleaning})
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in TEXTS:
        ours = tokenizer.tokenize(text, 77, cleaning)[0]
        assert theirs(text)["input_ids"] == ours[: ours.argmax() + 1].tolist(), text
    assert theirs.decode(theirs("a red dog").input_ids, skip_special_tokens=True) == "a red dog"
    found = {
        name: json.loads((tmp_path / name).read_text())
        for name in (texts.TOKENIZER_CONFIG, texts.TOKENIZER)
    }
    assert texts.of_hf(found, 77, tmp_path) == ({} if cleaning == "lower" else {"clean": cleaning})


def test_what_our_cleaning_repairs_besides_is_another_text(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    tokenizer_files.write(tmp_path, 77, {})
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in ("schÃ¶n", "ＡＢＣ", "&eacute;t&eacute;"):
        ours = tokenizer.tokenize(text)[0]
        assert theirs(text)["input_ids"] != ours[: ours.argmax() + 1].tolist()
        assert theirs(tokenizer.clean(text))["input_ids"] == ours[: ours.argmax() + 1].tolist()


def test_the_original_code_finds_its_tokenizer(tmp_path):
    opened = weights.open_weights(source(tmp_path / "from", "depth"))
    report = write.write(opened, tmp_path / "hf", "hf")
    assert "LanguageBindDepth in LanguageBind's own code" in report.notes[0]
    theirs = transformers.CLIPTokenizer.from_pretrained(tmp_path / "hf")
    for text in ("A dog!", "it's 3 o'clock", "Ünïcode 中文"):
        ours = tokenizer.tokenize(text, small.WORDS.context)[0]
        assert theirs(text)["input_ids"] == ours[: ours.argmax() + 1].tolist()


def test_a_text_tower_of_other_tokens_gets_no_tokenizer(tmp_path):
    opened = weights.open_weights(small.clip_folder(tmp_path / "from"))
    for to in ("clip", "hf"):
        report = write.write(opened, tmp_path / to, to)
        assert any("knows 60 tokens, CLIP's tokenizer 49,408" in note for note in report.notes)
        assert not [*(tmp_path / to).glob("tokenizer*")]
        transformers.AutoModel.from_pretrained(tmp_path / to)


@pytest.mark.parametrize("sides", [(SIDE, 60), (40, 60), (70, 30)])
def test_resized_pictures_differ_by_rounding(tmp_path, sides):
    (tmp_path / pictures.PREPROCESSOR).write_text(json.dumps(pictures.to_hf({}, SIDE)))
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    # Pillow rounds to whole numbers after each of its two passes, and cuts what passes 0 and 255
    muted = noise(*sides) // 4 + 96
    theirs = processor(images=[Image.fromarray(muted)], return_tensors="np")
    ours = lb_jax.preprocess("image", [muted], specs.ImageSpec(size=SIDE)).transpose(0, 3, 1, 2)
    bound = 1.01 / 255 / min(specs.CLIP_STD)
    assert np.abs(theirs["pixel_values"] - ours).max() < bound


def test_notes_say_what_transformers_does_otherwise():
    spec = {"antialias": False, "size": 24, "max_depth_m": None}
    assert "short side is 24 pixels" in pictures.differences(spec, "image")[0]
    assert pictures.differences({"size": 24}, "image") == []
    assert "white at 10 m" in pictures.differences({}, "depth")[0]
    assert "white at the largest depth" in pictures.differences(spec, "depth")[1]
    assert specs.DepthSpec().max_depth_m == pictures.MAX_DEPTH_M

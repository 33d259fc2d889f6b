"""MTEB runs our models: planted vectors give scores worked out by hand, a real model runs."""

import io

import numpy as np
import pytest
from PIL import Image

from lb_jax.core import errors
from tests.media import media_files

mteb = pytest.importorskip("mteb", reason="mteb is not installed")

import datasets  # noqa: E402
import torch.utils.data  # noqa: E402
from mteb.abstasks import retrieval, retrieval_dataset_loaders, task_metadata  # noqa: E402
from mteb.abstasks import zeroshot_classification as zero_shot  # noqa: E402

from lb_jax.inference.mteb import Encoder  # noqa: E402

RNG = np.random.default_rng(0)
COLOURS = ("red", "green", "blue", "black", "white")
ITEMS = {
    "text": [f"document {i}" for i in range(5)],
    "image": [media_files.picture(RNG.integers(0, 256, (40, 40, 3), np.uint8)) for _ in range(5)],
    "audio": [media_files.sound(media_files.noise(16000 + i)) for i in range(5)],
    "video": [media_files.clip(20 + i) for i in range(5)],
}
FEATURES = {"image": datasets.Image(), "audio": datasets.Audio(), "video": datasets.Video()}


def metadata(kind, modalities, category, score):
    return task_metadata.TaskMetadata(
        name="Planted",
        description="A task in memory.",
        reference=None,
        dataset={"path": "none", "revision": "none"},
        type=kind,
        category=category,
        modalities=modalities,
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score=score,
        date=None,
        domains=[],
        task_subtypes=[],
        license="mit",
        annotations_creators="derived",
        dialect=[],
        sample_creation="created",
        bibtex_citation="",
    )


def rows(modality, **more):
    """The five items as a data set holds them."""
    if modality == "text":
        return datasets.Dataset.from_dict({"text": ITEMS["text"], **more})
    files = [{"bytes": content, "path": None} for content in ITEMS[modality]]
    found = datasets.Dataset.from_dict({modality: files, **more})
    return found.cast_column(modality, FEATURES[modality])


def retrieval_task(modality):
    """Five texts, each looking for the item of its number."""
    kind = ("Retrieval", ["text"]) if modality == "text" else ("Any2AnyRetrieval", None)

    class Task(retrieval.AbsTaskRetrieval):
        def load_data(self, **kwargs):
            split = retrieval_dataset_loaders.RetrievalSplitData(
                queries=datasets.Dataset.from_dict(
                    {"id": [f"q{i}" for i in range(5)], "text": list(COLOURS)}
                ),
                corpus=rows(modality, id=[f"d{i}" for i in range(5)]),
                relevant_docs={f"q{i}": {f"d{i}": 1} for i in range(5)},
                top_ranked=None,
            )
            self.dataset, self.data_loaded = {"default": {"test": split}}, True

    Task.metadata = metadata(
        kind[0], kind[1] or [modality, "text"], f"t2{modality[0]}", "hit_rate_at_1"
    )
    return Task()


class ZeroShot(zero_shot.AbsTaskZeroShotClassification):
    """Five pictures of two classes."""

    metadata = metadata("ZeroShotClassification", ["image", "text"], "i2t", "accuracy")

    def load_data(self, **kwargs):
        test = rows("image", label=[0, 0, 0, 1, 1])
        self.dataset, self.data_loaded = datasets.DatasetDict({"test": test}), True

    def get_candidate_labels(self):
        return ["red", "green"]


class Planted:
    """Knows every item by its bytes: colour i points along axis i, item i along `axes[i]`."""

    modalities = ("audio", "image", "video")

    def __init__(self, axes, model):
        self.axes, self.asked = axes, []
        self.digest, self.width, self.fuse = model.digest, model.width, model.fuse
        self.specs, self.inputs = model.specs, model.inputs

    def embed(self, modality, items):
        self.asked.append((modality, len(items)))
        found = np.zeros((len(items), self.width), np.float32)
        for row, item in zip(found, items, strict=True):
            is_colour = modality == "text" and item in COLOURS
            row[COLOURS.index(item) if is_colour else self.axes[ITEMS[modality].index(item)]] = 1
        return found


def score(encoder, task):
    result = mteb.evaluate(encoder, task, cache=None, show_progress_bar=False)
    return result.task_results[0].scores["test"][0]


def loader(found, **options):
    return torch.utils.data.DataLoader(found, **options)


@pytest.mark.parametrize("modality", ITEMS)
def test_retrieval_scores_what_was_planted(model, modality):
    # items 0, 1 and 2 lie where their text points; 3 and 4 have changed places
    found = score(Encoder(Planted([0, 1, 2, 4, 3], model), "me/it"), retrieval_task(modality))
    assert found["hit_rate_at_1"] == found["main_score"] == pytest.approx(3 / 5)
    assert found["hit_rate_at_5"] == pytest.approx(1)


def test_zero_shot_scores_what_was_planted(model):
    # of the pictures of class 0 the third looks like class 1; both of class 1 are right
    found = score(Encoder(Planted([0, 0, 1, 1, 1], model), "me/it"), ZeroShot())
    assert found["accuracy"] == pytest.approx(4 / 5)


@pytest.mark.parametrize("modality", ITEMS)
def test_a_real_model_runs(model, modality):
    found = score(Encoder(model, "me/tiny"), retrieval_task(modality))
    assert found["hit_rate_at_5"] == pytest.approx(1)  # of five, whatever the order
    assert 0 <= found["hit_rate_at_1"] <= 1


@pytest.mark.parametrize("modality", ITEMS)
def test_vectors_are_those_of_embed(model, modality):
    found = Encoder(model, "me/tiny").encode(loader(rows(modality)))
    assert (found.dtype, found.shape) == (np.float32, (5, 64))
    np.testing.assert_array_equal(found, model.embed(modality, ITEMS[modality]))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_two_kinds_become_one_vector(model):
    both = rows("image").add_column("text", ITEMS["text"])
    vectors = {kind: model.embed(kind, ITEMS[kind]) for kind in ("text", "image")}
    found = Encoder(model, "me/tiny").encode(loader(both))
    np.testing.assert_array_equal(found, model.fuse(vectors))


def test_loaders_of_decoded_rows_are_taken_as_they_come(model):
    pictures = [Image.open(io.BytesIO(content)) for content in ITEMS["image"]]
    sound = {"array": np.sin(np.arange(16000) / 9), "sampling_rate": 16000}
    frames = torch.randint(0, 255, (4, 3, 48, 64), dtype=torch.uint8)  # [t, c, h, w]
    given = {
        "image": (pictures, model.embed("image", ITEMS["image"])),
        "audio": ([sound], model.embed("audio", [(sound["array"].astype(np.float32), 16000)])),
        "video": ([frames], model.embed("video", [frames.permute(0, 2, 3, 1).numpy()])),
    }
    for kind, (items, expected) in given.items():
        batches = loader([{kind: item} for item in items], batch_size=2, collate_fn=columns)
        np.testing.assert_array_equal(Encoder(model, "me/tiny").encode(batches), expected)


def columns(batch):
    return {kind: [row[kind] for row in batch] for kind in batch[0]}


def test_rows_go_to_the_model_in_its_own_batches(model):
    planted = Planted(list(range(5)), model)
    texts = datasets.Dataset.from_dict({"text": ["red", "green"] * 40})
    found = Encoder(planted, "me/it").encode(loader(texts, batch_size=1))
    assert planted.asked == [("text", 32), ("text", 32), ("text", 16)]
    np.testing.assert_array_equal(found.argmax(1), [0, 1] * 40)


def test_empty_documents_have_a_vector(model):
    texts = datasets.Dataset.from_dict({"text": ["", " ", "a cat"]})
    found = Encoder(model, "me/tiny").encode(loader(texts))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found, model.embed("text", [".", ".", "a cat"]))


def test_mteb_is_told_what_the_model_is(model):
    told = Encoder(model, "me/tiny", license="mit").mteb_model_meta
    assert (told.name, told.license, told.framework) == ("me/tiny", "mit", ["JAX"])
    assert told.revision == model.digest[:12]
    assert told.modalities == ["text", "image", "audio", "video"]
    assert (told.embed_dim, told.max_tokens) == (64, 77)
    assert told.similarity_fn_name == "cosine"


@pytest.mark.parametrize("name", ["tiny", "me/", "/tiny", "a/b/c", ""])
def test_name_mteb_cannot_file(model, name):
    with pytest.raises(errors.ConfigError, match="under 'organization/model'"):
        Encoder(model, name)


def test_rows_of_no_known_kind(model):
    strange = datasets.Dataset.from_dict({"smell": ["rose"]})
    with pytest.raises(errors.ConfigError, match="rows of smell; expected one of text, image"):
        Encoder(model, "me/tiny").encode(loader(strange))


def test_file_that_cannot_be_read_is_named(model):
    cut = ITEMS["audio"][0][:999]
    broken = datasets.Dataset.from_dict({"audio": [{"bytes": cut, "path": None}]})
    with pytest.raises(errors.DataError, match=r"999 bytes.*cut off"):
        Encoder(model, "me/tiny").encode(loader(broken.cast_column("audio", datasets.Audio())))

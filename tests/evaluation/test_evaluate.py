"""The whole evaluation with models whose score is known beforehand."""

import json

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.evaluation import evaluate

MODALITIES = ["image", "video", "depth", "thermal", "audio"]


def test_planted_embeddings_score_everything(corpus, planted):
    result = evaluate.evaluate(planted, corpus).metrics
    tasks = ["image/category", "video/category", "video/motion", "audio/category"]
    assert [result["zero_shot"][task]["top1"] for task in tasks] == [1, 1, 1, 1]
    assert list(result["retrieval"]) == MODALITIES
    for row in result["retrieval"].values():
        assert row["text_to_x"]["R@1"] == row["x_to_text"]["R@1"] == 1
        assert (row["n"], row["chance_R@1"]) == (12, 1 / 12)
    assert len(result["emergent"]) == 20
    assert all(row["R@1"] == 1 and row["times_chance"] == 12 for row in result["emergent"].values())
    assert {"text", "video", "video shuffled", "total"} <= set(result["seconds"])


def test_random_embeddings_score_about_chance(large_corpus, random_model):
    result = evaluate.evaluate(random_model, large_corpus).metrics
    for row in result["zero_shot"].values():
        assert abs(row["top1"] - row["chance"]) < 0.12
    for row in result["retrieval"].values():
        assert row["text_to_x"]["R@1"] < 0.03
        assert 90 < row["text_to_x"]["mean_rank"] < 151
    assert all(row["R@10"] < 0.12 for row in result["emergent"].values())


def test_shuffled_frames_lose_motion_and_keep_category(corpus, planted):
    scores = evaluate.evaluate(planted, corpus).metrics["zero_shot"]
    assert scores["video/motion_shuffled"]["top1"] == 0  # every clip really came in another order
    assert scores["video/category_shuffled"]["top1"] == 1


def test_shuffling_is_a_permutation_that_is_never_the_identity():
    for frames in (2, 3, 8):
        clip = np.arange(frames)[:, None, None, None]
        for seed in range(50):
            shuffled = evaluate.shuffle_frames(clip, seed)
            assert sorted(shuffled[:, 0, 0, 0]) == list(range(frames))
            assert not np.array_equal(shuffled, clip)
            np.testing.assert_array_equal(shuffled, evaluate.shuffle_frames(clip, seed))


def test_frames_are_shuffled_inside_each_view():
    views = np.arange(6).reshape(3, 2, 1, 1, 1)
    np.testing.assert_array_equal(evaluate.shuffle_frames(views, 0), views[:, ::-1])


def test_clips_of_one_frame_have_no_shuffled_row(corpus, planted, monkeypatch):
    monkeypatch.setattr(
        planted, "preprocess", lambda modality, items: np.zeros((len(items), 1, 1, 1, 1))
    )
    scores = evaluate.evaluate(planted, corpus).metrics["zero_shot"]
    assert "video/motion" in scores
    assert "video/motion_shuffled" not in scores


def test_every_file_and_text_is_embedded_once(large_corpus, planted):
    evaluate.evaluate(planted, large_corpus)
    assert len(planted.calls) == len(set(planted.calls))
    assert sum(modality == "text" for modality, _ in planted.calls) == 2 * 240 + 2 * 7


def test_numbers_are_plain_and_the_same_twice(corpus, random_model):
    first, second = (evaluate.evaluate(random_model, corpus).metrics for _ in range(2))
    first.pop("seconds"), second.pop("seconds")
    assert json.loads(json.dumps(first)) == second


def test_progress_counts_to_the_end(large_corpus, planted):
    seen = []
    evaluate.evaluate(
        planted, large_corpus, modalities=["image"], progress=lambda *event: seen.append(event)
    )
    assert [what for what, done, total in seen if done == total] == ["text", "image"]
    assert ("image", 32, 240) in seen


def test_items_without_a_modality_are_left_out_of_it(corpus, planted):
    rows = json.loads((corpus / "attributes.json").read_text())
    del rows["item3"]["files"]["audio"]
    (corpus / "attributes.json").write_text(json.dumps(rows))
    result = evaluate.evaluate(planted, corpus)
    assert (
        result.metrics["retrieval"]["audio"]["n"],
        result.metrics["retrieval"]["image"]["n"],
    ) == (11, 12)
    assert (
        result.metrics["emergent"]["audio->image"]["n"]
        == result.metrics["emergent"]["image->audio"]["n"]
        == 11
    )
    assert result.metrics["emergent"]["image->audio"]["R@1"] == 1
    assert "item3" not in result.ids["audio"]


def test_unknown_modality_is_named_with_the_nearest(corpus, planted):
    with pytest.raises(
        errors.ConfigError, match=r"'vidoe' is not in the model.*Did you mean 'video'"
    ):
        evaluate.evaluate(planted, corpus, modalities=["vidoe"])


def test_modality_without_files_is_refused(corpus, planted):
    rows = json.loads((corpus / "attributes.json").read_text())
    for row in rows.values():
        row["files"].pop("audio", None)
    (corpus / "attributes.json").write_text(json.dumps(rows))
    (corpus / "prompts.json").write_text("{}")
    with pytest.raises(
        errors.DataError, match="no item of the split has a file of modality 'audio'"
    ):
        evaluate.evaluate(planted, corpus, modalities=["audio"])
    assert "audio" not in evaluate.evaluate(planted, corpus).metrics["retrieval"]


def test_not_finite_embeddings_are_refused(corpus, planted, monkeypatch):
    monkeypatch.setattr(
        planted, "encode", lambda modality, clips, unit=True: np.full((len(clips), 8), np.nan)
    )
    with pytest.raises(errors.DataError, match="not finite"):
        evaluate.evaluate(planted, corpus)


@pytest.fixture
def illiterate(planted, monkeypatch):
    """The planted model, which cannot read of "car" and of the caption and sound of item 3."""
    embed = planted.embed

    def reading(modality, items):
        for place, text in enumerate(items) if modality == "text" else ():
            if text.split()[-1] in ("car", "item3"):
                raise errors.DataError(f"text {place}", "has no word that is known")
        return embed(modality, items)

    monkeypatch.setattr(planted, "embed", reading)
    return planted


def test_what_the_model_cannot_read_is_left_out_and_told(corpus, illiterate):
    """An item by its caption; a class stays, and is never chosen."""
    result = evaluate.evaluate(illiterate, corpus)
    for name in MODALITIES:
        assert len(result.ids[name]) == 11
        assert "item3" not in result.ids[name]
        assert result.metrics["retrieval"][name]["text_to_x"]["R@1"] == 1
    row = result.metrics["zero_shot"]["image/category"]
    assert row["per_class"] == {"bird": 1.0, "car": 0.0, "clock": 1.0}
    assert (row["n"], row["chance"]) == (11, 1 / 3)
    matrix = result.confusion["image/category"]
    assert not matrix.counts[:, matrix.classes.index("car")].any()
    assert result.metrics["zero_shot"]["video/motion"]["top1"] == 1
    told = {(one.name, one.modality): one.reason for one in result.problems}
    left_out = "its caption has no word that is known; left out"
    never = "the model can read none of its prompts; the class is never chosen"
    tasks = ("image/category", "video/category", "audio/category")
    assert told == {
        **{("item3", name): left_out for name in MODALITIES},
        **{(f"{task}: car", "text"): never for task in tasks},
    }
    assert result.metrics["problems"] == [vars(one) for one in result.problems]


def test_a_model_that_can_read_nothing_is_told(corpus, planted, monkeypatch):
    def reading(modality, items):
        raise errors.DataError("text 0", "has no word that is known")

    monkeypatch.setattr(planted, "embed", reading)
    with pytest.raises(errors.DataError, match="can read no text: the first has no word that is"):
        evaluate.evaluate(planted, corpus)


def test_frames_are_shuffled_in_each_clip_of_a_film():
    class Clips:
        """A film is three clips of two numbered frames."""

        shown = ()

        def preprocess(self, modality, items):
            numbers = np.arange(6.0).reshape(1, 3, 2, 1, 1, 1)
            return np.repeat(numbers, len(items), axis=0)

        def encode(self, modality, clips):
            self.shown = clips
            return np.zeros((len(clips), 2), np.float32)

    model = Clips()
    evaluate._encode_shuffled(model, "video", "cosine", [(0, "a"), (1, "b")])
    for one in model.shown:
        assert one.ravel().tolist() == [1, 0, 3, 2, 5, 4]

"""Caption pairs, and batches whose sizes differ by modality."""

import numpy as np

from lb_jax.data import annotations, pipeline, tokenizer


def rows(count):
    texts = [{"polish_mplug": f"a red car {i}", "mplug": f"we see car {i}"} for i in range(count)]
    return [annotations.Row(f"id{i}", "folder", text) for i, text in enumerate(texts)]


def batches(tmp_path, size):
    pairs = pipeline.CaptionPairs(("polish_mplug", "mplug"), 16)
    quarantine = pipeline.Quarantine(tmp_path / "quarantine.jsonl", 0.05)
    sizes = {"text": size}
    return pipeline.make_batches(
        rows(6), {"text": pairs}, quarantine, batch_sizes=sizes, seed=0, threads=0
    )


def test_a_caption_pair_is_two_captions_of_one_item(tmp_path):
    batch = next(batches(tmp_path, 6))["text"]
    first = tokenizer.tokenize([row.texts["polish_mplug"] for row in rows(6)], 16)
    second = tokenizer.tokenize([row.texts["mplug"] for row in rows(6)], 16)
    order = [first.tolist().index(ids.tolist()) for ids in batch["media"]]
    assert sorted(order) == list(range(6))
    np.testing.assert_array_equal(batch["text"], second[order])


def test_a_restored_position_gives_the_batches_that_were_left(tmp_path):
    taken = batches(tmp_path, 4)
    next(taken)
    state, expected = taken.get_state(), [next(taken) for _ in range(3)]
    restored = batches(tmp_path, 4)
    restored.set_state(state)
    for one in expected:
        np.testing.assert_array_equal(next(restored)["text"]["media"], one["text"]["media"])

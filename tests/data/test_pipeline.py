"""Caption pairs, and batches whose sizes differ by modality."""

import json

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


def loader(root, **texts):
    row = annotations.Row("id0", texts.pop("folder", "f"), texts)
    return pipeline.Loader(root, "depth", None, "mplug", 16, cache=False), row


def test_a_bad_caption_is_blamed_on_the_row_and_not_on_its_file(tmp_path):
    rng = np.random.default_rng(0)
    load, row = loader(tmp_path, mplug="  ")
    bad = load(row, rng)
    assert (bad.modality, bad.path) == ("depth", "id0, mplug")
    assert "is empty" in bad.reason
    pair = pipeline.CaptionPairs(("mplug", "mplug"), 16)
    assert pair(row, rng).path == "id0, mplug"


def test_a_path_out_of_the_root_is_a_bad_sample(tmp_path):
    load, row = loader(tmp_path, mplug="a car", folder="../../etc")
    assert "leads out of the data root" in load(row, np.random.default_rng(0)).reason


def test_quarantine_goes_on_after_a_line_that_was_cut_off(tmp_path):
    file = tmp_path / "quarantine.jsonl"
    file.write_text('{"modality": "depth", "path": "a", "reason": "b"}\n{"modality": "de')
    quarantine = pipeline.Quarantine(file, 0.5)
    for path in ("a", "c"):
        assert not quarantine.accept(pipeline.BadSample("depth", path, "cut"))
    assert [json.loads(line)["path"] for line in file.read_text().splitlines()] == ["a", "c"]


def test_counts_of_the_quarantine_are_part_of_the_position(tmp_path):
    taken = batches(tmp_path, 4)
    next(taken)
    restored = batches(tmp_path, 4)
    restored.set_state(taken.get_state())
    assert restored.get_state() == taken.get_state()
    assert taken.get_state()["samples"] == [4, 0]

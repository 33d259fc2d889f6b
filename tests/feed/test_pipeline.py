"""The order of samples, the position, and what happens to samples that cannot be used."""

import functools
import pickle

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.corpora.quarantine import Quarantine
from lb_jax.corpora.rows import Row
from lb_jax.corpora.sources import open_source
from lb_jax.demo import corpus
from lb_jax.feed import pipeline
from lb_jax.media import specs
from lb_jax.media.specs import ImageSpec, ImuSpec
from lb_jax.text import tokenizer
from lb_jax.training import worker
from tests.media import media_files

ENCODE = functools.partial(pipeline.tokens, 16)
SPEC = ImageSpec(size=8)


@functools.cache
def _png(shade):
    array = np.full((9, 9, 3), shade, np.uint8)
    array[:4] = 255 - shade // 2
    return media_files.picture(array)


class Pictures:
    """Rows of plain pictures; some files are no pictures."""

    where, modalities, text_kinds = "pictures", ("image",), ("mplug", "polish_mplug")

    def __init__(self, count, broken=()):
        self.count, self.broken = count, frozenset(broken)

    def __len__(self):
        return self.count

    def having(self, modality):
        return range(self.count)

    def __getitem__(self, index):
        content = b"no picture" if index in self.broken else _png(index % 251)
        texts = {"mplug": f"we see car {index}", "polish_mplug": f"a red car {index}"}
        return Row(f"id{index}", texts, {"image": (content,)})


def batches(tmp_path, *, count=23, broken=(), size=4, seed=0, process=(0, 1), rate=0.5, **options):
    sources = [(Pictures(count, broken), 1.0)]
    loaders = {
        "image": pipeline.Loader(sources, "image", SPEC, "mplug", ENCODE, seed=seed),
        "text": pipeline.CaptionPairs(sources, ("polish_mplug", "mplug"), ENCODE, seed=seed),
    }
    sizes = {"image": size, "text": 2 * size}
    threads = options.pop("threads", 0)
    loader = pipeline.BatchLoader(loaders, sizes, threads=threads, process=process)
    return pipeline.Batches(loader, Quarantine(tmp_path / "bad.jsonl", rate), **options)


def ids(batch, modality="image"):
    """Captions tell which rows a batch has."""
    return [tuple(row) for row in batch[modality]["text"].tolist()]


def row_ids(count):
    captions = tokenizer.tokenize([f"we see car {i}" for i in range(count)], 16)
    return {tuple(row): i for i, row in enumerate(captions.tolist())}


def take(source, count):
    return [next(source) for _ in range(count)]


def equal(one, other):
    for name in one:
        for key in one[name]:
            np.testing.assert_array_equal(one[name][key], other[name][key])


def test_every_row_comes_once_per_epoch_in_another_order(tmp_path):
    taken = take(batches(tmp_path, count=24), 12)
    known = row_ids(24)
    order = [known[one] for batch in taken for one in ids(batch)]
    assert sorted(order[:24]) == sorted(order[24:]) == list(range(24))
    assert order[:24] != order[24:]


def test_a_caption_pair_is_two_captions_of_one_item(tmp_path):
    batch = next(batches(tmp_path))["text"]
    known = row_ids(23)
    rows = [known[tuple(one)] for one in batch["text"].tolist()]
    expected = tokenizer.tokenize([f"a red car {i}" for i in rows], 16)
    np.testing.assert_array_equal(batch["media"], expected)


@pytest.mark.parametrize("options", [{"threads": 3}, {"workers": 1}, {"workers": 4}])
def test_the_sequence_does_not_depend_on_who_decodes(tmp_path, options):
    plain = take(batches(tmp_path, broken=(3, 7)), 9)
    other = batches(tmp_path, broken=(3, 7), start_worker=worker.start, **options)
    for one, again in zip(plain, take(other, 9), strict=True):
        equal(one, again)
    other.close()


@pytest.mark.parametrize("hosts", [2, 4])
def test_the_hosts_together_take_the_same_samples_in_every_step(tmp_path, hosts):
    """Also where some samples are bad: each number's substitute is a function of the number."""
    alone = take(batches(tmp_path, broken=(3, 7, 11)), 12)
    each = [
        take(batches(tmp_path, broken=(3, 7, 11), process=(host, hosts)), 12)
        for host in range(hosts)
    ]
    for step, whole in enumerate(alone):
        together = [one for host in each for one in ids(host[step])]
        assert sorted(together) == sorted(ids(whole))
        media = np.concatenate([host[step]["image"]["media"] for host in each])
        np.testing.assert_array_equal(media, whole["image"]["media"])


def test_another_seed_is_another_order(tmp_path):
    one, other = (next(batches(tmp_path, seed=seed)) for seed in (0, 1))
    assert ids(one) != ids(other)


def test_modalities_draw_independently(tmp_path):
    batch = next(batches(tmp_path, count=1000))
    assert not set(ids(batch)) & set(ids(batch, "text"))


def test_any_position_is_restored_exactly(tmp_path):
    whole = batches(tmp_path, broken=(3, 7))
    states, expected = [], []
    for _ in range(40):
        states.append(whole.get_state())
        expected.append(next(whole))
    for position in np.random.default_rng(0).choice(40, 20, replace=False):
        again = batches(tmp_path, broken=(3, 7), threads=2)
        again.set_state(states[position])
        assert again.get_state() == states[position]
        for one, other in zip(expected[position:], again, strict=False):
            equal(one, other)
        assert again.get_state()["batch"] == 40
        again.close()


def test_restoring_with_other_workers_goes_on_alike(tmp_path):
    whole = batches(tmp_path)
    take(whole, 5)
    again = batches(tmp_path, workers=2, start_worker=worker.start)
    again.set_state(whole.get_state())
    for one, other in zip(take(whole, 4), take(again, 4), strict=True):
        equal(one, other)
    again.close()


def test_a_bad_sample_is_reported_and_its_number_goes_to_another_row(tmp_path):
    source = batches(tmp_path, count=8, broken=(2, 5), size=8)
    known = row_ids(8)
    rows = [known[one] for one in ids(next(source))]
    assert {0, 1, 3, 4, 6, 7} < {*rows, -1}
    assert not {2, 5} & set(rows)
    state = source.get_state()
    assert state["bad"] >= 2
    assert state["seen"] == 8 + 16 + state["bad"]
    found = Quarantine(source.quarantine.path, 0.5)._known
    assert {("image", f"pictures: id{i}, image 0") for i in (2, 5)} == found


def test_too_many_bad_samples_stop_the_run(tmp_path):
    source = batches(tmp_path, broken=range(10), rate=0.1)
    with pytest.raises(errors.DataError, match=r"more than config\.data\.max_bad_rate=0\.1"):
        take(source, 30)


def test_a_corpus_without_a_usable_row_ends_in_an_error(tmp_path):
    source = batches(tmp_path, count=3, broken=range(3), size=1, rate=1.0)
    with pytest.raises(errors.DataError, match="20 rows tried for one image sample"):
        next(source)


def test_corpora_are_mixed_by_weight():
    order = pipeline.Order([30, 5], [3.0, 1.0], seed=0)
    drawn = [order[number] for number in range(400)]
    assert sum(corpus for corpus, _ in drawn) == 100
    first = [row for corpus, row in drawn if corpus == 0]
    assert sorted(first[:30]) == list(range(30))
    again = pickle.loads(pickle.dumps(order))
    assert [again[number] for number in range(400)] == drawn


def test_a_million_rows_are_not_materialised():
    order = pipeline.Order([10**12], [1.0], seed=0)
    assert len({order[number] for number in range(1000)}) == 1000


def test_truncated_captions_are_counted(tmp_path):
    source = batches(tmp_path)
    source._loader.loaders["image"].encode = functools.partial(pipeline.tokens, 4)
    take(source, 3)
    assert source.get_state()["truncated"] == 12


def bad_of(**texts):
    class One:
        where, modalities, text_kinds = "one", ("image",), ("mplug",)

        def __len__(self):
            return 1

        def having(self, modality):
            return range(1)

        def __getitem__(self, index):
            return Row("id0", texts, {"image": (_png(3),)})

    sources = [(One(), 1.0)]
    rng = np.random.default_rng(0)
    loader = pipeline.Loader(sources, "image", SPEC, "mplug", ENCODE, seed=0)
    pair = pipeline.CaptionPairs(sources, ("mplug", "mplug"), ENCODE, seed=0)
    return loader.load(0, 0, rng), pair.load(0, 0, rng)


def test_a_bad_caption_is_blamed_on_the_row_and_not_on_its_file():
    one, pair = bad_of(mplug="  ")
    assert (one.modality, one.path) == ("image", "one: id0, mplug")
    assert "is empty" in one.reason
    assert pair.path == "one: id0, mplug"


def worker_platform(number):
    import jax

    return np.array([jax.config.jax_platforms == "cpu"])


def test_worker_processes_leave_the_accelerator_alone():
    import grain

    made = grain.MapDataset.range(4).map(worker_platform).to_iter_dataset()
    one = grain.MultiprocessingOptions(num_workers=1)
    found = list(made.mp_prefetch(one, worker_init_fn=worker.start))
    assert np.all(found)


def test_rows_that_do_not_fill_a_batch_may_be_dropped(tmp_path):
    sources = [(Pictures(23), 1.0)]
    load = functools.partial(pipeline.Loader, sources, "image", SPEC, "mplug", ENCODE, seed=0)
    known = row_ids(23)

    def epoch(loader, first, count):
        return [known[tuple(loader(n).text.tolist())] for n in range(first, first + count)]

    continued, dropped = load(), load(drop_to=5)
    assert sorted(epoch(continued, 0, 23)) == sorted(epoch(continued, 23, 23)) == list(range(23))
    for number in range(4):
        assert len(set(epoch(dropped, 20 * number, 20))) == 20
    assert epoch(dropped, 20, 20) == epoch(continued, 23, 20)
    with pytest.raises(errors.ConfigError, match="at least a batch of 24; image has 23 rows"):
        load(drop_to=24)


class Sparse(Pictures):
    """Every third row has a picture."""

    def having(self, modality):
        return range(0, self.count, 3)


def test_rows_without_the_modality_are_no_bad_samples():
    loader = pipeline.Loader([(Sparse(9), 1.0)], "image", SPEC, "mplug", ENCODE, seed=0)
    known = row_ids(9)
    assert sorted(known[tuple(loader(n).text.tolist())] for n in range(3)) == [0, 3, 6]


class Films(Pictures):
    """One row: a film whose frames tell their numbers."""

    where, modalities, text_kinds = "films", ("video",), ("mplug",)

    def __getitem__(self, index):
        return Row("film", {"mplug": "a film"}, {"video": (media_files.clip(20),)})


def test_frames_are_drawn_by_seed_and_number():
    spec = specs.VideoSpec(frames=4, size=8, choice="chunks")

    def media(number, seed=0):
        sources = [(Films(1), 1.0)]
        loader = pipeline.Loader(sources, "video", spec, "mplug", ENCODE, seed=seed)
        return loader(number).media

    np.testing.assert_array_equal(media(0), media(0))
    assert len({media(number).tobytes() for number in range(6)} | {media(0, 1).tobytes()}) > 5
    with pytest.raises(errors.ConfigError, match=r"set data\.cache=none"):
        pipeline.Loader([(Films(1), 1.0)], "video", spec, "mplug", ENCODE, seed=0, cache=True)


def test_motion_of_the_demo_is_fed_with_a_drawn_window(tmp_path):
    """VIDAL's layout carries it; three modalities of one item share their row and caption."""
    corpus.write_corpus(tmp_path, seed=0, items=20, workers=1)
    sources = [(open_source(tmp_path / "train.json"), 1.0)]
    spec = ImuSpec(samples=200, window_s=4.0)

    def loaded(seed):
        loader = pipeline.Loader(sources, "imu", spec, "polish_mplug", ENCODE, seed=seed)
        batches = pipeline.Batches(
            pipeline.BatchLoader({"imu": loader}, {"imu": 4}, threads=0, process=(0, 1)),
            Quarantine(tmp_path / "bad.jsonl", 0.0),
        )
        return next(batches)["imu"]

    one, again, other = loaded(0), loaded(0), loaded(1)
    [name] = [key for key in one if key != "text" and one[key].ndim == 3]
    assert one[name].shape == (4, 200, 6)
    np.testing.assert_array_equal(one[name], again[name])
    assert np.abs(one[name] - other[name]).max() > 0.1
    assert 8 < np.linalg.norm(one[name][..., :3].mean(1), axis=-1).mean() < 11

"""The store of caption embeddings: complete, resumable, refused when something else made it."""

import pickle
from concurrent import futures

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.feed import text_cache
from lb_jax.text import tokenizer

LENGTH, DIM, BATCH = 8, 3, 4
IDENTITY = {"tower": "abc", "text_length": LENGTH}
TEXTS = [f"a red car {i % 13}" for i in range(40)] + ["long " * 20, "", "long " * 20]


class Tower:
    """Sums of the ids; counts its calls and breaks down after some."""

    def __init__(self, calls=1000):
        self.left, self.rows = calls, 0

    def __call__(self, ids):
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        self.rows += len(ids)
        assert ids.shape == (BATCH, LENGTH)
        return np.stack([ids.sum(1), ids[:, 1], ids[:, 2]], axis=1).astype(np.float32)


def make(folder, tower, texts=TEXTS, identity=IDENTITY):
    return text_cache.make(folder, identity, lambda: iter(texts), tower, dim=DIM, batch_size=BATCH)


def expected(text):
    ids = tokenizer.tokenize(text, LENGTH)[0]
    return np.array([ids.sum(), ids[1], ids[2]], np.float32)


def check(cache, texts=TEXTS):
    for text in texts:
        if text:
            vector, cut = cache(text)
            np.testing.assert_array_equal(vector, expected(text))
            assert cut == text.startswith("long")


def test_every_caption_is_embedded_once(tmp_path):
    tower = Tower()
    cache = make(tmp_path / "store", tower)
    check(cache)
    check(pickle.loads(pickle.dumps(cache)))
    assert tower.rows == 16  # 14 captions in batches of 4
    make(tmp_path / "store", Tower(0))


def test_an_interrupted_store_goes_on(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "store", Tower(2))
    assert not (tmp_path / "store" / text_cache.INDEX).exists()
    tower = Tower()
    check(make(tmp_path / "store", tower))
    assert tower.rows == 8


def test_new_captions_join_the_old(tmp_path):
    make(tmp_path / "store", Tower())
    tower, more = Tower(), [*TEXTS[5:9], "a new one"]
    cache = make(tmp_path / "store", tower, more)
    check(cache, [*TEXTS, *more])
    assert tower.rows == BATCH


def test_a_caption_without_words_says_so(tmp_path):
    cache = make(tmp_path / "store", Tower())
    with pytest.raises(errors.DataError, match="is empty after cleaning"):
        cache("")


def test_a_caption_that_came_later_is_told(tmp_path):
    cache = make(tmp_path / "store", Tower())
    with pytest.raises(errors.ConfigError, match="lacks the caption 'unheard of'"):
        cache("unheard of")


def test_a_store_of_another_tower_is_stale(tmp_path):
    make(tmp_path / "store", Tower())
    other = {**IDENTITY, "tower": "def"}
    for opened in (
        lambda: make(tmp_path / "store", Tower(), identity=other),
        lambda: text_cache.TextCache(tmp_path / "store", other),
    ):
        with pytest.raises(errors.ConfigError, match=r"is stale: .* with another tower; delete it"):
            opened()


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(errors.ConfigError, match="holds no caption embeddings"):
        make(tmp_path, Tower())
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_file_in_its_place_is_told_before_anything_is_embedded(tmp_path):
    (tmp_path / "store").write_text("mine")
    with pytest.raises(errors.ConfigError, match="holds no caption embeddings"):
        make(tmp_path / "store", Tower(0))
    with pytest.raises(errors.ConfigError, match="captions cannot be kept there"):
        make(tmp_path / "store" / "inside", Tower(0))


def test_nothing_to_embed(tmp_path):
    with pytest.raises(errors.ConfigError, match="no caption to embed"):
        make(tmp_path / "store", Tower(0), [])


@pytest.mark.parametrize("name", ["index.json", "keys-0.npy", "vectors-0.npy", "state-0.npy"])
def test_a_damaged_store_is_told(tmp_path, name):
    make(tmp_path / "store", Tower())
    path = tmp_path / "store" / name
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(errors.ConfigError, match=r"are damaged .*; delete the folder"):
        text_cache.TextCache(tmp_path / "store", IDENTITY)
    path.unlink()
    with pytest.raises(errors.ConfigError):
        text_cache.TextCache(tmp_path / "store", IDENTITY)


def test_two_runs_share_a_store(tmp_path):
    for i in range(20):
        with futures.ThreadPoolExecutor(2) as pool:
            texts = [TEXTS[:9], TEXTS[5:]]
            for cache in pool.map(lambda one, i=i: make(tmp_path / f"{i}", Tower(), one), texts):
                assert cache(TEXTS[6])[0].shape == (DIM,)
        check(text_cache.TextCache(tmp_path / f"{i}", IDENTITY))


def test_a_store_that_is_killed_before_it_has_an_index_goes_on(tmp_path, monkeypatch):
    whole = np.save
    monkeypatch.setattr(np, "save", lambda *arguments: [whole(*arguments), 1 / 0])
    with pytest.raises(ZeroDivisionError):
        make(tmp_path / "store", Tower(0))
    monkeypatch.undo()
    check(make(tmp_path / "store", Tower()))


def test_a_store_that_is_killed_while_it_grows_keeps_what_is_whole(tmp_path):
    make(tmp_path / "store", Tower())
    more = [*TEXTS, *(f"new {i}" for i in range(20))]
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "store", Tower(2), more)
    check(text_cache.TextCache(tmp_path / "store", IDENTITY))
    tower = Tower()
    check(make(tmp_path / "store", tower, more), more)
    assert tower.rows == 12

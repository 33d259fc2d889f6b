"""Fine-grained similarity: by hand, pair by pair, by tiles, and over eight devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lb_jax.objectives import contrastive, fine_grained, ring
from lb_jax.objectives.fine_grained import Side
from tests.objectives.test_ring import assert_close, mesh_of

WORDS, FRAMES, CLIPS, WIDTH = 5, 4, 2, 8
MODES = sorted(fine_grained.MASKED)


def side(items, parts, seed, *, padded=False, uniform=False):
    """Unit vectors; padding holds vectors too, as text encoders give."""
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(items, parts, WIDTH))
    features /= np.linalg.norm(features, axis=-1, keepdims=True)
    lengths = draw.integers(1, parts + 1, (items, 1)) if padded else np.full((items, 1), parts)
    logits = None if uniform else jnp.asarray(draw.normal(size=(items, parts)), jnp.float32)
    return Side(jnp.asarray(features, jnp.float32), np.arange(parts) < lengths, logits)


def sides(items=24, **options):
    columns = side(items, FRAMES, 1, padded=True, **options), side(items, CLIPS, 2, **options)
    return side(items, WORDS, 0, padded=True, **options), columns


def by_hand(rows, columns, mode):
    """One pair after the other, in float64 and without any batch."""
    found = np.zeros((len(rows.mask), len(columns.mask)))
    for a in range(len(found)):
        for b in range(found.shape[1]):
            t, x = np.float64(rows.features[a]), np.float64(columns.features[b])
            mt, mx = np.asarray(rows.mask[a], bool), np.asarray(columns.mask[b], bool)
            if mode == "exclude":
                products, mt, mx = (t[mt] @ x[mx].T), mt[mt], mx[mx]
            else:
                products = (t @ x.T) * mt[:, None] * mx
            halves = []
            for best, logits, there in (
                (products.max(1), rows.logits[a], mt),
                (products.max(0), columns.logits[b], mx),
            ):
                weight = np.exp(np.float64(logits[: len(there)])) * there  # padding is behind
                halves.append(best @ weight / weight.sum())
            found[a, b] = np.mean(halves)
    return found


@pytest.mark.parametrize("mode", MODES)
def test_score_is_that_of_each_pair_by_itself(mode):
    rows, columns = side(5, WORDS, 0, padded=True), side(7, FRAMES, 1, padded=True)
    found = fine_grained.score(rows, columns, mode)
    np.testing.assert_allclose(found, by_hand(rows, columns, mode), atol=1e-6)


def test_padding_of_a_text_clamps_at_zero_in_the_original_only():
    """VALOR spec 3.1: all products -1 give -0.5 with padding and -1.0 without."""
    ones = np.ones((2, 4, 1), np.float32)
    rows = Side(ones, np.array([[1, 1, 0, 0], [1, 1, 1, 1]]))
    columns = Side(-ones[:, :3], np.ones((2, 3)))
    np.testing.assert_array_equal(
        fine_grained.score(rows, columns, "zero"), [[-0.5, -0.5], [-1, -1]]
    )
    np.testing.assert_array_equal(fine_grained.score(rows, columns), -np.ones((2, 2)))


def test_parts_without_logits_weigh_the_same():
    rows = side(3, WORDS, 0, padded=True, uniform=True)
    np.testing.assert_allclose(
        fine_grained.weights(rows), rows.mask / rows.mask.sum(1, keepdims=True), atol=1e-7
    )


def test_joined_sides_share_one_softmax():
    _, (video, audio) = sides()
    found = fine_grained.weights(fine_grained.join((video, audio)))
    apart = np.exp(np.concatenate([video.logits, audio.logits], 1))
    apart *= np.concatenate([video.mask, audio.mask], 1)
    np.testing.assert_allclose(found, apart / apart.sum(1, keepdims=True), rtol=1e-5, atol=1e-7)
    with pytest.raises(ValueError, match="logits of the weights on 1 of 2 sides"):
        fine_grained.join((video, audio._replace(logits=None)))


def test_late_fusion_is_a_sum_of_uniform_scores():
    rows, columns = sides(6)
    plain = [one._replace(logits=None) for one in (rows, *columns)]
    expected = fine_grained.score(plain[0], plain[1]) + fine_grained.score(plain[0], plain[2])
    np.testing.assert_allclose(fine_grained.late_fusion(rows, columns), expected, atol=1e-6)


def test_whole_vectors_score_their_product():
    a, b = np.random.default_rng(0).normal(size=(2, 4, WIDTH)).astype(np.float32)
    found = fine_grained.score(fine_grained.whole(a), fine_grained.whole(b))
    np.testing.assert_allclose(found, a @ b.T, atol=1e-5)


def test_groups_are_the_letters_of_their_names():
    letters = {"t": "text", "v": "video", "a": "audio"}
    for name, group in fine_grained.GROUPS.items():
        assert set(group.modalities) == {letters[one] for one in name}
        assert group.rows == letters[name[0]]
    rows, columns = sides(3)
    found = dict(zip(("text", "video", "audio"), (rows, *columns), strict=True))
    assert fine_grained.sides_of("atv", found)[1] == (rows, columns[0])


def test_items_of_a_group_have_all_its_modalities():
    present = {
        "text": np.array([True, True, True]),
        "video": np.array([True, True, False]),
        "audio": np.array([True, False, True]),
    }
    assert fine_grained.together("tva", present).tolist() == [True, False, False]
    assert fine_grained.together("ta", present).tolist() == [True, False, True]


def graded(loss, rows, columns):
    """Value, and gradients by the features and logits of all sides."""

    def of(arrays):
        each = [
            Side(features, one.mask, logits)
            for (features, logits), one in zip(arrays, (rows, *columns), strict=True)
        ]
        return loss(each[0], tuple(each[1:]))

    return jax.jit(jax.value_and_grad(of))([(x.features, x.logits) for x in (rows, *columns)])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fusion", fine_grained.FUSIONS)
@pytest.mark.parametrize("tile", [1, 5, 24])
def test_tiles_equal_the_whole_in_value_and_gradient(fusion, mode, tile):
    rows, (video, audio) = sides(9)
    columns = [jax.tree.map(lambda x: jnp.concatenate([x, x[:4]]), one) for one in (video, audio)]
    similarity = functools.partial(fine_grained.FUSIONS[fusion], mask=mode)
    cotangent = np.random.default_rng(3).normal(size=(9, 13))
    plain = graded(lambda *x: (similarity(*x) * cotangent).sum(), rows, columns)
    tiles = graded(
        lambda *x: (fine_grained.tiled(similarity, *x, tile) * cotangent).sum(), rows, columns
    )
    assert_close(tiles, plain, 1e-6)


def test_equal_frames_share_the_gradient_in_tiles_too():
    """Frames of a still picture are equal: no order among them may decide."""
    rows, (video, audio) = sides(6, uniform=True)
    video = video._replace(
        features=jnp.repeat(video.features[:, :1], FRAMES, 1), mask=np.ones((6, FRAMES))
    )
    columns = (video, audio)

    def loss(similarity):
        return lambda *x: jnp.square(similarity(*x)).sum()

    plain = graded(loss(fine_grained.early_fusion), rows, columns)
    by_frame = plain[1][1][0]
    np.testing.assert_allclose(by_frame, np.repeat(by_frame[:, :1], FRAMES, 1), atol=1e-6)
    tiles = functools.partial(fine_grained.tiled, fine_grained.early_fusion, tile=4)
    assert_close(graded(loss(tiles), rows, columns), plain, 1e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("mesh", ["one", "data", "mixed"])
def test_ring_of_devices_equals_one_in_value_and_gradient(mesh, mode):
    rows, columns = sides()
    similarity = functools.partial(fine_grained.early_fusion, mask=mode)
    around = ring.make_contrastive(mesh_of(mesh), "infonce", 2, similarity)
    plain = graded(lambda *x: contrastive.of_scores(similarity(*x), 0.07), rows, columns)
    found = graded(lambda *x: around(*x, -np.log(np.float32(0.07))), rows, columns)
    assert_close(found, plain, 1e-5)


def test_absent_items_are_neither_rows_nor_columns():
    """The loss and gradients are those of the present alone; what is absent gets exactly zero."""
    rows, columns = sides()
    present = np.random.default_rng(5).random(24) < 0.5
    spoilt = [
        one._replace(features=jnp.where(present[:, None, None], one.features, jnp.nan))
        for one in columns
    ]
    alone = [jax.tree.map(lambda x: x[present], one) for one in (rows, *columns)]
    similarity = fine_grained.early_fusion
    expected = graded(
        lambda *x: contrastive.of_scores(similarity(*x), 0.07), alone[0], tuple(alone[1:])
    )
    around = ring.make_contrastive(mesh_of("data"), "infonce", 2, similarity)
    value, gradient = graded(
        lambda *x: around(*x, -np.log(np.float32(0.07)), present=present), rows, spoilt
    )
    assert_close((value, jax.tree.map(lambda x: x[present], gradient)), expected, 1e-5)
    assert all((np.asarray(x)[~present] == 0).all() for x in jax.tree.leaves(gradient))


def test_an_item_without_parts_scores_nothing():
    rows, columns = sides(4)
    rows = rows._replace(mask=np.zeros((4, WORDS)), features=rows.features * jnp.nan)
    for mode in MODES:
        similarity = functools.partial(fine_grained.early_fusion, mask=mode)
        value, gradient = graded(lambda *x, of=similarity: of(*x).sum(), rows, columns)
        assert np.isfinite(value)
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(gradient))
        assert not np.any(gradient[0][0])


def temporary(loss, items):
    """Bytes that the gradient needs beside its arguments and itself."""
    shapes = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((items, *x.shape[1:]), jnp.float32), sides(2)
    )
    program = jax.jit(jax.grad(lambda x, rows, columns: loss(rows._replace(features=x), columns)))
    compiled = program.lower(shapes[0].features, *shapes).compile()
    return compiled.memory_analysis().temp_size_in_bytes


def test_memory_is_that_of_tiles():
    """The scores of 512 items by 5 words and 6 parts are 30 MiB, of which tiles hold none."""
    plain = temporary(lambda *x: fine_grained.early_fusion(*x).sum(), 512)
    tiles = temporary(lambda *x: fine_grained.tiled(fine_grained.early_fusion, *x, 16).sum(), 512)
    around = ring.make_contrastive(mesh_of("one"), "infonce", 16, fine_grained.early_fusion)
    assert tiles < plain / 10
    assert temporary(lambda *x: around(*x, 1.0), 512) < plain / 10

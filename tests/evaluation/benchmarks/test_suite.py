"""Benchmarks from files to figures: planted models, one mistake at a time, damaged data sets."""

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.evaluation.benchmarks import layouts, prompts, suite, table
from lb_jax.evaluation.benchmarks.layouts import pictures
from lb_jax.evaluation.benchmarks.splits import Split
from lb_jax.evaluation.benchmarks.table import BENCHMARKS, Settings
from lb_jax.media.clips import Clip
from tests.evaluation import miniatures
from tests.evaluation.planted import Meaningless, Planted

# Of models that write, see test_writing.py.
NAMES = tuple(name for name, row in BENCHMARKS.items() if row.tasks)
HEADLINES = ("R@1", "top1", "mAP")


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """Every data set in miniature; not to be changed."""
    root = tmp_path_factory.mktemp("benchmarks")
    for name in NAMES:
        miniatures.write(name, root)
    return root


@pytest.fixture(autouse=True)
def few_templates(monkeypatch):
    """Two templates instead of 80: the texts of 1,000 classes are then soon made."""
    every = prompts.templates
    monkeypatch.setattr(prompts, "templates", lambda kind, word=None: every(kind, word)[:2])


def whole(row):
    """The row without shares of the items, of which a miniature has too few."""
    return dataclasses.replace(
        row, tasks=tuple(dataclasses.replace(task, share=1.0) for task in row.tasks)
    )


def score(embedder, name, folder, row, settings):
    """Reads and scores one data set."""
    return suite.score(
        embedder,
        name,
        row,
        layouts.LAYOUTS[name].read(folder),
        settings,
        layouts.LAYOUTS[name].counts,
    )


def run(root, name, model=Planted, settings=None, **options):
    """Runs one benchmark whole."""
    split = layouts.LAYOUTS[name].read(root / name)
    row = whole(BENCHMARKS[name])
    embedder = model(split, row, **options)
    return score(embedder, name, root / name, row, settings or Settings())


def headlines(result):
    return {
        name: task.outcome.metrics[task.outcome.headline] for name, task in result.tasks.items()
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_planted_model_finds_everything(written, name):
    result = run(written, name)
    assert set(result.left_out) == {str(task) for task in BENCHMARKS[name].written}
    for task, value in headlines(result).items():
        expected = 1 / (1 + np.exp(-np.exp(4.0))) if name == "smoke" else 1
        assert value == pytest.approx(expected), task


@pytest.mark.parametrize(
    "settings", [{"scoring": "dot"}, {"fusion": "logits"}, {"fusion": "embeddings"}]
)
@pytest.mark.parametrize("name", ["msrvtt", "nyu_depth"])
def test_a_planted_model_finds_everything_however_scored(written, name, settings):
    assert set(headlines(run(written, name, settings=Settings(**settings))).values()) == {1.0}


def synthetic(name, count):
    """A split of `count` items without files."""
    row = BENCHMARKS[name]
    ids = tuple(f"item{i}" for i in range(count))
    media = {m for task in row.tasks for m in task.media}
    labels = list(row.prompts.texts()) if row.prompts else []
    several = 2 if row.several else 1
    return Split(
        ids=ids,
        media={m: {id_: Clip(Path(f"{id_}.{m}")) for id_ in ids} for m in media},
        texts={} if labels else {id_: (f"a text of {id_}", f"one more of {id_}") for id_ in ids},
        labels={
            id_: tuple(labels[(i + k) % len(labels)] for k in range(several))
            for i, id_ in enumerate(ids)
            if labels
        },
    )


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name not in ("smoke", "imagenet", "k600")]
)
def test_meaningless_vectors_give_chance(monkeypatch, tmp_path, name):
    split = synthetic(name, 400)
    monkeypatch.setitem(
        layouts.LAYOUTS, name, dataclasses.replace(layouts.LAYOUTS[name], read=lambda root: split)
    )
    (tmp_path / name).mkdir()
    result = run(tmp_path, name, Meaningless)
    for task in result.tasks.values():
        value = task.outcome.metrics[task.outcome.headline]
        chance, count = task.outcome.chance, len(task.ids)
        assert abs(value - chance) < 5 * np.sqrt(chance / count), task.task


class Illiterate(Planted):
    """Cannot read the texts that it is told."""

    def __init__(self, split, row, unread):
        super().__init__(split, row)
        self.unread, self.reader = unread, self

    def is_cut(self, text):
        if text in self.unread:
            raise errors.DataError("text 0", "has no word that is known; give it others")
        return False

    def texts(self, texts):
        assert not {*texts} & self.unread
        return super().texts(texts)


@pytest.mark.parametrize("name", ["esc50", "k400", "audioset"])
def test_a_class_that_the_model_cannot_read_is_never_chosen(written, name):
    """Its items count as wrong, and it is named; of another class fewer prompts change nothing."""
    row, split = BENCHMARKS[name], layouts.LAYOUTS[name].read(written / name)
    texts = row.prompts.texts()
    label = split.labels[split.ids[0]][0]
    partly = next(one for one in texts if one != label and not {*texts[one]} & {*texts[label]})
    unread = {*texts[label], *texts[partly][1:]}
    result = run(written, name, Illiterate, unread=unread)
    (task,) = result.tasks.values()
    assert task.ids == split.ids
    its = [label in split.labels[id_] for id_ in split.ids]
    if task.outcome.headline == "mAP":
        found = dict(zip(result.classes, task.outcome.per_class, strict=True))
        assert found.pop(label) == pytest.approx(np.mean(its))
        assert {one for one in found.values() if one is not None} == {1.0}
    else:
        assert task.outcome.metrics["top1"] == pytest.approx(1 - np.mean(its))
        assert result.classes.index(label) not in task.outcome.predicted
        assert (task.outcome.rank[its] == len(result.classes)).all()
    told = {one.name: one.reason for one in result.problems if one.kind == "annotation"}
    count = len(texts[label])
    first = f"{count} of {count} prompt{'s' * (count > 1)} cannot be read (the first has no word "
    assert told.pop(label) == f"{first}that is known); the class is never chosen"
    assert all(one.endswith("the class goes by the others") for one in told.values())
    assert {*told} == ({partly} if len(texts[partly]) > 1 else set())


def test_a_model_that_can_read_no_class_is_told(written):
    unread = {text for texts in BENCHMARKS["esc50"].prompts.texts().values() for text in texts}
    result = run(written, "esc50", Illiterate, unread=unread)
    assert result.left_out == {"audio->text": "the model can read the prompts of no class"}


@pytest.mark.parametrize("name", [name for name in NAMES if name != "smoke"])
def test_one_item_taken_for_another(written, name):
    """Media of one item look like those of another: one query in n fails, in each direction."""
    split = layouts.LAYOUTS[name].read(written / name)
    wrong, like = split.ids[0], split.ids[-1]
    if split.labels:  # of another class
        like = next(
            id_ for id_ in split.ids if not set(split.labels[id_]) & set(split.labels[wrong])
        )
    result = run(written, name, swapped={wrong: like})
    for task in result.tasks.values():
        found = task.outcome
        if found.headline == "mAP":
            continue
        # found by their media both look the same and lose; asking, the other looks as it should
        lost = {wrong} if task.task.target == ("text",) else {wrong, like}
        queries = [task.ids[i] for i in found.item.tolist()]
        expected = np.mean([id_ not in lost for id_ in queries])
        assert found.metrics[found.headline] == pytest.approx(expected), task.task


def first_item(name, split):
    """The first item, and the modality that the headline task needs of it."""
    return split.ids[0], BENCHMARKS[name].tasks[0].media[-1]


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_named_and_changes_no_other_item(tmp_path, name):
    folder = miniatures.write(name, tmp_path)
    before = run(tmp_path, name)
    if name in pictures.LISTED:  # folders are their only annotation
        (folder / pictures.LIST).write_text("".join(f"{id_}\n" for id_ in before.split.ids))
    embedder = Planted(before.split, BENCHMARKS[name])
    lost, modality = first_item(name, before.split)
    before.split.media[modality][lost].path.unlink()
    after = score(embedder, name, folder, whole(BENCHMARKS[name]), Settings())
    assert ("missing", lost) in {(one.kind, one.name) for one in after.problems}
    require_same_rows(before, after, lost, modality)


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_named_and_changes_no_other_item(tmp_path, name):
    folder = miniatures.write(name, tmp_path)
    before = run(tmp_path, name)
    embedder = Planted(before.split, BENCHMARKS[name])
    bad, modality = first_item(name, before.split)
    path = before.split.media[modality][bad].path
    path.write_bytes(path.read_bytes()[:200])
    after = score(embedder, name, folder, whole(BENCHMARKS[name]), Settings())
    named = {(one.kind, one.name, one.modality) for one in after.problems}
    assert ("unreadable", bad, modality) in named
    require_same_rows(before, after, bad, modality)


def require_same_rows(before, after, lost, modality):
    """The tasks that need the lost file are without its item; all other rows are the same bits."""
    for name, task in after.tasks.items():
        was = before.tasks[name]
        clips = before.split.media
        needed = any(clips[one][lost] == clips[modality][lost] for one in task.task.media)
        assert (lost in task.ids) == (not needed)
        assert [id_ for id_ in was.ids if id_ != lost] == [id_ for id_ in task.ids if id_ != lost]
        kept = [i for i, id_ in enumerate(was.ids) if id_ in task.ids]
        for side, old, new in (
            (task.task.query, was.queries, task.queries),
            (task.task.target, was.targets, task.targets),
        ):
            if side != ("text",):
                np.testing.assert_array_equal(old[kept], new)


def test_a_duplicate_caption_is_named_and_costs_only_its_owners(tmp_path):
    folder = miniatures.write("msrvtt", tmp_path)
    path = folder / "MSRVTT_JSFUSION_test.csv"
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    rows[2][-1] = rows[1][-1]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    result = run(tmp_path, "msrvtt")
    first, second = result.split.ids[:2]
    named = [p for p in result.problems if p.kind == "duplicate"]
    assert len(named) == 1
    assert first in str(named[0])
    assert second in str(named[0])
    to_video = result.tasks["text->video"].outcome
    assert to_video.rank.tolist()[:2] == [2, 2]  # the caption fits both as well
    assert set(to_video.rank.tolist()[2:]) == {1}
    assert set(result.tasks["video->text"].outcome.rank.tolist()) == {
        1
    }  # its own sentence is right


def test_one_broken_data_set_does_not_stop_the_others(written, tmp_path):
    miniatures.write("clotho", tmp_path)
    miniatures.write("msvd", tmp_path)
    (tmp_path / "msvd" / "test_list.txt").unlink()
    split = layouts.LAYOUTS["clotho"].read(tmp_path / "clotho")
    found = suite.run(
        Planted(split, BENCHMARKS["clotho"]), tmp_path, table.choose(None), Settings()
    )
    assert set(found.benchmarks) == {"clotho"}
    assert set(found.left_out) == set(BENCHMARKS) - {"clotho"}
    assert "test_list.txt" in found.left_out["msvd"]


def test_nothing_to_run_is_an_error(tmp_path):
    with pytest.raises(errors.DataError, match="no benchmark can be run"):
        suite.run(None, tmp_path, table.choose(["msrvtt"]), Settings())
    with pytest.raises(errors.DataError, match="is no folder"):
        suite.run(None, tmp_path / "nowhere", table.choose(None), Settings())
    with pytest.raises(errors.ConfigError, match="Did you mean 'msrvtt'"):
        table.choose(["msrvt"])


def test_captions_without_words_are_named_and_left_out(tmp_path):
    folder = miniatures.write("clotho", tmp_path)
    path = folder / "clotho_captions_evaluation.csv"
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    rows[1][1] = "&nbsp;"
    rows[2][1] = "word " * 200
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    result = run(tmp_path, "clotho")
    named = {(one.kind, one.name) for one in result.problems}
    assert {("annotation", rows[1][0]), ("truncated", rows[2][0])} <= named
    assert len(result.tasks["text->audio"].outcome.rank) == 5 * len(result.split.ids) - 1
    assert set(headlines(result).values()) == {1.0}


def test_a_model_without_a_modality_leaves_its_tasks_out(written):
    split = layouts.LAYOUTS["nyu_depth"].read(written / "nyu_depth")
    model = Planted(split, BENCHMARKS["nyu_depth"])
    model.modalities = ("depth",)
    found = score(model, "nyu_depth", written / "nyu_depth", BENCHMARKS["nyu_depth"], Settings())
    assert set(found.tasks) == {"depth->text"}
    assert found.left_out["image->text"] == "the model has no image"


def test_the_same_content_under_two_names_is_told(tmp_path):
    miniatures.write("clotho", tmp_path)
    split = layouts.LAYOUTS["clotho"].read(tmp_path / "clotho")
    embedder = Planted(split, BENCHMARKS["clotho"])
    first, second = (split.media["audio"][id_].path for id_ in split.ids[:2])
    second.write_bytes(first.read_bytes())
    result = score(embedder, "clotho", tmp_path / "clotho", BENCHMARKS["clotho"], Settings())
    assert [(one.kind, one.name, first.name in one.reason) for one in result.problems] == [
        ("duplicate", second.name, True)
    ]


@pytest.mark.parametrize("name", ["esc50", "audioset", "k400", "smoke"])
def test_classes_are_compared_by_cosine_in_either_scoring(written, name):
    by_cosine, by_dot = (
        run(written, name, Meaningless, Settings(scoring=scoring)) for scoring in ("cosine", "dot")
    )
    for task, found in by_cosine.tasks.items():
        assert found.outcome.metrics == by_dot.tasks[task].outcome.metrics


def test_a_fused_text_is_the_mean_of_its_dot_products(written):
    """By the original's product the captions of an item keep their length."""
    split = layouts.LAYOUTS["clotho"].read(written / "clotho")
    embedder = Meaningless(split, BENCHMARKS["clotho"])
    split = dataclasses.replace(split, media={**split.media, "image": split.media["audio"]})
    row = table.Benchmark("own", (table.parse("image+text->audio"),))
    found = suite.score(embedder, "clotho", row, split, Settings(scoring="dot"))
    task = found.tasks["image+text->audio"]
    clips = list(split.media["audio"].values())
    image, audio = (embedder.media(name, clips).rows[:, 0] for name in ("image", "audio"))
    text = np.stack([embedder.texts(split.texts[id_]).mean(0) for id_ in split.ids])
    expected = (image @ audio.T + text @ audio.T) / 2
    np.testing.assert_allclose(task.queries @ task.targets.T, expected, rtol=1e-5, atol=1e-4)


def test_a_share_of_the_items_does_not_depend_on_what_is_there():
    row = dataclasses.replace(BENCHMARKS["ave"], tasks=(table.parse("image->audio", share=0.3),))
    whole_split = synthetic("ave", 200)
    fewer = dataclasses.replace(whole_split, ids=whole_split.ids[::2])
    chosen = []
    for split in (whole_split, fewer):
        found = suite.score(Meaningless(split, row), "ave", row, split, Settings())
        chosen.append(found.tasks["image->audio"].ids)
    assert 40 <= len(chosen[0]) <= 80
    assert chosen[1] == tuple(id_ for id_ in chosen[0] if id_ in fewer.ids)


def test_tasks_are_read_as_in_the_papers():
    task = table.parse("audio+video->text")
    assert (task.query, task.target, str(task)) == (
        ("audio", "video"),
        ("text",),
        "audio+video->text",
    )
    assert str(task.without("audio")) == "video->text"
    assert task.without("text") is None
    for wrong in (
        "video",
        "video->video",
        "a->text",
        "audio+video->text+image",
        "audio+audio->text",
    ):
        with pytest.raises(errors.ConfigError):
            table.parse(wrong)


def test_classes_have_the_names_of_their_prompts(written):
    found = run(written, "audioset")
    assert (found.classes[0], found.names[0]) == ("/m/09x0r", "Speech")
    assert run(written, "msvd").names == ()


def test_choices_of_the_original():
    views = Settings(k400_norm="imagenet").apply(BENCHMARKS["k400"]).views
    assert views.mean == table.IMAGENET_MEAN
    assert BENCHMARKS["k400"].views.mean is None
    thermal = Settings(thermal_templates="thermal").apply(BENCHMARKS["llvip"])
    assert "a photo of" not in str(thermal.prompts.texts())
    with pytest.raises(errors.ConfigError, match="scoring is 'cosin'; expected one of cosine, dot"):
        Settings(scoring="cosin")

"""Linear classifiers: what is learnt from and tested, on planted features and on miniatures."""

import dataclasses

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.evaluation.benchmarks import linear, probes, results
from lb_jax.evaluation.benchmarks.layouts.divided import DIVIDED
from lb_jax.evaluation.benchmarks.probes import PROBES, Settings
from lb_jax.evaluation.benchmarks.splits import Divided, Part, Split
from lb_jax.inference import embedder
from lb_jax.media.clips import Clip
from tests.evaluation import divided_miniatures


class Planted:
    """A class is the first letter of a file's name; another file is noise of its own."""

    modalities = ("audio", "image", "video")

    def __init__(self, failing=()):
        self.failing, self.asked = failing, []

    def media(self, modality, clips, views=None):
        self.asked.append((modality, len(clips), views))
        count = 1 if views is None else views.count
        rows = np.zeros((len(clips), count, 6), np.float32)
        for place, clip in enumerate(clips):
            name = clip.path.stem
            draw = np.random.default_rng(list(name.encode())).standard_normal
            rows[place] = 0.1 * draw((count, 6))
            rows[place, :, ord(name[0]) - ord("a")] += 1
        failed = {i: "damaged" for i, one in enumerate(clips) if one.path.stem in self.failing}
        return embedder.Embedded(rows, failed)


ROW = probes.Probe("planted", "image", 1.0)


def divided(tmp_path, parts, unsure=None, labels=None):
    ids = [f"{label}{n}" for label in "abc" for n in range(4)]
    media = {"image": {id_: Clip(tmp_path / f"{id_}.jpg") for id_ in ids}}
    labels = labels or {id_: (id_[0],) for id_ in ids}
    split = Split(tuple(ids), media, labels=labels)
    return Divided(split, parts, {one: f"class {one}" for one in "abc"}, unsure or {})


def half(first=True):
    low = [f"{label}{n}" for label in "abc" for n in (0, 1)]
    high = [f"{label}{n}" for label in "abc" for n in (2, 3)]
    return Part(*map(tuple, (low, high) if first else (high, low)))


def score(data, tmp_path, row=ROW, model=None, **settings):
    return linear.score(model or Planted(), tmp_path, row, data, Settings(**settings), 12)


def test_what_differs_is_told_apart_and_divisions_count_together(tmp_path):
    data = divided(tmp_path, {"1": half(), "2": half(False)})
    found, c = score(data, tmp_path)
    task = found.tasks["image->class"]
    assert (c, task.asked, len(task.ids)) == (1.0, 12, 12)
    assert task.outcome.metrics == {"top1": 1.0, "mean_per_class": 1.0}
    assert task.outcome.chance == pytest.approx(1 / 3)
    assert task.outcome.per_class == [1.0, 1.0, 1.0]
    assert found.names == ("class a", "class b", "class c")
    one, _ = score(data, tmp_path, dataclasses.replace(ROW, parts=("2",)))
    assert one.tasks["image->class"].ids == half(False).test


def test_tests_of_one_item_in_two_divisions_are_drawn_together(tmp_path):
    labels = {
        f"{label}{n}": ("abc"[(n + (label == "b")) % 3],) for label in "abc" for n in range(4)
    }
    wide = []
    for parts in ({"1": half()}, {"1": half(), "2": half()}):
        found, _ = score(divided(tmp_path, parts, labels=labels), tmp_path)
        outcome = found.tasks["image->class"].outcome
        wide.append(outcome.interval["top1"])
    assert wide[0] == wide[1]  # the same items twice know no more


def test_an_item_that_cannot_be_decoded_is_named_and_the_rest_runs(tmp_path):
    data = divided(tmp_path, {"1": half()})
    found, _ = score(data, tmp_path, model=Planted(failing=("a0", "b3")))
    task = found.tasks["image->class"]
    assert (task.asked, len(task.ids)) == (6, 5)
    assert "b3" not in task.ids
    assert [(one.kind, one.name) for one in found.problems] == [
        ("unreadable", "a0"),
        ("unreadable", "b3"),
    ]


def test_what_nobody_is_sure_of_counts_for_nothing(tmp_path):
    row = dataclasses.replace(ROW, several=True)
    wrong = {id_: (id_[0],) for label in "abc" for id_ in [f"{label}{n}" for n in range(4)]}
    wrong["b2"] = ()  # shows b, and the annotation is not sure of it
    told = {}
    for name, unsure in (("sure", {}), ("unsure", {"b2": ("b",)})):
        found, _ = score(divided(tmp_path, {"1": half()}, unsure, wrong), tmp_path, row)
        told[name] = found.tasks["image->class"].outcome.metrics["mAP"]
    assert told["unsure"] == 1
    assert told["sure"] < 1


def test_c_goes_by_the_width_of_the_features(tmp_path):
    row = dataclasses.replace(ROW, c_of={6: 0.25})
    data = divided(tmp_path, {"1": half()})
    assert score(data, tmp_path, row)[1] == 0.25
    assert score(data, tmp_path, row, c=0.5)[1] == 0.5
    assert score(data, tmp_path)[1] == 1.0


def test_mistakes_are_one_line(tmp_path):
    data = divided(tmp_path, {"1": Part(("a0", "a1"), ("b0",)), "2": half()})
    with pytest.raises(errors.DataError, match="2 items of 1 class to learn from and 1 to test"):
        score(data, tmp_path)
    with pytest.raises(errors.DataError, match="has no division 7"):
        score(data, tmp_path, dataclasses.replace(ROW, parts=("7",)))
    with pytest.raises(errors.ConfigError, match="C is -1"):
        Settings(c=-1.0)
    with pytest.raises(errors.ConfigError, match=r"no data set of the suite linear 'ucf'.*ucf101"):
        probes.choose(["ucf"])
    (tmp_path / "esc50").mkdir()
    with pytest.raises(errors.DataError, match=r"esc50\.csv.*no folder ucf101"):
        linear.run(Planted(), tmp_path, probes.choose(["esc50", "ucf101"]), Settings())


def test_the_protocols_are_those_of_the_original():
    ucf, hmdb = PROBES["ucf101"], PROBES["hmdb51"]
    assert (ucf.c, ucf.parts) == (1e-3, ("1",))
    train, test = ucf.train, ucf.test
    assert (train.count, train.drawn, test.count, test.drawn) == (10, True, 10, False)
    for one in (train, test):
        told = (one.frames, one.stride, one.fps, one.longest_s, one.short, one.crop)
        assert told == (32, 2, 25.0, 20.0, 224, 224)
    assert [(one.stride, one.crop, one.short) for one in (hmdb.train, hmdb.test)] == 2 * [
        (1, 200, 224)
    ]
    weights = [Settings().weight(hmdb, width) for width in (1024, 2048, 4096, 768)]
    assert weights == [3e-4, 1e-4, 3e-4, 3e-4]
    assert (hmdb.parts, PROBES["esc50"].parts) == (None, None)
    assert set(PROBES) == set(DIVIDED) == set(divided_miniatures.WRITERS)


@pytest.mark.parametrize("name", PROBES)
def test_results_are_plain_values(tmp_path, name):
    class Coloured(Planted):
        """Tells the class by the number that the miniatures give a file's label."""

        def media(self, modality, clips, views=None):
            count = 1 if views is None else views.count
            rows = np.zeros((len(clips), count, 2), np.float32)
            folder = DIVIDED[name].read(tmp_path / name)
            place = {clip: id_ for id_, clip in folder.split.media[modality].items()}
            for row, clip in zip(rows, clips, strict=True):
                label = folder.split.labels[place[clip]][0]
                row[:] = list(folder.classes).index(label), len(clip.path.stem)
            return embedder.Embedded(rows, {})

    divided_miniatures.write(name, tmp_path)
    found = linear.run(Coloured(), tmp_path, probes.choose([name]), Settings())
    told = results.to_json(found)["benchmarks"][name]
    task = f"{PROBES[name].modality}->class"
    assert next(iter(told["tasks"][task]["metrics"].values())) == 1
    assert told["items"] == len(DIVIDED[name].read(tmp_path / name).split.ids)
    assert results.to_json(found)["settings"]["c"] == {name: PROBES[name].c}

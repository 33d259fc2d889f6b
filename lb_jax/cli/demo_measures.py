"""What `lb-jax demo mmv` measures: what linear classifiers read out of features, and retrieval."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ERRORS = 3.2  # weight of the errors of all that a classifier learns from, see `metrics.svm`
LABELLED = 320  # films for training that the classifiers of films learn from
SEEN, PASSES = 60, 6  # films in a batch that an untrained model sees, and how often it sees them
AUDIO, IMAGE, TEXT, VIDEO = "audio", "image", "text", "video"


@dataclasses.dataclass(frozen=True)
class Films:
    """Films of a split.

    Attributes:
      paths: of the files.
      facts: of each, see `demo.narrated`.
    """

    paths: list[Path]
    facts: list[Any]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, part: slice) -> "Films":
        return Films(self.paths[part], self.facts[part])

    def labels(self, kind: str) -> np.ndarray:
        """What each has, of a field of the facts."""
        return np.array([getattr(one, kind) for one in self.facts])


def read(folder: Path) -> dict[str, Films]:
    """Split -> films, in the order of their ids."""
    from lb_jax.demo import narrated

    told = json.loads((folder / "attributes.json").read_text(encoding="utf-8"))
    found = {split: Films([], []) for split in narrated.SPLITS}
    for name, facts in told.items():
        film = narrated.Film(**facts)
        found[film.split].paths.append(folder / film.split / f"{name}.mp4")
        found[film.split].facts.append(film)
    return found


class Ready:
    """Films made ready for models, each only once for all models that take it alike."""

    def __init__(self) -> None:
        self._kept: dict[Any, np.ndarray] = {}

    def __call__(self, model: Any, modality: str, films: Films) -> np.ndarray:
        """As `model.preprocess` of the files; not to be changed."""
        key = (modality, model.specs[modality], tuple(films.paths))
        if key not in self._kept:
            self._kept[key] = model.preprocess(modality, films.paths)
        return self._kept[key]


def write_stills(films: Films, folder: Path) -> None:
    """The middle frame of each film as a picture of its name."""
    from lb_jax.demo import media
    from lb_jax.media import clock, video

    middle = clock.Choice(lambda count: np.array([count // 2]), 0.0, None, standing=True)
    folder.mkdir(parents=True, exist_ok=True)
    for path in films.paths:
        media.write_png(folder / f"{path.stem}.png", video.choose(path, middle)[0])


def save_untrained(model: Any, folder: Path, films: Films, seed: int, ready: Ready) -> None:
    """The networks of a model at random weights, as a checkpoint; see `training.untrained`."""
    from lb_jax.convert import mmv_files
    from lb_jax.media import specs
    from lb_jax.training import untrained

    arrays = {name: ready(model, name, films) for name in (VIDEO, AUDIO)}
    batches = [
        {name: one[first : first + SEEN] for name, one in arrays.items()}
        for first in range(0, len(films), SEEN)
    ]
    drawn = untrained.params(model.config, PASSES * batches, seed)
    stated = {name: specs.to_dict(spec) for name, spec in model.specs.items()}
    mmv_files.save(folder, model.config, drawn, stated, None)


def accuracy(
    train: np.ndarray, right: Sequence[str], test: np.ndarray, expected: Sequence[str]
) -> float:
    """Share of rows whose class a linear classifier tells that learnt from others.

    Args:
      train, test: features [n, f] and [m, f].
      right, expected: their classes.
    """
    return accuracies(train, right, {"": test}, expected)[""]


def accuracies(
    train: np.ndarray,
    right: Sequence[str],
    tests: Mapping[str, np.ndarray],
    expected: Sequence[str],
) -> dict[str, float]:
    """As `accuracy`, of one classifier and several features of the same items."""
    from lb_jax.evaluation.metrics import svm

    classes, column = np.unique(right, return_inverse=True)
    labels = column[:, None] == np.arange(len(classes))
    rows = np.stack(list(tests.values()), axis=1)  # [m, tests, f]
    found = svm.scores(
        train[:, None], labels, rows.reshape(-1, 1, rows.shape[-1]), ERRORS / len(train)
    )
    said = classes[found.argmax(1)].reshape(-1, len(tests))
    return dict(zip(tests, (said == np.array(expected)[:, None]).mean(0).tolist(), strict=True))


def recall(queries: np.ndarray, items: np.ndarray) -> float:
    """Share of queries [n, e] to which their own of n items is the nearest."""
    return float(((queries @ items.T).argmax(1) == np.arange(len(items))).mean())


def probes(model: Any, films: Mapping[str, Films], ready: Ready) -> dict[str, float]:
    """ "modality/kind" -> accuracy on held-out films, learnt from a few labelled ones."""
    learnt, asked = films["train"][:LABELLED], films["test"]
    found = {}
    for modality, kinds in (
        (VIDEO, ("motion", "category", "colour")),
        (AUDIO, ("source", "motion")),
    ):
        rows = [model.features(modality, ready(model, modality, one)) for one in (learnt, asked)]
        for kind in kinds:
            found[f"{modality}/{kind}"] = accuracy(
                rows[0], learnt.labels(kind), rows[1], asked.labels(kind)
            )
    return found


def stills(model: Any, naive: Any, folders: Mapping[str, Path], films: Mapping[str, Films]) -> Any:
    """What each way to look at a still makes of the category, by the video network's classifier.

    The classifier learns from the stills of all films for training, which the video network sees as
    films in which nothing moves: with few of them it tells less than the towers differ.

    Args:
      model, naive: with a fitted image tower, and with one that is not.
      folders: split -> pictures of its films.
      films: by split.

    Returns:
      Way -> accuracy on held-out films.
    """
    learnt, asked = films["train"], films["test"]
    pictures = {
        split: model.preprocess(IMAGE, [folders[split] / f"{one.stem}.png" for one in part.paths])
        for split, part in (("train", learnt), ("test", asked))
    }

    def shown(split: str, frames: int) -> np.ndarray:
        return model.features(VIDEO, pictures[split][:, None].repeat(frames, axis=1))

    count = model.specs[VIDEO].frames
    ways = {
        "video": shown("test", count),
        "image": model.features(IMAGE, pictures["test"]),
        "naive": naive.features(IMAGE, pictures["test"]),
        "one frame": shown("test", 1),
    }
    right, expected = learnt.labels("category"), asked.labels("category")
    return accuracies(shown("train", count), right, ways, expected)


def sound_to_film(model: Any, films: Films, ready: Ready) -> tuple[float, np.ndarray]:
    """R@1 of films by their sounds, and the film that each sound finds."""
    heard, seen = (
        model.encode(name, ready(model, name, films), space="va") for name in (AUDIO, VIDEO)
    )
    return recall(heard, seen), (heard @ seen.T).argmax(1)


def text_to_film(model: Any, films: Films, ready: Ready) -> float:
    """R@1 of films by what is typed to find them, in the space of all modalities."""
    asked = model.embed(TEXT, [one.query for one in films.facts], space="vat")
    seen = model.encode(VIDEO, ready(model, VIDEO, films), space="vat")
    return recall(asked, seen)

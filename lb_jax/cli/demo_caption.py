"""`lb-jax demo caption`: a small VALOR, trained on drawn films with sound, and what it writes."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lb_jax.cli import demo_corpus, demo_steps, train
from lb_jax.cli.arguments import make_folder
from lb_jax.core import checkpoint, logging

ITEMS = 4000
ASKED = 200  # films that are asked about too
BATCH_SIZE = 50  # films that are written of at once
CHANCE = {"category": 1 / 8, "colour": 1 / 6, "motion": 1 / 4, "source": 1 / 24}
ALL = "all words"

# Group, kind of word -> (">=" or "<=", what the report holds its share against).
TARGETS = {
    ("tva", ALL): (">=", 0.90),
    ("tv", "source"): ("<=", 0.15),
    ("ta", "colour"): ("<=", 0.30),
}


def main(argv: Sequence[str]) -> None:
    """`lb-jax demo caption --out DIR`."""
    arguments = demo_corpus.options(
        "demo caption",
        "Draws films with sound, trains a small VALOR that writes of them, lets it write of films "
        "that it has not seen from sight and sound, sight alone and sound alone, and writes "
        "report.html.",
        argv,
        items=ITEMS,
        seed_of="of the films and of the run",
        items_are="number of films",
    )
    run(arguments.out, seed=arguments.seed, items=arguments.items)


def run(out: Path, *, seed: int, items: int, settings: Sequence[str] = ()) -> dict[str, Any]:
    """Films -> training -> captions -> report; a finished part is not done again.

    Args:
      out: folder for everything.
      seed: of the films and of the run.
      items: number of films.
      settings: more of the sheet, as `lb-jax train` takes them.

    Returns:
      What `metrics.json` holds.
    """
    from lb_jax.demo import card
    from lb_jax.training import sheets

    make_folder(out, "--out")
    films, configs = out / "films", os.path.relpath(sheets.SHIPPED)
    given = [f"--seed={seed}", f"--items={items}", f"--out={films}", "--kind=films"]
    sheet = [
        f"--config={configs}/demo_caption.py",
        f"--workdir={out / 'run'}",
        f"--config.data.sources.main.path={films / 'train.csv'}",
        f"--config.valor.vocabulary={films}",
        f"--config.seed={seed}",
        *settings,
    ]
    steps = demo_steps.Steps()
    steps.run("films", "demo corpus", demo_corpus.main, given)
    steps.run("train", "train", train.main, sheet)
    checkpoint.copy(out / "run" / "checkpoint", out / "checkpoint")
    (out / "checkpoint" / checkpoint.CARD).write_text(card.of_captioner(), encoding="utf-8")
    with steps.timed("captions"):
        metrics = write(out, {"seed": seed, "films": items})
    metrics["seconds"] = steps.seconds
    checkpoint.write_json(out / "metrics.json", metrics)
    print(table(metrics["words"]))
    for name in ("captions.jsonl", "metrics.json", "report.html", "checkpoint"):
        print(out / name)
    return metrics


def write(out: Path, facts: Mapping[str, object]) -> dict[str, Any]:
    """Lets the checkpoint in `out` write of its held-out films; `captions.jsonl`, `report.html`."""
    from lb_jax.demo import films
    from lb_jax.evaluation.reports import films as report

    told = json.loads((out / "films" / "attributes.json").read_text(encoding="utf-8"))
    plan = {name: films.Film(**one) for name, one in told.items()}
    held_out = {name: one for name, one in plan.items() if one.split == "test"}
    paths = {name: out / "films" / films.FOLDER / f"{name}.mp4" for name in held_out}
    said, answers = _texts(out / "checkpoint", paths, held_out)
    right = {
        group: {name: _right(held_out[name], text) for name, text in texts.items()}
        for group, texts in said.items()
    }
    words = {group: _shares(found) for group, found in right.items()}
    metrics = {"words": words, "answers": answers}
    rows = [
        {"id": name, "right": film.caption, **{group: said[group][name] for group in said}}
        for name, film in held_out.items()
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (out / "captions.jsonl").write_text(lines, encoding="utf-8")
    shown = [
        report.Film(
            name,
            paths[name],
            film.caption,
            {group: said[group][name] for group in said},
            {group: sum(not ok for ok in right[group][name].values()) for group in said},
        )
        for name, film in held_out.items()
    ]
    bars = [
        report.Bar(f"{group}: {kind}", words[group][kind], _chance(kind), _DETAIL[group], target)
        for (group, kind), target in TARGETS.items()
    ]
    report.write(
        out / "report.html",
        shown,
        bars,
        title="lb-jax demo caption",
        facts={**facts, "held out": len(held_out)},
        curves=logging.read_metrics(out / "run" / "metrics.jsonl"),
        metrics=metrics,
    )
    return metrics


_DETAIL = {
    "tva": "by sight and sound",
    "tv": "by sight alone, which cannot know",
    "ta": "by sound alone, which cannot know",
}


def table(words: Mapping[str, Mapping[str, float]]) -> str:
    """Shares of right words as text, a line for each group."""
    kinds = list(next(iter(words.values())))
    head = "".join(f"{kind:>11}" for kind in kinds)
    lines = [f"right words, %{head}"]
    for group, shares in words.items():
        lines.append(f"{group:14}" + "".join(f"{100 * one:11.1f}" for one in shares.values()))
    return "\n".join(lines)


def _texts(
    folder: Path, paths: Mapping[str, Path], facts: Mapping[str, Any]
) -> tuple[dict[str, dict[str, str]], dict[str, float]]:
    """Group -> film -> caption, and question -> share of right answers by sight and sound."""
    from lb_jax.demo import films
    from lb_jax.inference import valor, valor_items

    model = valor.load(folder, batch_size=BATCH_SIZE)
    decoding, names = model.decoding(), list(paths)
    said: dict[str, dict[str, str]] = {group: {} for group in model.groups}
    with logging.Progress("write captions", len(names), unit="film") as bar:
        for first in range(0, len(names), BATCH_SIZE):
            part = names[first : first + BATCH_SIZE]
            rows = [model.prepare("tva", paths[name]) for name in part]
            arrays = {role: np.stack([row[role] for row in rows]) for role in rows[0]}
            for group, found in said.items():
                given = {role: arrays[role] for role in valor_items.roles(group)}
                found |= zip(part, model.write(given, decoding), strict=True)
            bar.advance(len(part))
    answers, asked = {}, names[:ASKED]
    for kind, (question, *_) in films.QUESTIONS.items():
        given = model.answer([paths[name] for name in asked], question, group="tva")
        hits = [facts[name].words[kind] == text for name, text in zip(asked, given, strict=True)]
        answers[question] = float(np.mean(hits))
    return said, answers


def _right(film: Any, text: str) -> dict[str, bool]:
    """Kind of word -> whether a caption has the right one, and no other of its kind."""
    from lb_jax.demo import films

    found = films.named(text)
    return {kind: found[kind] == word for kind, word in film.words.items()}


def _shares(right: Mapping[str, Mapping[str, bool]]) -> dict[str, float]:
    """Kind of word -> share of films where it is right, and that of all words."""
    kinds = list(next(iter(right.values())))
    each = {kind: float(np.mean([one[kind] for one in right.values()])) for kind in kinds}
    return {**each, ALL: float(np.mean(list(each.values())))}


def _chance(kind: str) -> float:
    return CHANCE.get(kind, sum(CHANCE.values()) / len(CHANCE))

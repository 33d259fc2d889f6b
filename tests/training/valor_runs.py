"""A small run of VALOR on the demo's corpus, which captions and questions are written for."""

import json

from lb_jax.models import valor_architectures
from lb_jax.text import wordpiece
from lb_jax.training import published
from lb_jax.training.config import (
    DataConfig,
    ModalityRecipe,
    OptimConfig,
    SourceConfig,
    TrainConfig,
)
from lb_jax.training.valor_config import GroupingConfig, ValorRun
from tests.inference import valor_models

ARCH = "VALOR-test"
# A size that compiles in seconds; sheets of other processes import this file too.
valor_architectures.VALOR_ARCHITECTURES[ARCH] = valor_models.CONFIG
ITEMS = 32  # of the corpus, each with two questions
FOLDERS = {"video": "scenes_resize256_skip15", "audio": "scenes_audio"}
EVERYTHING = GroupingConfig(("tva", "ta"), ("tva",), alpha=1.5)


def write_texts(folder, corpus):
    """Captions and questions of the demo's corpus as VALOR writes them, and a vocabulary."""
    rows = json.loads((corpus / "train.json").read_text())
    told = [{"video_id": one, "desc": row["polish_mplug"]} for one, row in rows.items()]
    assert len(rows) == ITEMS
    asked = {
        one: [
            {"question": "what is seen", "answer": ["a dog", "rain"], "question_id": f"{one} {n}"}
            for n in range(2)
        ]
        for one in rows
    }
    (folder / "captions.json").write_text(json.dumps(told))
    (folder / "questions.json").write_text(json.dumps(asked))
    wordpiece.WordPiece(valor_models.VOCABULARY).write(folder)
    return folder


def run(folder, corpus):
    """The run on what `write_texts` wrote."""
    source = SourceConfig(str(folder / "captions.json"), str(corpus), FOLDERS)
    return TrainConfig(
        arch=ARCH,
        modalities={
            "video": ModalityRecipe(preprocess={"frames": 1, "size": 16}),
            "audio": ModalityRecipe(preprocess={"clips": 1}),
        },
        trainable=published.trains(EVERYTHING, prompts=True),
        steps=6,
        batch_size=8,
        text_length=16,
        data=DataConfig({"main": source}),
        optim=OptimConfig(lr=1e-3, warmup_steps=0, weight_decay=0.01, clip_norm=5.0),
        valor=ValorRun(EVERYTHING, vocabulary=str(folder), inference={"video": 2, "audio": 1}),
        log_every=1,
        save_every=2,
    )

"""A small corpus of real files and a run over it that takes seconds."""

import dataclasses

import pytest

from lb_jax.demo import corpus
from lb_jax.models.lora import LoraConfig
from lb_jax.training.config import (
    DataConfig,
    ModalityRecipe,
    OptimConfig,
    ParaphraseConfig,
    SourceConfig,
    TrainConfig,
)

PUBLISHED = (
    (r"towers/[^/]+/blocks/.*/lora_[ab]", True),
    (r"towers/video/blocks/temporal_(embed|norm/.*)", True),
    (r"towers/[^/]+/(class_embed|post_norm/.*|proj/kernel)", True),
    (r"logit_scale/.*", True),
    (r".*", False),
)


@pytest.fixture(scope="session")
def corpus_dir(tmp_path_factory):
    out = tmp_path_factory.mktemp("corpus") / "corpus"
    corpus.write_corpus(out, seed=3, items=40, workers=1)
    return out


@pytest.fixture(scope="session")
def tiny_run(corpus_dir):
    """Three modalities with LoRA and every dropout, and caption pairs; batches of two sizes."""
    lora = LoraConfig(rank=2, dropout=0.1)
    return TrainConfig(
        arch="tiny",
        modalities={
            "video": ModalityRecipe(
                lora=lora, temporal=True, patch_dropout=0.5, preprocess={"frames": 2}
            ),
            "depth": ModalityRecipe(lora=lora, patch_dropout=0.5, batch_size=16),
            "audio": ModalityRecipe(lora=lora, preprocess={"mel_bins": 32, "target_frames": 64}),
        },
        paraphrase=ParaphraseConfig(batch_size=8),
        trainable=PUBLISHED,
        steps=6,
        batch_size=8,
        text_length=32,
        data=DataConfig({"main": SourceConfig(str(corpus_dir / "train.json"))}),
        optim=OptimConfig(lr=1e-3, warmup_steps=2),
        log_every=1,
        save_every=2,
    )


@pytest.fixture(scope="session")
def small_run(tiny_run):
    """One modality of it, with both dropouts: what is not about several takes half the time."""
    return dataclasses.replace(
        tiny_run,
        modalities={"depth": dataclasses.replace(tiny_run.modalities["depth"], batch_size=8)},
        paraphrase=None,
        trainable=tuple(rule for rule in tiny_run.trainable if "video" not in rule[0]),
    )


@pytest.fixture(scope="session")
def cached_run(tiny_run):
    """The three modalities again, decoded once."""
    return dataclasses.replace(tiny_run, data=dataclasses.replace(tiny_run.data, cache="memory"))


@pytest.fixture(scope="session")
def valor_texts(corpus_dir, tmp_path_factory):
    """Folder of the captions, questions and vocabulary of the run of VALOR."""
    from tests.training import valor_runs

    return valor_runs.write_texts(tmp_path_factory.mktemp("valor"), corpus_dir)


@pytest.fixture(scope="session")
def valor_run(valor_texts, corpus_dir):
    from tests.training import valor_runs

    return valor_runs.run(valor_texts, corpus_dir)


@pytest.fixture(scope="session")
def mmv_run(tmp_path_factory):
    from tests.training import mmv_runs

    return mmv_runs.films(tmp_path_factory.mktemp("films"))


@pytest.fixture(scope="session")
def imagebind_run(corpus_dir):
    from tests.training import imagebind_runs

    return imagebind_runs.pictures(corpus_dir)


def _trained(name):
    """The work directory of a whole run of a fixture."""

    @pytest.fixture(scope="session", name=f"{name}_trained")
    def trained(request, tmp_path_factory):
        from lb_jax.training import loop

        workdir = tmp_path_factory.mktemp(name) / "unbroken"
        loop.run(request.getfixturevalue(f"{name}_run"), workdir)
        return workdir

    return trained


cached_trained, valor_trained, mmv_trained, imagebind_trained = map(
    _trained, ("cached", "valor", "mmv", "imagebind")
)

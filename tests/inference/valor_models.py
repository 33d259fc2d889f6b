"""Small VALOR models with random weights and a made vocabulary, as folders."""

import dataclasses

import jax

from lb_jax.convert import valor_folder
from lb_jax.models.ast import ast_config
from lb_jax.models.bert import BertConfig
from lb_jax.models.valor import Valor, ValorConfig
from lb_jax.models.vision import VisionConfig
from lb_jax.text import wordpiece

TEXTS = ("a dog barks at the red car", "rain falls on a roof", "what is seen", *wordpiece.PROMPTS)
VOCABULARY = wordpiece.vocabulary_of([*TEXTS, *wordpiece.PROMPTS.values()])
CONFIG = ValorConfig(
    BertConfig(
        width=16,
        depth=1,
        heads=2,
        mlp_dim=32,
        vocab=len(VOCABULARY),
        context=24,
        cross="va_concate",
        begin=VOCABULARY.index(wordpiece.BEGIN),
        end=VOCABULARY.index(wordpiece.END),
        mask=VOCABULARY.index(wordpiece.MASK),
    ),
    VisionConfig(16, 1, 2, 32, patch_size=8, image_size=(16, 16), embed_dim=0),
    ast_config(16, 1, 2, 32, image_size=(16, 32), patch_size=16),
    embed_dim=8,
    frames=2,
    clips=2,
    task_prompts=True,
)


def save(folder, cfg=CONFIG, vocabulary=VOCABULARY, seed=0):
    """Writes a checkpoint with a vocabulary; weights large enough that items differ."""
    params = Valor(cfg).init(jax.random.key(seed))
    params = jax.tree.map(lambda leaf: leaf * 3 if leaf.ndim > 1 else leaf, params)
    valor_folder.save(folder, cfg, params)
    if vocabulary is not None:
        wordpiece.WordPiece(vocabulary).write(folder)
    return folder


def changed(**fields):
    """The config with other fields."""
    return dataclasses.replace(CONFIG, **fields)

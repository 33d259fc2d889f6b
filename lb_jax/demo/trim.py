"""The demo's checkpoint, made small enough to come with the package.

    python -m lb_jax.demo.trim build/demo/checkpoint build/demo/corpus build/demo-model

Of the 49,408 rows of the token table training moved some 250, those of the corpus's words. The
others are as they were drawn; set to zero they compress to nothing, and a word that the model never
saw adds nothing to a sentence.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from lb_jax.core import checkpoint
from lb_jax.demo import card
from lb_jax.text import tokenizer

TABLE = "text/token_embed/embedding"  # [v, d]
TEXTS = ("annotation.json", "prompts.json")  # of a corpus: its captions, and what it is scored with


def trim(source: Path, corpus: Path, out: Path) -> None:
    """Writes a checkpoint whose token table is zero but for the words of a corpus, and its card.

    Args:
      source: checkpoint of the demo.
      corpus: it was trained on.
      out: folder to write.
    """
    params = safetensors.numpy.load_file(source / checkpoint.WEIGHTS)
    texts = {text for name in TEXTS for text in _strings(json.loads((corpus / name).read_text()))}
    used = np.unique(tokenizer.tokenize(sorted(text for text in texts if text.strip())))
    table = np.zeros_like(params[TABLE])
    table[used] = params[TABLE][used]
    config = checkpoint.load_config(source)
    checkpoint.save_model(out, {**params, TABLE: table}, config)
    (out / checkpoint.CARD).write_text(card.text(), encoding="utf-8")


def _strings(tree: Any) -> Iterator[str]:
    match tree:
        case str():
            yield tree
        case dict():
            for one in tree.values():
                yield from _strings(one)
        case list():
            for one in tree:
                yield from _strings(one)


def main(argv: Sequence[str]) -> None:
    """`CHECKPOINT CORPUS OUT`."""
    trim(*map(Path, argv))


if __name__ == "__main__":
    main(sys.argv[1:])

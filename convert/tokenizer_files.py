"""The files by which transformers, and the original code, make tokens of texts as it is done here.

`tokenizer.json` is the encoding of `text.clip_bpe` behind as much of `text.tokenizer.clean` as a
normalizer of the tokenizers library can say: entities, quotes, ligatures, composed letters,
capitals and punctuation. What mis-decoded characters were meant to be it cannot, nor full-width
ones.

`vocab.json` and `merges.txt` are what the tokenizer of CLIP reads that the original code is built
on; how it cleans texts it says itself.
"""

import re
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tokenizers
from ftfy import chardata
from tokenizers import decoders, normalizers, processors

from lb_jax.convert import texts
from lb_jax.core import checkpoint
from lb_jax.text import clip_bpe, tokenizer

VOCABULARY = tokenizer.END + 1  # tokens, the special ones included

# Of a `text_config`: a text is pooled where the second stands first.
SPECIAL_IDS = {"bos_token_id": tokenizer.START, "eos_token_id": tokenizer.END}

_SPECIAL = _START, _END = tuple(texts.SPECIAL.values())
# As `html.unescape` takes them; the last makes others where a title was escaped twice.
_ENTITIES = {
    **{"&lt;": "<", "&gt;": ">", "&quot;": '"', "&#34;": '"', "&#39;": "'", "&#x27;": "'"},
    **{"&apos;": "'", "&nbsp;": " ", "&amp;": "&"},
}


def write(folder: Path, context: int, spec: Mapping[str, Any]) -> None:
    """Writes `tokenizer.json` and its config, which `AutoTokenizer` opens.

    Args:
      folder: to write to.
      context: tokens that the text tower takes.
      spec: fields of the texts' preprocessing spec that the weights fix.
    """
    cleaning = texts.cleaning(spec)
    made = tokenizers.Tokenizer.from_str(clip_bpe.encoder(small=cleaning != "whitespace").to_str())
    made.add_special_tokens([tokenizers.AddedToken(name, normalized=False) for name in _SPECIAL])
    made.normalizer = normalizers.Sequence(_steps(cleaning))
    made.post_processor = processors.TemplateProcessing(
        single=f"{_START} $A {_END}",
        special_tokens=[(_START, tokenizer.START), (_END, tokenizer.END)],
    )
    made.decoder = decoders.Sequence(
        [decoders.ByteLevel(), decoders.Replace("</w>", " "), decoders.Strip(" ", 0, 1)]
    )
    made.save(str(folder / texts.TOKENIZER), pretty=False)
    # transformers' own class for CLIP takes the vocabulary of a tokenizer.json and cleans by itself
    more = {
        "split_special_tokens": True,  # written out in a text they are ordinary characters
        "clean_up_tokenization_spaces": False,
        texts.CLEANING: cleaning,
    }
    _write_config(folder, texts.GENERIC, context, more)


def write_plain(folder: Path, context: int) -> None:
    """Writes `vocab.json`, `merges.txt` and their config, for CLIP's own tokenizer."""
    vocab = {piece: token for token, piece in enumerate([*clip_bpe.vocabulary(), *_SPECIAL])}
    checkpoint.write_json(folder / texts.VOCABULARY, vocab)
    lines = ["#version: 0.2", *map(" ".join, clip_bpe.merges())]
    (folder / texts.MERGES).write_text("\n".join(lines) + "\n", encoding="utf-8")
    _write_config(folder, texts.PLAIN, context, {"do_lower_case": True})


def _write_config(folder: Path, kind: str, context: int, more: Mapping[str, Any]) -> None:
    special = {
        **texts.SPECIAL,
        "unk_token": _END,
        "pad_token": _END,
    }  # behind the end nothing counts
    told = {"tokenizer_class": kind, "model_max_length": context, **special, **more}
    checkpoint.write_json(folder / texts.TOKENIZER_CONFIG, told)


def _steps(cleaning: str) -> list[normalizers.Normalizer]:
    """What `text.tokenizer.clean` and `text.clip_bpe.encode` do to a text, in their order."""
    replaced: list[tuple[str | tokenizers.Regex, str]] = [*_ENTITIES.items()] * 2
    replaced += [(chr(letter), plain) for letter, plain in chardata.LIGATURES.items()]
    replaced += [
        (tokenizers.Regex(chardata.SINGLE_QUOTE_RE.pattern), "'"),
        (tokenizers.Regex(chardata.DOUBLE_QUOTE_RE.pattern), '"'),
    ]
    steps: list[normalizers.Normalizer] = [normalizers.Replace(*pair) for pair in replaced]
    steps += [normalizers.NFC()]
    if cleaning == "canonicalize":
        others = re.escape(string.punctuation.replace("_", ""))
        steps += [normalizers.Replace("_", " ")]
        steps += [normalizers.Replace(tokenizers.Regex(f"[{others}]"), "")]
    if cleaning != "whitespace":
        steps += [normalizers.Lowercase()]
    return steps

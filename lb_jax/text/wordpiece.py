"""BERT's WordPiece with the cleaning and the prompts of VALOR (spec 2.3, 4.7).

The vocabulary is data: it comes with the weights, one piece a line, the number of a line being the
piece's token. Which tokens are special is told by their names.
"""

import collections
import functools
import string
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers

from lb_jax.core import checkpoint, errors, fields
from lb_jax.text import spec as spec_lib
from lb_jax.text import vocabulary

# What a checkpoint's folder calls the file of its vocabulary.
FILE = checkpoint.VOCABULARY
PAD, UNKNOWN, BEGIN, END, MASK = SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SPECIAL_TOKENS = 2  # begin and end, around the words of a text
MAX_CHARACTERS = 100_000  # no caption is near this
# Words of the task prompts: of the text that is aligned, of captions, of masked language modelling
# by what is seen and heard, and of questions.
PROMPTS = {
    "text": "project language in common space",
    "caption": "describe the video with natural language",
    "mlm_tva": "predict masked tokens with visual and audio cues",
    "mlm_tv": "predict masked tokens with visual cues",
    "mlm_ta": "predict masked tokens with audio cues",
    "qa": "answer the question",
}
BARE = ("qa",)  # stand inside another text, without begin and end
_NORMALIZER = normalizers.BertNormalizer(
    clean_text=True, handle_chinese_chars=True, strip_accents=True, lowercase=True
)
_SPLITTER = pre_tokenizers.BertPreTokenizer()
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def clean(text: str) -> str:
    """Makes letters small, joins spaces and deletes ASCII's punctuation.

    In this order, and nothing is put in its place: "re-play" becomes "replay". Tabs and line breaks
    stay, for the pieces do not go by them.
    """
    spaced = " ".join(word for word in text.lower().split(" ") if word)
    return spaced.translate(_NO_PUNCTUATION)


def vocabulary_of(texts: Iterable[str]) -> list[str]:
    """A small vocabulary of some texts: their words as pieces, for models trained from scratch.

    The special tokens come first, then letters and digits, by which other words are spelled, then
    the words, the most frequent first.
    """
    plain = (_NORMALIZER.normalize_str(clean(text)) for text in texts)
    words = collections.Counter(
        word for text in plain for word, _ in _SPLITTER.pre_tokenize_str(text)
    )
    single = [*string.ascii_lowercase, *string.digits]
    spelled = [*SPECIAL, *single, *(f"##{one}" for one in single)]
    ranked = sorted(words, key=lambda word: (-words[word], word))
    return list(dict.fromkeys([*spelled, *ranked]))


class WordPiece:
    """Texts to tokens and back, by a vocabulary.

    Attributes:
      vocabulary: the pieces, in the order of their tokens.
      pad, unknown, begin, end, mask: the special tokens.

    Args:
      pieces: the vocabulary.
      name: how errors call it.

    Raises:
      errors.DataError: a special token is missing, or a piece comes twice.
    """

    def __init__(self, pieces: Sequence[str], name: object = "<vocabulary>"):
        self.vocabulary = tuple(pieces)
        expected = "the vocabulary of a BERT, one piece a line"
        numbers = vocabulary.numbered(self.vocabulary, SPECIAL, name, "piece", expected)
        self.pad, self.unknown, self.begin, self.end, self.mask = map(numbers.__getitem__, SPECIAL)

    @classmethod
    def read(cls, path: str | Path) -> "WordPiece":
        """Reads a vocabulary: a file with one piece a line, or the folder of a checkpoint.

        Raises:
          errors.DataError: unreadable, not UTF-8, or no vocabulary of a BERT.
        """
        path = Path(path)
        path = path / FILE if path.is_dir() else path
        return cls(vocabulary.read(path, "piece"), path)

    def write(self, path: str | Path) -> None:
        """Writes the vocabulary as `read` takes it."""
        path = Path(path)
        path = path / FILE if path.is_dir() else path
        vocabulary.write(path, self.vocabulary)

    def __reduce__(self):  # worker processes build the library's object themselves
        return type(self), (self.vocabulary,)

    def tokenize(
        self, texts: str | Sequence[str], spec: spec_lib.TextSpec, *, allow_empty: bool = False
    ) -> np.ndarray:
        """Tokenises texts; a text that is too long is cut and keeps its end token.

        Args:
          texts: one text or several.
          spec: `context` tokens a text, begin and end included; `clean` as `TextSpec` says.
          allow_empty: whether a text may have no words: begin and end alone.

        Returns:
          int32 [n, context]: begin, the text, end, padding.

        Raises:
          errors.DataError: an element is no string, empty after cleaning or absurdly long; names
            its position.
        """
        texts = [texts] if isinstance(texts, str) else texts
        out = np.full((len(texts), spec.context), self.pad, np.int32)
        encoded = self._encode(texts, spec.clean, allow_empty)
        for row, ids in zip(out, encoded, strict=True):
            kept = [self.begin, *ids[: spec.context - SPECIAL_TOKENS], self.end]
            row[: len(kept)] = kept
        return out

    def lengths(self, texts: Sequence[str], cleaning: str = "bare") -> list[int]:
        """How many tokens each text has, without begin and end. Raises as `tokenize` does."""
        return [len(ids) for ids in self._encode(texts, cleaning, allow_empty=False)]

    def prompt(self, name: str) -> np.ndarray:
        """The tokens of a task prompt, int32 [n], with begin and end but for those of `BARE`.

        Raises:
          errors.ConfigError: no such prompt.
        """
        if name not in PROMPTS:
            raise errors.ConfigError(
                f"no prompt {name!r}; expected one of {', '.join(PROMPTS)}."
                f"{errors.nearest(name, PROMPTS)}"
            )
        words = self._encode([PROMPTS[name]], "bare", allow_empty=False)[0]
        return np.array(words if name in BARE else [self.begin, *words, self.end], np.int32)

    def question(
        self, texts: str | Sequence[str], spec: spec_lib.TextSpec, *, prompted: bool
    ) -> np.ndarray:
        """The prompt slot of questions: their tokens, the prompt behind the begin token.

        Args:
          texts: one question or several.
          spec: as `tokenize` takes it; of the question alone.
          prompted: whether the prompt "qa" is put in.

        Returns:
          int32 [n, context], longer by the prompt where it is put in.

        Raises:
          errors.DataError: as `tokenize`.
        """
        ids = self.tokenize(texts, spec)
        if not prompted:
            return ids
        prompt = np.broadcast_to(self.prompt("qa"), (len(ids), len(self.prompt("qa"))))
        return np.concatenate([ids[:, :1], prompt, ids[:, 1:]], axis=1)

    def detokenize(self, ids: Iterable[Sequence[int] | np.ndarray]) -> list[str]:
        """Tokens to texts: each up to its first end token, pieces joined to words.

        A begin token in front is left out.

        Args:
          ids: rows of tokens, of any lengths.

        Raises:
          errors.DataError: a token that the vocabulary has not.
        """
        return [self._words(np.asarray(row, np.int64).tolist()) for row in ids]

    def _words(self, row: list[int]) -> str:
        row = row[: row.index(self.end)] if self.end in row else row
        row = row[1:] if row[:1] == [self.begin] else row
        if wrong := [one for one in row if not 0 <= one < len(self.vocabulary)]:
            raise errors.DataError(
                "<tokens>",
                f"hold {wrong[0]}, expected 0 to {len(self.vocabulary) - 1}; they are of another "
                "vocabulary",
            )
        return " ".join(self.vocabulary[one] for one in row).replace(" ##", "")

    def _encode(self, texts: Sequence[str], cleaning: str, allow_empty: bool) -> list[list[int]]:
        fields.require_choice("clean", cleaning, spec_lib.CLEANINGS["wordpiece"])
        cleaned = [self._checked(t, i, cleaning, allow_empty) for i, t in enumerate(texts)]
        # one at a time: the library's own threads print warnings in processes forked afterwards
        return [self._model.encode(one, add_special_tokens=False).ids for one in cleaned]

    def _checked(self, text: object, position: int, cleaning: str, allow_empty: bool) -> str:
        where = f"text {position}"
        if not isinstance(text, str):
            raise errors.DataError(
                where, f"is of type {type(text).__name__}, expected str; convert it first"
            )
        if len(text) > MAX_CHARACTERS:
            raise errors.DataError(
                where,
                f"has {len(text)} characters, expected at most {MAX_CHARACTERS}; cut it",
            )
        cleaned = clean(text) if cleaning == "bare" else text
        if not (cleaned.strip() or allow_empty):
            raise errors.DataError(
                where, f"is empty after cleaning (found {text[:40]!r}); give it words or drop it"
            )
        return cleaned

    @functools.cached_property
    def _model(self) -> tokenizers.Tokenizer:
        """The library's WordPiece; special tokens written out in a text are ordinary characters."""
        vocab = {piece: number for number, piece in enumerate(self.vocabulary)}
        made = tokenizers.Tokenizer(
            models.WordPiece(vocab=vocab, unk_token=UNKNOWN, max_input_chars_per_word=100)
        )
        made.normalizer, made.pre_tokenizer = _NORMALIZER, _SPLITTER
        return made

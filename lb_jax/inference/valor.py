"""A VALOR model at work: `caption`, `answer`, `score` and, where there is one vector, `embed`.

What is asked of a film goes by what it has: "video" is written from sight and sound where it has a
sound track, and from sight alone where it has none; a group such as "tva" takes what it names and
nothing less. Batches are padded to one size, so an item gives the same words whatever lies beside
it.
"""

import dataclasses
import functools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lb_jax.convert import hub, valor_folder
from lb_jax.core import errors
from lb_jax.core.modalities import TEXT
from lb_jax.inference import abilities, identity, programs, valor_items, valor_programs, valor_specs
from lb_jax.media import items, specs
from lb_jax.models.generation import Decoding
from lb_jax.models.valor import ValorConfig
from lb_jax.objectives.fine_grained import Side
from lb_jax.text import spec as text_spec
from lb_jax.text import wordpiece

Item = valor_items.Item

BATCH_SIZE = 8  # items that are seen and written about at once
TEXTS = 32  # texts that are read at once, and the side of a tile of scores
LONGEST = 30  # tokens of a text, the end included: the published number
MASKS = {"default": "exclude", "reference": "zero"}  # preset -> what padding of a text counts as


def load(
    source: str | Path,
    *,
    dtype: Any = jnp.float32,
    preset: str = "default",
    config: str | Path | Mapping[str, Any] | None = None,
    batch_size: int = BATCH_SIZE,
    frames: int | None = None,
    clips: int | None = None,
) -> "ValorModel":
    """Opens a VALOR model, as it was released or as a checkpoint of this package.

    Args:
      source: folder or file of weights, with `vocab.txt` beside them, or the work directory of a
        run; "captioner" is that of the package.
      dtype: of compute; parameters are float32.
      preset: "default", or "reference": preprocessing and scores as the original has them.
      config: the options of the run, where they do not lie beside the weights.
      batch_size: items that are seen and written about at once.
      frames, clips: of an item; None takes what the checkpoint states, otherwise 8 and 2, those of
        most published tasks.

    Raises:
      CheckpointError: for weights of another system, without options or vocabulary, or that do not
        fit them.
      ConfigError: for another preset or dtype, and numbers that the model has no embeddings for.
    """
    if batch_size < 1:
        raise errors.ConfigError(f"batch_size is {batch_size}, expected at least 1.")
    dtype = programs.compute_dtype(dtype)
    path = hub.local(source)
    weights = valor_folder.open_valor(path, config, called=str(source))
    found = valor_specs.of_weights(weights, preset, {"video": frames, "audio": clips})
    vocabulary, called = read_vocabulary(path, weights.config), hub.called(source)
    return ValorModel(weights, vocabulary, found, dtype, batch_size, called)


def read_vocabulary(path: Path, cfg: ValorConfig) -> wordpiece.WordPiece:
    """The vocabulary beside the weights.

    Raises:
      CheckpointError: when there is none, or it is that of another model.
    """
    file = valor_folder.vocabulary_of(path)
    if file is None:
        raise errors.CheckpointError(
            f"{path}: no {wordpiece.FILE}, the vocabulary that the model reads and writes; put "
            "that of the BERT it started from there (bert-base-uncased for released weights)."
        )
    found, text = wordpiece.WordPiece.read(file), cfg.text
    own = (len(found.vocabulary), found.pad, found.begin, found.end, found.mask)
    expected = (text.vocab, text.pad, text.begin, text.end, text.mask)
    if own != expected:
        raise errors.CheckpointError(
            f"{file}: {own[0]} pieces, and [PAD], [CLS], [SEP], [MASK] are {own[1:]}; the model "
            f"has {expected[0]} and {expected[1:]}. Put the vocabulary it was trained with there."
        )
    return found


class ValorModel(abilities.Able):
    """A trained VALOR model. Parameters are read when first used.

    It is a `Writer` of the suite, `lb_jax.evaluation.benchmarks.writing`.

    Attributes:
      config: shape of the model.
      specs: preprocessing spec by modality, `text` included.
      vocabulary: tokens of its texts.
      dtype: of compute.
      batch_size: items that are seen and written about at once.
      source: what `load` was given: a name, or the absolute path of files.
    """

    lack = abilities.OF_WRITERS

    def __init__(
        self,
        weights: valor_folder.ValorWeights,
        vocabulary: wordpiece.WordPiece,
        found: valor_specs.Found,
        dtype: Any = jnp.float32,
        batch_size: int = BATCH_SIZE,
        source: str | None = None,
    ):
        self.config, self.vocabulary, self.dtype = weights.config, vocabulary, dtype
        self.specs, self.batch_size = found.specs, batch_size
        self.source = str(weights.where) if source is None else source
        self._weights, self._mask = weights, MASKS[found.preset]
        late = bool(weights.options.get("late_fusion"))
        self._programs = valor_programs.compiled(self.config, jnp.dtype(dtype), late, self._mask)

    def __repr__(self) -> str:
        return (
            f"ValorModel({self.source!r}: {', '.join((*self.modalities, TEXT))}; groups "
            f"{', '.join(self.groups)}; width {self.config.embed_dim}, "
            f"{jnp.dtype(self.dtype).name})"
        )

    @property
    def folder(self) -> Path | None:
        """The checkpoint of this package that it was read from; None for other weights."""
        where = self._weights.where
        return where if valor_folder.is_ours(where) else None

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modalities besides text, sorted."""
        return tuple(sorted(self.config.towers))

    @property
    def groups(self) -> tuple[str, ...]:
        """What it writes from and compares with: some of "tva", "tv", "ta"."""
        return tuple(
            one for one in valor_items.GROUPS if {*valor_items.roles(one)} <= {*self.modalities}
        )

    @functools.cached_property
    def temperature(self) -> float:
        """By which scores are divided in training."""
        return float(self._programs.model.divisor(self._params))

    @functools.cached_property
    def digest(self) -> str:
        """Hash of weights, config and preprocessing."""
        return identity.digest(self._weights.digest, self.specs)

    @functools.cached_property
    def _params(self) -> Any:
        return jax.tree.map(jnp.asarray, self._weights.params(np.float32))

    @property
    def question_spec(self) -> text_spec.TextSpec:
        """Of questions alone; the prompt that is put into them has its room beside."""
        return self._text(self.vocabulary.prompt("qa") if self.config.task_prompts else ())

    def decoding(
        self,
        *,
        beam: int = 3,
        longest: int | None = None,
        shortest: int = 0,
        length_penalty: float = 0.0,
        no_repeat_ngram: int = 0,
    ) -> Decoding:
        """How words are chosen; the defaults are the published ones.

        Args:
          beam: texts that are followed at a time; 1 is greedy.
          longest: most tokens, the end included; None is 30, or as many as there are positions for.
          shortest, length_penalty, no_repeat_ngram: see `Decoding`.

        Raises:
          ConfigError: for values that are none, and texts longer than the decoder has positions.
        """
        most = self.config.text.context - 1
        if longest is not None and longest > most:
            raise errors.ConfigError(
                f"longest is {longest}, and the decoder has positions for {most} tokens; give at "
                "most that."
            )
        longest = min(LONGEST, most) if longest is None else longest
        return Decoding(
            beams=beam,
            longest=longest,
            shortest=shortest,
            length_penalty=length_penalty,
            no_repeat_ngram=no_repeat_ngram,
        )

    def caption(
        self,
        modality: str,
        items: Item | Sequence[Item],
        *,
        group: str | None = None,
        **options: Any,
    ) -> list[str]:
        """Writes a caption of each item.

        Args:
          modality: "video" (sight, and sound where there is some), "audio", "image", or a group:
            "tva", "tv", "ta".
          items: paths, bytes or arrays; or modality -> file, where sound lies in another file.
          group: what to write from, whatever the modality has besides.
          **options: of `decoding`.

        Raises:
          DataError: naming the item that cannot be read, or has not what the group takes.
          ConfigError: for a group that the model does not have, and options that are none.
        """
        decoding = self.decoding(**options)
        given_items, groups = valor_items.as_items(items), self.choices(group or modality)
        return self._write(given_items, groups, decoding, None)

    def answer(
        self,
        items: Item | Sequence[Item],
        questions: str | Sequence[str],
        *,
        group: str | None = None,
        **options: Any,
    ) -> list[str]:
        """Answers a question about each item; one item may be asked several questions.

        Args:
          items: as `caption` takes them.
          questions: as many as items, or one of either.
          group: as `caption` takes it; None goes by what an item has.
          **options: of `decoding`; greedy unless a beam is given, as published.

        Raises:
          DataError: as `caption`, and for a question without words.
          ConfigError: as `caption`, and for other numbers of items and questions.
        """
        decoding = self.decoding(**{"beam": 1, **options})
        media = valor_items.as_items(items)
        asked = [questions] if isinstance(questions, str) else list(questions)
        count = max(len(media), len(asked))
        if {len(media), len(asked)} - {1, count}:
            raise errors.ConfigError(
                f"{len(media)} items and {len(asked)} questions; give as many of both, or one."
            )
        prompts = self._questions(asked)
        prompts = np.repeat(prompts, count // len(asked), axis=0)
        media = media * (count // len(media))
        return self._write(media, self.choices(group), decoding, prompts)

    def score(
        self,
        texts: str | Sequence[str],
        items: Item | Sequence[Item],
        *,
        group: str = "tva",
    ) -> np.ndarray:
        """How well each text fits each item: float32 [texts, items], comparable in one group.

        Args:
          texts: texts.
          items: as `caption` takes them.
          group: "tva", "tv" or "ta"; all items have what it takes.

        Raises:
          DataError: as `caption`, and for a text without words.
          ConfigError: for a group that the model does not have.
        """
        if group not in valor_items.GROUPS:
            raise errors.ConfigError(
                f"score compares all items in one group, and {group!r} is none; give one of "
                f"{', '.join(self.groups)}."
            )
        groups, media = self.choices(group), valor_items.as_items(items)
        for one in media:
            valor_items.pick(one, groups)
        rows = list(self._read([texts] if isinstance(texts, str) else list(texts)))
        columns = list(self._look(media, group))
        found = np.zeros((sum(n for n, _ in rows), sum(n for n, _ in columns)), np.float32)
        top = 0
        for height, text in rows:
            left = 0
            for width, sides in columns:
                tile = self._programs.compare(text, sides)
                found[top : top + height, left : left + width] = tile[:height, :width]
                left += width
            top += height
        return found

    def embed(self, modality: str, items: Any) -> np.ndarray:
        """One unit vector of each item or text, float32 [n, e], of a model that compares by those.

        Args:
          modality: "video", "audio" or "text".
          items: as `caption` takes them; for text, strings.

        Raises:
          ConfigError: for a model that compares part by part, which has no such vector.
          DataError: as `caption`.
        """
        if self.config.alignment != "coarse":
            raise errors.ConfigError(
                "this model compares words with frames and clips, and has no one vector of an "
                "item; model.score(texts, items) compares them."
            )
        if modality == TEXT:
            found = self._read([items] if isinstance(items, str) else list(items))
            return np.concatenate([np.asarray(one.features)[:n, 0] for n, one in found])
        group = self.choices(modality if modality == "audio" else "tv")[-1]
        media = valor_items.as_items(items)
        for one in media:
            valor_items.pick(one, (group,))
        found = self._look(media, group)
        return np.concatenate([np.asarray(sides[0].features)[:n, 0] for n, sides in found])

    def choices(self, asked: str | None) -> tuple[str, ...]:
        """The groups that may be meant, see `valor_items.choices`.

        Raises:
          ConfigError: as that.
        """
        return valor_items.choices(asked, self.groups)

    def prepare(self, group: str, item: Item) -> dict[str, np.ndarray]:
        """Decodes what a group takes of an item: role -> float32 [n, ...].

        Raises:
          DataError: what cannot be read.
        """
        wanted = {role: self.specs[role] for role in valor_items.roles(group)}
        return dict(items.preprocess(valor_items.media_of(item), wanted).arrays)

    def write(
        self,
        arrays: Mapping[str, np.ndarray],
        decoding: Decoding,
        prompts: np.ndarray | None = None,
    ) -> list[str]:
        """Writes of items that are preprocessed.

        Args:
          arrays: role -> float32 [b, …], b at most `batch_size`; the roles are the group.
          decoding: see `decoding`.
          prompts: int [b, p] of questions; None writes captions.
        """
        count = len(next(iter(arrays.values())))
        if prompts is None and self.config.task_prompts:
            prompts = self.vocabulary.prompt("caption")[None].repeat(count, axis=0)
        full = {role: _padded(one, self.batch_size) for role, one in arrays.items()}
        prompt = None if prompts is None else _padded(prompts, self.batch_size)
        ids = self._programs.write(self._params, full, prompt, decoding)
        return self.vocabulary.detokenize(np.asarray(ids)[:count])

    def _write(
        self,
        media: Sequence[Item],
        groups: Sequence[str],
        decoding: Decoding,
        prompts: np.ndarray | None,
    ) -> list[str]:
        """A text of each item, group by group."""
        chosen = [valor_items.pick(one, groups) for one in media]
        said = [""] * len(media)
        for group in dict.fromkeys(chosen):
            places = [place for place, one in enumerate(chosen) if one == group]
            for first in range(0, len(places), self.batch_size):
                part = places[first : first + self.batch_size]
                arrays = _stacked([self.prepare(group, media[place]) for place in part])
                asked = None if prompts is None else prompts[part]
                for place, text in zip(part, self.write(arrays, decoding, asked), strict=True):
                    said[place] = text
        return said

    def _questions(self, texts: Sequence[str]) -> np.ndarray:
        spec = self.question_spec
        try:
            lengths = self.vocabulary.lengths(texts, spec.clean)
        except errors.DataError as error:
            raise error.renamed(error.path.replace("text", "question", 1)) from error
        ids = self.vocabulary.question(texts, spec, prompted=self.config.task_prompts)
        self._tell_of_cut("question", lengths, spec)
        return ids

    def _text(self, inside: Sequence[int] | np.ndarray = ()) -> text_spec.TextSpec:
        """The spec of texts that hold a prompt inside."""
        spec = specs.of_text(self.specs)
        room = self.config.text.context - len(inside)
        return dataclasses.replace(spec, context=min(spec.context, room))

    def _tell_of_cut(self, what: str, lengths: Sequence[int], spec: text_spec.TextSpec) -> None:
        room = spec.context - wordpiece.SPECIAL_TOKENS
        for place, length in enumerate(lengths):
            if length > room:
                warnings.warn(
                    errors.DataWarning(
                        f"{what} {place}", f"has {length} tokens, of which {room} are read"
                    ),
                    stacklevel=3,
                )

    def _read(self, texts: Sequence[str]) -> Iterator[tuple[int, Side]]:
        """Texts as sides, some at a time: how many of them count, and all."""
        spec = self._text()
        ids = self.vocabulary.tokenize(texts, spec)
        self._tell_of_cut("text", self.vocabulary.lengths(texts, spec.clean), spec)
        prompt = self.vocabulary.prompt("text") if self.config.task_prompts else None
        for first in range(0, len(ids), TEXTS):
            part = ids[first : first + TEXTS]
            yield len(part), self._programs.read(self._params, _padded(part, TEXTS), prompt)

    def _look(self, media: Sequence[Item], group: str) -> Iterator[tuple[int, tuple[Side, ...]]]:
        """Items as sides, some at a time."""
        for first in range(0, len(media), self.batch_size):
            part = [self.prepare(group, one) for one in media[first : first + self.batch_size]]
            arrays = {role: _padded(x, self.batch_size) for role, x in _stacked(part).items()}
            yield len(part), self._programs.look(self._params, arrays)


def _stacked(rows: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {role: np.stack([row[role] for row in rows]) for role in rows[0]}


def _padded(array: np.ndarray, size: int) -> np.ndarray:
    """[b, …] -> [size, …], the first one again."""
    return np.concatenate([array, np.repeat(array[:1], size - len(array), axis=0)])

"""What a model makes of vectors that it gave: cosines, logits, probabilities, one from several."""

import abc
import functools
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lb_jax.core import errors
from lb_jax.core.modalities import TEXT
from lb_jax.evaluation import calibrations
from lb_jax.evaluation.metrics.calibration import Calibration
from lb_jax.inference import probability, unit_vectors
from lb_jax.models import families


class Comparing(abc.ABC):
    """The part of an `encoder.Encoder` that takes vectors."""

    source: str

    @property
    def family(self) -> str:
        """What its vectors compare with, by name: a row of `families.FAMILIES`, or "MMV"."""
        return families.LANGUAGEBIND.name

    @property
    def space(self) -> str | None:
        """Where its vectors lie, of a model that has several spaces; None of others."""
        return None

    @property
    def output_scale(self) -> dict[str, float]:
        """What the original multiplies vectors of length 1 by; empty where it leaves them so."""
        return {}

    @property
    @abc.abstractmethod
    def modalities(self) -> tuple[str, ...]:
        """Modalities besides text, sorted."""

    @property
    @abc.abstractmethod
    def logit_scale(self) -> dict[str, float]:
        """Log of what multiplies the cosine of a modality and a text, by modality."""

    @property
    @abc.abstractmethod
    def folder(self) -> Path | None:
        """The checkpoint of this package that it was read from as it is; None for other weights."""

    @property
    @abc.abstractmethod
    def stated_digest(self) -> str:
        """Hash of the model as its checkpoint states it."""

    @abc.abstractmethod
    def _check(self, modality: str, space: str | None = None) -> None:
        """Raises `ConfigError` for what the model does not embed, or not in that space."""

    def _require_comparable(self, what: str, **rows: np.ndarray) -> None:
        """Raises `ConfigError` for vectors that say nothing of each other, or not to this model."""
        unit_vectors.require_family(what, self.family, **rows)

    def similarity(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Cosine of every pair of unit vectors: [n, e] and [m, e] -> [n, m].

        Raises:
          ConfigError: for arrays that are not [n, e] and [m, e], and vectors of another family.
        """
        self._require_comparable("similarity", a=a, b=b)
        return unit_vectors.similarity(a, b)

    def logits(
        self, modality: str, a: np.ndarray, text: np.ndarray, other: str = TEXT
    ) -> np.ndarray:
        """Cosine times the modality's inverse temperature, once: what training's softmax saw.

        Args:
          modality: of the rows of `a`, unit vectors [n, e].
          a: the vectors.
          text: unit vectors of texts, [m, e].
          other: what the rows of `text` are of instead, of a model with temperatures of its own for
            every output (`output_scale`); the product of both is then the factor.

        Raises:
          ConfigError: for "text" as the first, another second where temperatures are those of
            modalities with text, and vectors of another family.
        """
        self._check(modality)
        self._check(other)
        if modality == TEXT or (other != TEXT and not self.output_scale):
            found = modality if other == TEXT else f"{modality} with {other}"
            raise errors.ConfigError(
                f"logits: temperatures belong to {', '.join(self.modalities)}, not to {found}; "
                "name the modality of the first vectors, and give texts second."
            )
        cosines = self.similarity(a, text)
        if other == TEXT:
            return cosines * np.exp(np.float32(self.logit_scale[modality]))
        scales = (self.output_scale.get(name, 1.0) for name in (modality, other))
        return cosines * np.float32(math.prod(scales))

    @functools.cached_property
    def calibration(self) -> calibrations.Calibrations:
        """The curves from similarity to probability that lie beside the weights.

        Raises:
          ConfigError: when there are none, saying which command fits them.
          CheckpointError: when they are damaged, or of other weights.
        """
        return probability.read(self.folder, self.source, self.stated_digest)

    def match_probability(
        self,
        modality: str,
        a: np.ndarray,
        b: np.ndarray,
        other: str = TEXT,
        *,
        prior: float = 0.5,
    ) -> np.ndarray:
        """How likely pairs of vectors belong together: [n, e] and [m, e] -> float64 [n, m].

        It is the probability of a pair drawn so that a share `prior` of pairs match. With the usual
        one half, 0.9 means: of such scores, nine come from an item with its own text for each one
        that comes from an item with the text of another. Where one of a thousand candidates is the
        right one, give `prior=1e-3`. It holds for data like those the curve was fitted to
        (`calibration.data`); the error on held-out items is in `calibration.pairs`.

        Args:
          modality: of the rows of `a`, unit vectors.
          a: [n, e].
          b: [m, e], unit vectors of `other`.
          other: another modality, or "text".
          prior: share of the pairs that match, above 0 and below 1.

        Raises:
          ConfigError: without a calibration of the pair, for a prior out of range, for arrays that
            are not unit vectors of one length, and vectors of another family or space.
          CheckpointError: for a calibration that is damaged or of other weights.
        """
        self._require_comparable("match_probability", a=a, b=b)
        unit_vectors.require_space("match_probability", self.space, a=a, b=b)
        return probability.match(self._curve(modality, other), a, b, prior)

    def threshold(self, modality: str, other: str = TEXT, *, prior: float = 0.5) -> float:
        """The similarity at which a pair is as likely to match as not.

        Raises:
          ConfigError: as `match_probability`.
          CheckpointError: as `match_probability`.
        """
        return self._curve(modality, other).threshold(prior)

    def _curve(self, modality: str, other: str) -> Calibration:
        self._check(modality)
        self._check(other)
        return probability.curve(self.calibration, modality, other)

    def fuse(
        self, vectors: Mapping[str, np.ndarray], weights: Mapping[str, float] | None = None
    ) -> np.ndarray:
        """One vector from whatever is there: the weighted mean of unit vectors, made unit again.

        Args:
          vectors: by modality (text allowed), each [n, e].
          weights: by modality; all equal when None.

        Raises:
          ConfigError: for no vectors, different numbers of them, a weight missing, numbers that are
            not finite, a mean of length 0, which has no direction, or vectors of another family.
        """
        self._require_comparable("fuse", **vectors)
        fused = unit_vectors.fuse(vectors, weights)
        return unit_vectors.Vectors.of(
            fused, self.family, unit_vectors.common_space(*vectors.values())
        )

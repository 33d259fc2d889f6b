"""What an MMV run is told beside the settings of every run: `TrainConfig.mmv`.

Plain values alone, so that a lab sheet is read before jax is loaded.
"""

import dataclasses

GRAPHS = ("fac_relu", "fac", "fac_bnrelu", "disjoint", "shared")
POSITIVES = ("once", "twice", "symmetric")
CORPUS = "corpus"
TILE = 1024  # items and bags at a time


@dataclasses.dataclass(frozen=True)
class MmvRun:
    """What MMV learns from films, and how it reads what is said in them (MMV spec 2 to 4).

    Attributes:
      graph: of the spaces, a row of `models/mmv_architectures.py` (`GRAPHS`); "fac_relu" is the
        published one.
      audio_weight, text_weight: of the terms that compare videos with sounds and with narrations; 0
        leaves the term and its tower out.
      positives: how often an item's own pairs stand in the denominator, a row of
        `objectives/mil_nce.py` (`POSITIVES`); "once" is MMV's.
      candidates: K, narrations nearest in time that are the positives of a clip.
      vocabulary: file of words, one a line, or its folder; empty takes that beside `init_from`.
        "corpus" takes the most frequent words of all narrations of the run.
      word_vectors: file of word2vec, binary or as text, that the table of words starts from; empty
        draws it, or takes that of `init_from`.
      needs: modalities without which a film is of no use: it goes to the quarantine.
      tile: clips and bags that are compared at a time.
    """

    graph: str = "fac_relu"
    audio_weight: float = 1.0
    text_weight: float = 1.0
    positives: str = "once"
    candidates: int = 5
    vocabulary: str = ""
    word_vectors: str = ""
    needs: tuple[str, ...] = ("audio",)
    tile: int = TILE

    @property
    def weights(self) -> dict[str, float]:
        """Modality -> weight of the term that compares videos with it, of those there are."""
        each = {"audio": self.audio_weight, "text": self.text_weight}
        return {name: weight for name, weight in each.items() if weight}

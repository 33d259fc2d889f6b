"""Emergent retrieval: pairs of modalities never trained together, joined by text (spec 7.3)."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from lb_jax.evaluation.metrics import recall, scoring


def score(
    embeddings: Mapping[str, np.ndarray], ids: Mapping[str, Sequence[str]]
) -> dict[str, dict]:
    """Retrieves each modality from each other one.

    Args:
      embeddings: modality -> unit rows `[n, e]`.
      ids: modality -> the item of each row. A pair is scored on the items that have both; pairs
        that share fewer than two are left out.

    Returns:
      `{"audio->image": {"R@1", …, "mean_rank", "chance_R@1", "times_chance", "n"}}` for every
      ordered pair.
    """
    row = {name: {id_: i for i, id_ in enumerate(rows)} for name, rows in ids.items()}
    tables = {}
    for query, target in itertools.permutations(embeddings, 2):
        both = [id_ for id_ in ids[query] if id_ in row[target]]
        if len(both) < 2:
            continue
        similarity = scoring.cosine(
            embeddings[query][[row[query][id_] for id_ in both]],
            embeddings[target][[row[target][id_] for id_ in both]],
        )
        table = recall.retrieval(similarity)
        tables[f"{query}->{target}"] = table | {
            "chance_R@1": 1 / len(both),
            "times_chance": table["R@1"] * len(both),
            "n": len(both),
        }
    return tables

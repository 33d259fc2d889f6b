"""Our models in MTEB (embeddings-benchmark/mteb 2): text, image, audio and video tasks.

    pip install 'lb_jax[mteb]'

    import lb_jax
    import mteb
    from lb_jax.inference.mteb import Encoder

    encoder = Encoder(lb_jax.load("build/demo/checkpoint"), "me/demo")
    result = mteb.evaluate(encoder, mteb.get_tasks(["MSVDT2VRetrieval"]))

Files of a data set come to the model as they are, undecoded: its own preprocessing reads them, the
same file gives the same vector as `Model.embed`, and torchcodec and torchaudio are not needed.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from lb_jax.core import errors
from lb_jax.core.modalities import TEXT
from lb_jax.inference import encoder
from lb_jax.media import specs

try:
    import datasets
    from mteb.models import abs_encoder, model_meta
except ImportError as error:
    raise errors.ConfigError(
        f"MTEB cannot be imported ({error}); install it with `pip install 'lb_jax[mteb]'`."
    ) from error

# Kinds of input that MTEB knows, and how its data sets hand out their files.
FILES = {
    TEXT: None,
    "image": datasets.Image(decode=False),
    "audio": datasets.Audio(decode=False),
    "video": datasets.Video(decode=False),
}
ROWS = 32  # that are embedded at a time
NO_WORDS = "."  # stands for the empty documents that some text tasks hold


class Encoder(abs_encoder.AbsEncoder):
    """A model as MTEB calls it.

    Inputs of several kinds, such as a picture with a text, become one vector by `Model.fuse`.
    Instructions of a task are part of its texts where MTEB puts them there; none are added.

    Args:
      model: what `lb_jax.load` returned.
      name: "organization/model", under which MTEB files the results.
      license: of the weights as MTEB spells it, such as "mit", or a URL; None where not known.
      languages: of the texts, as "eng-Latn".

    Attributes:
      model: the model.
      mteb_model_meta: what MTEB is told about it; the revision is the start of `Model.digest`.

    Raises:
      ConfigError: for a name that is not of that form.
    """

    def __init__(
        self,
        model: encoder.Encoder,
        name: str,
        *,
        license: str | None = None,
        languages: Sequence[str] = ("eng-Latn",),
    ):
        if [bool(part) for part in name.split("/")] != [True, True]:
            raise errors.ConfigError(
                f"name is {name!r}; MTEB files results under 'organization/model'."
            )
        self.model = model
        self.mteb_model_meta = model_meta.ModelMeta(
            loader=None,
            name=name,
            revision=model.digest[:12],
            release_date=None,
            languages=list(languages),
            n_parameters=None,
            memory_usage_mb=None,
            max_tokens=specs.of_text(model.specs).context,
            embed_dim=model.width,
            license=license,
            open_weights=None,
            public_training_code=None,
            public_training_data=None,
            framework=["JAX"],
            similarity_fn_name=model_meta.ScoringFunction.COSINE,
            use_instructions=False,
            training_datasets=None,
            modalities=[kind for kind in FILES if kind in model.inputs],
        )

    def encode(self, inputs: Any, **told: Any) -> np.ndarray:
        """Embeds what a loader of MTEB gives.

        Args:
          inputs: a torch `DataLoader`; of a `datasets.Dataset` the rows are taken from that.
          **told: the task, its split, the kind of prompt and the like; no vector depends on them.

        Returns:
          float32 [n, e], unit norm, in the order of the rows.

        Raises:
          ConfigError: for rows of no known kind, or of one that the model does not have.
          DataError: for a file that cannot be read.
        """
        vectors = [self._embed(batch) for batch in _batches(inputs)]
        empty = np.zeros((0, self.model.width), np.float32)
        return np.concatenate([empty, *vectors])

    def _embed(self, batch: Mapping[str, Sequence[Any]]) -> np.ndarray:
        kinds = [kind for kind in FILES if kind in batch]
        if not kinds:
            raise errors.ConfigError(
                f"MTEB gives rows of {', '.join(batch)}; expected one of {', '.join(FILES)}."
            )
        vectors = {
            kind: self.model.embed(kind, [_item(kind, one) for one in batch[kind]])
            for kind in kinds
        }
        return self.model.fuse(vectors) if len(vectors) > 1 else vectors[kinds[0]]


def _batches(inputs: Any) -> Iterator[Mapping[str, Sequence[Any]]]:
    """The rows of a loader by column, as many at a time as the model takes."""
    rows = inputs.dataset
    if not isinstance(rows, datasets.Dataset):
        yield from inputs
        return
    for kind, feature in FILES.items():
        if feature is not None and isinstance(rows.features.get(kind), type(feature)):
            rows = rows.cast_column(kind, feature)
    yield from rows.iter(ROWS)


def _item(kind: str, value: Any) -> Any:
    """What `Model.embed` takes for what MTEB gives."""
    match value:
        case str() if kind == TEXT:
            return value if value.strip() else NO_WORDS
        case {"array": samples, "sampling_rate": rate_hz}:
            return np.asarray(samples, np.float32), int(rate_hz)
        case {"bytes": bytes() as content}:
            return content
        case {"path": str() as path}:
            return path
        case _ if kind == "video" and np.ndim(value) == 4:  # frames [t, c, h, w] from a collator
            return np.moveaxis(np.asarray(value), 1, -1)
        case _:
            return value

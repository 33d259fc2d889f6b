"""What a training run is told, as one dataclass; a lab sheet in `configs/` is an instance of it.

`as_config_dict` gives the `ml_collections.ConfigDict` that `--config.a.b=value` overrides;
`from_config_dict` reads it back, naming unknown keys.
"""

import dataclasses
import functools
import operator
import re
from collections.abc import Container, Iterable, Mapping
from typing import Any, TypeVar

import ml_collections

from lb_jax.core import config as config_lib
from lb_jax.core import errors, paths
from lb_jax.core.modalities import TEXT
from lb_jax.feed.epochs import LastBatch
from lb_jax.models.lora import LoraConfig
from lb_jax.training import mmv_config, valor_config
from lb_jax.training.mmv_config import MmvRun
from lb_jax.training.valor_config import ValorRun

T = TypeVar("T")
ITEMS = "items"  # samples of several modalities, as `feed.items` calls them


@dataclasses.dataclass(frozen=True)
class ModalityRecipe:
    """How one modality is trained.

    Attributes:
      text_kind: caption kind (`raw`, `mplug`, `polish_mplug`, `sound_mplug`, `ofa`, `mix`); empty
        takes the modality's usual one.
      anchor: what it is bound to: its captions, or the item's file of another modality, whose
        tower is then part of the model; ImageBind binds to "image" and "video".
      patch_dropout: share of the patches dropped in training.
      drop_path: share of the items that training leaves out the last layer for; less in those
        before it, see `layers.drop_path`.
      head_dropout: share of the features before the projection that training drops.
      lora: low-rank factors, or None. The layers that carry them are the modality's usual ones
        unless `lora.targets` says otherwise.
      temporal: attention over time in every block.
      tube_size: frames per patch; 0 embeds frames one by one.
      preprocess: fields of the modality's preprocessing spec that differ from the default preset.
      batch_size: items per step; 0 takes the run's.
      temperature: that it starts from; 0 takes the run's.
    """

    text_kind: str = ""
    anchor: str = TEXT
    patch_dropout: float = 0.0
    drop_path: float = 0.0
    head_dropout: float = 0.0
    lora: LoraConfig | None = None
    temporal: bool = False
    tube_size: int = 0
    preprocess: dict[str, Any] = dataclasses.field(default_factory=dict)
    batch_size: int = 0
    temperature: float = 0.0


@dataclasses.dataclass(frozen=True)
class ParaphraseConfig:
    """Captions of two kinds of the same item bound to each other, for a text tower from nothing.

    A text tower that only meets pictures forgets every word that they do not show, and is then of
    no use to the sensors bound to it later; a published text tower needs none of this.

    Attributes:
      kinds: the two caption kinds.
      batch_size: pairs per step.
    """

    kinds: tuple[str, str] = ("polish_mplug", "mplug")
    batch_size: int = 128


@dataclasses.dataclass(frozen=True)
class SourceConfig:
    """One corpus, see docs/data.md.

    Attributes:
      path: VIDAL annotation, manifest, folder or shards.
      root: folder the media paths in it are relative to; empty takes the corpus' own folder.
      columns: for manifests: modality, caption kind or `id` -> name of the column that holds it.
      modality: the only one to take from here, and what its files are where it does not say; empty
        takes all it carries.
      weight: share of the samples taken from here, against the other corpora of a modality.
      narrations: what is said in its films, for a run of MMV: a JSON of recognised speech or a
        folder of subtitles; empty takes what the corpus itself names.
    """

    path: str = ""
    root: str = ""
    columns: dict[str, str] = dataclasses.field(default_factory=dict)
    modality: str = ""
    weight: float = 1.0
    narrations: str = ""


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Where the samples are.

    Attributes:
      sources: corpora by a name of your choice; a modality draws from all that carry it.
      cache: "none", or "memory" to keep every decoded file (a corpus that fits into memory is then
        decoded once).
      text_cache: folder that keeps the embeddings of all captions of a frozen text tower, made when
        it is empty; no folder runs the tower in every step.
      threads: that decode in each process.
      workers: processes that decode; 0 decodes in the process that trains.
      max_bad_rate: share of unusable samples above which the run stops.
      last_batch: what becomes of the rows of an epoch that do not fill a batch: "continue" fills it
        from the next epoch, "drop" leaves them out.
    """

    sources: dict[str, SourceConfig] = dataclasses.field(
        default_factory=lambda: {"main": SourceConfig()}
    )
    cache: str = "none"
    text_cache: str = ""
    threads: int = 4
    workers: int = 0
    max_bad_rate: float = 0.05
    last_batch: str = LastBatch.CONTINUE.value


@dataclasses.dataclass(frozen=True)
class OptimConfig:
    """AdamW and its schedule. Defaults are the published ones (LanguageBind spec 6.2, 6.3).

    Attributes:
      lr: highest learning rate.
      lr_factors: `(path regex, factor)` rules, first match wins, for parameters that learn slower
        or faster; none gives all the same rate. The original's `coef_lr` was meant to be such a
        factor and has no effect there (spec 3.3).
      clip_norm: largest global gradient norm; 0 clips nothing.
      init_temperature: what every modality starts from.
    """

    lr: float = 1e-4
    lr_factors: tuple[tuple[str, float], ...] = ()
    warmup_steps: int = 2000
    weight_decay: float = 0.2
    b1: float = 0.9
    b2: float = 0.98
    eps: float = 1e-6
    clip_norm: float = 0.0
    init_temperature: float = 0.07


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    """Devices per mesh axis; -1 takes what is left."""

    data: int = -1
    fsdp: int = 1
    tensor: int = 1


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """What binds a modality to its texts.

    Attributes:
      kind: "infonce", the published symmetric one, or "sigmoid" (SigLIP, arXiv 2303.15343).
      mask_duplicates: items of a batch that share a caption are no negatives of each other.
      tile: rows and columns of the similarity matrix that a device holds at a time.
    """

    kind: str = "infonce"
    mask_duplicates: bool = False
    tile: int = 1024


@dataclasses.dataclass(frozen=True)
class ProbeConfig:
    """Figures taken now and then on a fixed set of items, prepared as for inference.

    Attributes:
      path: corpus to take them from; empty takes no figures.
      root, columns, modality: of the corpus, see `SourceConfig`; a run of one modality need not
        name it.
      size: items of each modality, the first ones.
      every: steps.
    """

    path: str = ""
    root: str = ""
    columns: dict[str, str] = dataclasses.field(default_factory=dict)
    modality: str = ""
    size: int = 256
    every: int = 500


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """One run.

    Attributes:
      arch: size of the towers, a row of `models/architectures.py`; of a VALOR run one of
        `models/valor_architectures.py`, of MMV's one of `models/mmv_architectures.py`.
      init_from: what to start from: a checkpoint or work directory, or published weights (folder,
        file or hub name, see docs/weights.md); empty draws everything at random.
      modalities: what is trained, each against its anchor, which is text unless it says
        otherwise; of a VALOR or MMV run what an item has.
      beside: modalities that the model has beside those that are trained, with fields of their
        preprocessing; what others are bound to is among them in any case.
      trainable: `(path regex, bool)` rules, first match wins; what is not trainable has no gradient
        and no optimiser state.
      batch_size: items per modality and step, over all devices; a modality may have its own.
      paraphrase: captions bound to captions as well, or None.
      text_length: tokens a caption is padded or cut to; causal attention makes the result
        independent of padding.
      dtype: compute dtype, "auto" for float32 on CPU and bfloat16 elsewhere; trained parameters and
        losses are float32 in any case.
      frozen_dtype: dtype that frozen parameters are held in.
      remat: what the backward pass computes again to save memory, a row of `models/stack.py`.
      attention: a row of `models/layers.py`, "auto" for what is fast on the machine; "cudnn" is for
        GPUs in half precision.
      accumulate: parts that a batch goes through the towers in, one after the other; the gradient
        is that of the whole batch.
      max_skipped: steps whose loss or gradient is not finite that a run survives; they are skipped,
        and their batches written to the work directory.
      loggers: where metrics go besides `metrics.jsonl`, rows of `training/loggers.py`.
      log_every, save_every: steps between metric rows and between saved states.
      keep: saved states kept.
      valor: makes the run one of VALOR, see `families`; without it and `mmv` it is LanguageBind's.
      mmv: makes it one of MMV.
    """

    arch: str
    modalities: dict[str, ModalityRecipe]
    trainable: tuple[tuple[str, bool], ...]
    steps: int
    batch_size: int
    init_from: str = ""
    beside: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    paraphrase: ParaphraseConfig | None = None
    text_length: int = 77
    seed: int = 0
    dtype: str = "auto"
    frozen_dtype: str = "float32"
    remat: str = "none"
    attention: str = "auto"
    accumulate: int = 1
    max_skipped: int = 10
    loggers: tuple[str, ...] = ()
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    loss: LossConfig = LossConfig()
    optim: OptimConfig = OptimConfig()
    mesh: MeshConfig = MeshConfig()
    probe: ProbeConfig = dataclasses.field(default_factory=ProbeConfig)
    log_every: int = 20
    save_every: int = 500
    keep: int = 2
    valor: ValorRun | None = dataclasses.field(default=None, metadata=config_lib.OPTIONAL)
    mmv: MmvRun | None = dataclasses.field(default=None, metadata=config_lib.OPTIONAL)

    @property
    def batch_sizes(self) -> dict[str, int]:
        """Items per step of every modality, and of caption pairs under `text`.

        Items of VALOR and MMV have all their modalities, and come under `items`.
        """
        if self.valor or self.mmv:
            return {ITEMS: self.batch_size}
        sizes = {name: one.batch_size or self.batch_size for name, one in self.modalities.items()}
        return sizes | ({TEXT: self.paraphrase.batch_size} if self.paraphrase else {})


# May change between the start of a run and its resumption: they alter speed, not results (except
# that `accumulate` draws LoRA's dropout anew).
FREE = ("mesh", "data.threads", "data.workers", "data.cache", "data.text_cache")
FREE += ("remat", "attention", "accumulate", "loss.tile", "max_skipped", "loggers", "probe")
FREE += ("valor.grouping.tile", "mmv.tile")
FREE += ("log_every", "save_every", "keep")


def as_config_dict(cfg: TrainConfig) -> ml_collections.ConfigDict:
    """The run as a locked ConfigDict with every field present, each open to an override."""
    return ml_collections.ConfigDict(_with_tuples(config_lib.to_dict(cfg)))


def _with_tuples(value: Any) -> Any:
    """Lists as tuples, which alone the command line can replace."""
    if isinstance(value, Mapping):
        return {key: _with_tuples(item) for key, item in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value


def chosen(table: Mapping[str, T], argument: str, sheet: str) -> T:
    """The row of a sheet's table that `--config=sheet.py:ARGUMENT` names.

    Raises:
      ConfigError: for none or an unknown one, with the nearest.
    """
    if argument not in table:
        found = f"not {argument!r}.{errors.nearest(argument, table)}" if argument else "got none."
        raise errors.ConfigError(
            f"{sheet} takes one of {', '.join(table)} after a colon, as in "
            f"--config={sheet}:{next(iter(table))}; {found}"
        )
    return table[argument]


def from_config_dict(config: Mapping[str, Any]) -> TrainConfig:
    """Inverse of `as_config_dict`, also of what JSON made of it.

    Raises:
      ConfigError: for an unknown or missing key, or a value out of range.
    """
    values = config.to_dict() if isinstance(config, ml_collections.ConfigDict) else config
    cfg = config_lib.from_dict(TrainConfig, values, "config.")
    for path, value in paths.flatten(config_lib.to_dict(cfg)).items():
        for pattern, holds, text in _RANGES:
            if re.fullmatch(pattern, path) and not holds(value):
                name = path.replace("/", ".")
                raise errors.ConfigError(f"config.{name} is {value!r}; it must be {text}.")
    if not cfg.steps and not (cfg.valor and cfg.valor.epochs):
        raise errors.ConfigError("config.steps is 0; it must be at least 1.")
    alone = [name for name, size in cfg.batch_sizes.items() if size < 2]
    contrasts = cfg.valor.grouping.align if cfg.valor else cfg.loss.kind == "infonce"
    if alone and contrasts:
        raise errors.ConfigError(
            f"a batch of one {alone[0]} has nothing to be told from: its loss is 0 whatever the "
            "model; take config.batch_size=2 or more."
        )
    return cfg


def require_sources(cfg: TrainConfig) -> None:
    """Checks that every corpus has a path, which a run needs and a plan of one does not.

    Raises:
      ConfigError: naming the first that has none.
    """
    for name, source in cfg.data.sources.items():
        if not source.path:
            raise errors.ConfigError(
                f"config.data.sources.{name}.path is empty; give a corpus: "
                f"--config.data.sources.{name}.path=FILE."
            )


def require_default(
    system: str, changed: Mapping[str, Any], modalities: Mapping[str, ModalityRecipe]
) -> None:
    """Checks that settings which a system has no use for are as they are by default.

    Args:
      system: name of it.
      changed: setting -> whether it is another than the default.
      modalities: of the run, whose recipes may have a preprocessing alone.

    Raises:
      ConfigError: naming those that are changed.
    """
    given = [name for name, is_changed in changed.items() if is_changed]
    for name, one in modalities.items():
        if one != ModalityRecipe(preprocess=one.preprocess):
            given.append(f"modalities.{name}")
    if given:
        raise errors.ConfigError(
            f"{', '.join(f'config.{name}' for name in given)}: {system} has no use for it; leave "
            "it as it is by default (of a modality only preprocess counts)."
        )


def _all_of(known: Container[str], groups: Iterable[str]) -> bool:
    return all(one in known for one in groups)


# Which values a setting takes: path regex, test, and what to say. The first that matches counts.
_RANGES = (
    (
        r"(paraphrase/)?batch_size|log_every|save_every|keep|modalities/[^/]+/lora/rank|"
        r"accumulate|loss/tile|probe/(size|every)|"
        r"valor/(answers|grouping/tile|inference/[^/]+)|mmv/(candidates|tile)",
        lambda x: x >= 1,
        "at least 1",
    ),
    (
        r"steps|seed|max_skipped|optim/(warmup_steps|weight_decay|clip_norm)|"
        r"data/(threads|workers)|modalities/[^/]+/(batch_size|tube_size|temperature)|"
        r"valor/(epochs|grouping/alpha|trained/[^/]+)|mmv/(audio|text)_weight",
        lambda x: x >= 0,
        "0 or more",
    ),
    (
        r"text_length|valor/answer_length",
        lambda x: x >= 3,
        "at least 3: start, one token, end",
    ),
    (
        r"optim/lr_factors",
        lambda rules: all(factor > 0 for _, factor in rules),
        "pairs of a path regex and a factor above 0 (what must not train belongs into "
        "config.trainable)",
    ),
    (r"optim/(lr|eps|init_temperature)|data/sources/[^/]+/weight", lambda x: x > 0, "above 0"),
    (
        r"optim/b[12]|modalities/[^/]+/(patch_dropout|drop_path|head_dropout|lora/dropout)|"
        r"valor/grouping/smoothing",
        lambda x: 0 <= x < 1,
        "from 0 to below 1",
    ),
    (r"mesh/.*", lambda x: x >= 1 or x == -1, "at least 1, or -1 for what is left"),
    (r"data/max_bad_rate|valor/warmup", lambda x: 0 <= x <= 1, "from 0 to 1"),
    *(
        (
            path,
            functools.partial(_all_of, values),
            f"groups of {', '.join(values)}, or none",
        )
        for path, values in (
            (r"valor/grouping/align", valor_config.COMPARED),
            (r"valor/grouping/(caption|answer|mlm)", valor_config.GROUPS),
        )
    ),
    (
        r"data/last_batch",
        lambda x: x in tuple(LastBatch),
        " or ".join(repr(one.value) for one in LastBatch),
    ),
    *(
        (
            path,
            functools.partial(operator.contains, values),
            " or ".join((", ".join(map(repr, values[:-1])), repr(values[-1]))),
        )
        for path, values in (
            (r"data/cache", ("none", "memory")),
            (r"dtype", ("auto", "float32", "bfloat16", "float16")),
            (r"frozen_dtype", ("float32", "bfloat16")),
            (r"remat", ("none", "dots", "full")),
            (r"attention", ("auto", "xla", "cudnn", "head_major")),
            (r"loss/kind", ("infonce", "sigmoid")),
            (r"valor/grouping/way", ("masked", "next", "doubled", valor_config.REWARDED)),
            (r"valor/grouping/mask", ("exclude", "zero")),
            (r"valor/grouping/fusion", ("early", "late")),
            (r"mmv/graph", mmv_config.GRAPHS),
            (r"mmv/positives", mmv_config.POSITIVES),
        )
    ),
)


def difference(a: Mapping[str, Any], b: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Names of the settings in which two runs (plain dicts) differ, those in `FREE` left out."""
    found = []
    for key in sorted({*a, *b}):
        name = f"{prefix}{key}"
        if name in FREE:
            continue
        one, other = a.get(key), b.get(key)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            found += difference(one, other, f"{name}.")
        elif one != other:
            found.append(name)
    return found

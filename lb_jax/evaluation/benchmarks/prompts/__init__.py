"""Class names and prompt templates of the published zero-shot benchmarks (spec 7.2).

    templates.json        kind -> texts with "{}" where the class name goes
    classes/<name>.json   label on disk -> class name in the prompt, in the order of the class index

A label on disk is what a dataset names its class by: a folder, the label of a csv, an ImageNet
WordNet id, an AudioSet mid. The lists are facts, kept letter by letter, misspellings included
("eletric blender running"):

- photo: 80 ImageNet templates of OpenAI CLIP, as in OpenCLIP `zero_shot_metadata.py` (MIT).
- sound: the template of LanguageBind's audio tasks.
- imagenet: ids from timm `imagenet_synsets.txt` (Apache 2.0), names from OpenCLIP
  `zero_shot_metadata.py` (MIT). "missile" and "sunglasses" each name two classes there.
- k400: torchvision `models/_meta.py` (BSD 3-clause). Kinetics itself: CC BY 4.0.
- k600: `lists/kinetics_600_labels.csv` of EZ-CLIP and of Lear, sorted; theirs is in no order.
- nyu_depth, sun_depth: names from LanguageBind `d_cls/zero_shot_metadata.py` (MIT). Folders of
  NYU from its `TRAIN_AND_VALIDATE.md`; labels of SUN RGB-D (`scene.txt`) from PyTorch Multimodal
  `examples/omnivore/data/datasets.py` (BSD 3-clause).
- llvip, flir_v1, flir_v2: names from LanguageBind `t_cls/zero_shot_metadata.py` (MIT), folders
  from `TRAIN_AND_VALIDATE.md`, where LLVIP's "people" lie in "person".
- esc50: names from LanguageBind `a_cls/zero_shot_metadata.py` (MIT), the categories of `esc50.csv`
  from mteb `tasks/zeroshot_classification/zxx/esc50.py` (Apache 2.0). ESC-50 itself: CC BY-NC 3.0.
- vggsound: VGGSound `data/stat.csv` (CC BY 4.0), sorted, as in LanguageBind.
- audioset: AudioSet `class_labels_indices.csv` (CC BY 4.0).
"""

import functools
import importlib.resources
import json
import re

from lb_jax.core import errors

CLASSES = (
    "imagenet",
    "k400",
    "k600",
    "nyu_depth",
    "sun_depth",
    "llvip",
    "flir_v1",
    "flir_v2",
    "esc50",
    "vggsound",
    "audioset",
)


@functools.cache
def _read(file: str) -> dict:
    """One JSON file beside this module."""
    return json.loads(importlib.resources.files(__name__).joinpath(file).read_text("utf-8"))


def templates(kind: str, word: str | None = None) -> tuple[str, ...]:
    """Returns the templates of a kind, each with one "{}" for the class name.

    Args:
      kind: "photo" or "sound".
      word: stands for the word "photo" in every template that has it, such as "video",
        "depth photo" or "thermal infrared photo"; other templates stay as they are.

    Raises:
      errors.ConfigError: there is no such kind.
    """
    table = _read("templates.json")
    if kind not in table:
        raise errors.ConfigError(
            f"no prompt templates {kind!r}; there are {', '.join(table)}."
            f"{errors.nearest(kind, table)}"
        )
    if word is None:
        return tuple(table[kind])
    return tuple(re.sub(r"\bphoto\b", lambda _: word, text) for text in table[kind])


def classes(name: str) -> dict[str, str]:
    """Returns label on disk -> class name in the prompt, in the order of the class index.

    Raises:
      errors.ConfigError: there is no such list in `CLASSES`.
    """
    if name not in CLASSES:
        raise errors.ConfigError(
            f"no class names {name!r}; there are {', '.join(CLASSES)}."
            f"{errors.nearest(name, CLASSES)}"
        )
    return dict(_read(f"classes/{name}.json"))


def prompts(name: str, kind: str, word: str | None = None) -> dict[str, list[str]]:
    """Returns label on disk -> its texts, one for each template.

    Args:
      name: a list in `CLASSES`.
      kind: as in `templates`.
      word: as in `templates`.

    Raises:
      errors.ConfigError: there is no such list or kind.
    """
    texts = templates(kind, word)
    return {label: [text.format(title) for text in texts] for label, title in classes(name).items()}

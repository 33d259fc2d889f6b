"""A folder of still pictures that make up a clip."""

import os
from pathlib import Path

from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES
from lb_jax.core.words import counted
from lb_jax.media import given


def of_folder(media: given.Media) -> given.Media:
    """The pictures of a folder in the order of their names; anything else as it is.

    Hidden files and folders inside are left out.

    Raises:
      errors.DataError: the folder cannot be read, or holds no picture.
    """
    if not isinstance(media, str | os.PathLike) or not os.path.isdir(media):
        return media
    folder, endings = Path(media), MODALITIES["image"].suffixes
    try:
        held = sorted(one for one in os.listdir(folder) if not one.startswith("."))
    except OSError as e:
        raise errors.DataError(
            folder, f"cannot be read ({e.strerror}); expected a folder of pictures"
        ) from e
    pictures = [folder / one for one in held if one.lower().endswith(endings)]
    if not pictures:
        raise errors.DataError(
            folder,
            f"is a folder of {counted(len(held), 'file')} and no picture; expected the frames of "
            f"a clip, or a file ({', '.join(endings[:3])}, …)",
        )
    return pictures

"""ICC colour profiles of still pictures: their numbers as those of sRGB, as viewers show them."""

import functools
import io
import warnings

import numpy as np
from PIL import Image, ImageCms

from lb_jax.core import errors

# What LittleCMS gives of a profile that is sRGB itself, in steps of 8 bits; the many profiles of
# that space differ by no more. Then nothing is done, and a picture stays what it is, bit by bit.
SAME = 2
# Colour space of a profile -> mode that Pillow gives its pictures.
MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
# What Pillow raises for damaged profiles.
PROFILE_ERRORS = (ImageCms.PyCMSError, OSError, ValueError, TypeError)


def to_srgb(picture: Image.Image, name: str) -> Image.Image:
    """Applies the profile that a picture carries, perceptual intent.

    A profile that is damaged or of another kind of colours than the picture is left out with a
    warning, as viewers leave it out.

    Args:
      picture: any mode that has a form in RGB, without transparency.
      name: how warnings call it.

    Returns:
      The picture in sRGB; the same object where it has no profile, or that of sRGB.
    """
    profile = picture.info.get("icc_profile")
    if not profile:
        return picture
    space = _space(profile)
    mode = MODES.get(space)
    fits = (
        (mode == "RGB" and picture.mode != "CMYK")  # shades of grey are colours, too
        or (mode == "L" and picture.mode in ("1", "L"))
        or mode == picture.mode
    )
    if not fits:
        found = f"for {space} colours" if space else "that is damaged"
        return _left_out(picture, name, f"{found}, and is in mode {picture.mode}")
    try:
        transform = _transform(profile, mode)
    except PROFILE_ERRORS as e:
        return _left_out(picture, name, f"that cannot be applied ({e})")
    if transform is None:
        return picture
    return transform.apply(picture if picture.mode == mode else picture.convert(mode))


def _left_out(picture: Image.Image, name: str, found: str) -> Image.Image:
    reason = f"has a colour profile {found}; its numbers are taken as sRGB. Export it as sRGB"
    warnings.warn(errors.DataWarning(name, " ".join(reason.split())), stacklevel=2)
    return picture


def _space(profile: bytes) -> str:
    """Which kind of colours a profile is for; "" where it is no profile (ICC.1, 7.2)."""
    return profile[16:20].decode("latin-1").strip() if profile[36:40] == b"acsp" else ""


@functools.lru_cache(maxsize=16)  # a folder of pictures has few profiles
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Makes the transform to sRGB; None where it would change nothing."""
    transform = ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(profile)), _srgb(), mode, "RGB"
    )
    if mode == "CMYK":
        return transform
    probe = _probe().convert(mode)
    change = np.abs(
        np.asarray(transform.apply(probe), np.int16) - np.asarray(probe.convert("RGB"), np.int16)
    )
    return transform if change.max() > SAME else None


@functools.cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


@functools.cache
def _probe() -> Image.Image:
    """Every grey, and colours of all kinds."""
    steps = np.arange(0, 256, 17, np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    greys = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(1, -1, 3)
    return Image.fromarray(np.concatenate([colours, greys], 1))

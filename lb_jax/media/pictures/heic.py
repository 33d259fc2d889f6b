"""HEIC pictures (phones), by pillow-heif of the extra `sensors`."""

from typing import BinaryIO

from lb_jax.core import errors

# Brands of ISO 23008-12 whose pictures are HEVC; AVIF has others, and Pillow reads it itself.
BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
FORMAT = "HEIF"  # Pillow's name


def is_heic(file: BinaryIO) -> bool:
    """Whether a file is a HEIC picture, by its first bytes; the file is at its beginning after."""
    file.seek(0)
    head = file.read(64)
    file.seek(0)
    if head[4:8] != b"ftyp" or head[8:12] not in BRANDS:
        return False
    return b"avif" not in head[8 : min(int.from_bytes(head[:4], "big"), 64)]


def require(name: str) -> None:
    """Teaches Pillow the format.

    Raises:
      errors.DataError: pillow-heif is not installed.
    """
    try:
        import pillow_heif
    except ImportError as error:
        raise errors.DataError(
            name,
            "is a HEIC picture, which pillow-heif reads; install it with "
            "`pip install 'lb_jax[sensors]'`, or export the picture as JPEG",
        ) from error
    pillow_heif.register_heif_opener(thumbnails=False)

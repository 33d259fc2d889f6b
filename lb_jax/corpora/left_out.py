"""Files that are left out of what is embedded: why, and how that is told."""

import collections
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lb_jax.core import names
from lb_jax.core.words import counted

# Endings of what is near to media and not decoded, and what to do about it.
NOT_DECODED = {
    "RAW photos, which are not developed; export them as JPEG or TIFF": (
        *(".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".orf", ".rw2", ".raf", ".pef"),
        *(".srw", ".x3f", ".3fr", ".iiq"),
    ),
    "drawings, which are not drawn; export them as PNG": (
        *(".svg", ".eps", ".ps", ".pdf", ".ai", ".psd", ".xcf", ".wmf", ".emf"),
    ),
    "pictures of a form that is not read; export them as PNG": (
        *(".tga", ".ico", ".qoi", ".dds", ".jxl", ".hdr", ".dib", ".pcx", ".fits", ".dcm"),
    ),
    "sequences of a thermal camera; export their pictures as TIFF": (".seq", ".csq", ".ptw"),
    "points in space; render them as depth maps": (".ply", ".pcd", ".las", ".laz", ".e57", ".xyz"),
    "notes, not sound; render them as WAV": (".mid", ".midi", ".mod", ".xm"),
    "lists of parts; give the media that they name": (".m3u", ".m3u8", ".pls", ".mpd"),
    "archives; unpack them first": (".zip", ".tar", ".gz", ".tgz", ".rar", ".7z", ".bz2", ".xz"),
}
UNCLEAR = (
    "grey pictures of more than 8 bits whose values are neither depth in millimetres nor "
    "temperatures in centikelvin; say what they are: --depth-unit if all are depth, --thermal-unit "
    "if all are thermal, and --as 'REGEX=depth' or --as 'REGEX=thermal' for some"
)
NAMELESS = (
    "arrays, which may hold anything; name them or their folder depth, thermal or imu, or say it "
    "by --as 'REGEX=depth'"
)
UNKNOWN = "not among the endings of media"
ENDINGS_TOLD = 8  # of those; the others are told together


def why_unknown(path: Path) -> str:
    """Why a file of an ending that no modality has is left out."""
    ending = path.suffix.lower()
    for why, endings in NOT_DECODED.items():
        if ending in endings:
            return f"{ending}: {why}"
    return f"{ending}: {UNKNOWN}" if ending else "without an ending, which tells what a file is"


def lines(left_out: Mapping[str, Sequence[Path]], closed: Sequence[str | Path] = ()) -> list[str]:
    """A line for each reason: how many files, of which endings, and where one has to look, one.

    Args:
      left_out: reason -> files. Of reasons that are an unknown ending those after the first
        `ENDINGS_TOLD` are one.
      closed: folders that could not be read.
    """
    together: dict[str, list[Path]] = {}
    unknown = [why for why in left_out if why.endswith(UNKNOWN)]
    for why, paths in left_out.items():
        told = f"other endings: {UNKNOWN}" if why in unknown[ENDINGS_TOLD:] else why
        together.setdefault(told, []).extend(paths)
    found = []
    for why, paths in together.items():
        such = f"; such as {names.shown(paths[0])}" if why in (UNCLEAR, NAMELESS) else ""
        endings = "" if why.startswith(".") else _endings(paths)
        found.append(f"{counted(len(paths), 'file')}{endings}: {why}{such}")
    if closed:  # who knows how many files
        folders = counted(len(closed), "folder")
        found.append(
            f"all files in {folders} that cannot be read, such as {names.shown(closed[0])}"
        )
    return found


def named(left_out: Mapping[str, Sequence[Path]]) -> Iterator[str]:
    """A line for each file, in order of their names."""
    pairs = ((path, why) for why, paths in left_out.items() for path in paths)
    for path, why in sorted(pairs):
        yield f"{names.shown(path)}: {why}"


def _endings(paths: Sequence[Path]) -> str:
    """Endings with their numbers, the commonest first; nothing where there are none."""
    counts = collections.Counter(path.suffix.lower() or "no ending" for path in paths)
    if set(counts) == {"no ending"}:
        return ""
    return f" ({', '.join(f'{ending} {count}' for ending, count in counts.most_common())})"

import io

import av
import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.media import clips, depth, image, preprocess, specs, video, windows
from lb_jax.media.sensors import depth_film
from tests.media import media_files

SPEC = specs.DepthSpec(size=32)
Y, X = np.mgrid[:48, :64]
SCENE = (1200 + 4 * Y + 7 * X).astype(np.uint16)  # mm


def film(codec="ffv1", format="matroska", pixels="gray16le", *, maps=None, matrix=None):
    """A film of maps, [n, h, w], at 8 a second; FFmpeg codes the values as they are."""
    maps = np.stack([SCENE + n for n in range(5)]) if maps is None else maps
    file = io.BytesIO()
    with av.open(file, "w", format=format) as out:
        track = out.add_stream(codec, rate=8)
        (track.height, track.width), track.pix_fmt = maps.shape[1:], pixels
        if matrix is not None:
            track.set_display_matrix(matrix)
        if codec == "libx265":
            track.options = {"x265-params": "lossless=1:log-level=none"}
        for n, one in enumerate(maps):
            frame = av.VideoFrame(maps.shape[2], maps.shape[1], pixels)
            plane = frame.planes[0]
            words = np.zeros((plane.height, plane.line_size // 2), np.uint16)
            words[:, : maps.shape[2]] = one
            plane.update(words.astype(">u2" if pixels.endswith("be") else "<u2").tobytes())
            frame.pts = n
            out.mux(track.encode(frame))
        out.mux(track.encode(None))
    return file.getvalue()


def recording(titles):
    """Tracks as the recorder of Azure Kinect writes them: coded by their fourcc `b16g`."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as out:
        tracks = [
            out.add_stream("mjpeg" if title == "COLOR" else "jpeg2000", rate=10) for title in titles
        ]
        for title, track in zip(titles, tracks, strict=True):
            track.width, track.height, track.metadata["title"] = 64, 48, title
            track.pix_fmt = "yuvj420p" if title == "COLOR" else "gray16le"
            track.codec_context.open(strict=False)
        for n in range(3):
            for title, track in zip(titles, tracks, strict=True):
                if title == "COLOR":
                    frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8))
                    frame = frame.reformat(format="yuvj420p")
                    frame.pts = n
                    out.mux(track.encode(frame))
                    continue
                values = SCENE + n if title == "DEPTH" else np.full_like(SCENE, 7)
                packet = av.Packet(values.astype(">u2").tobytes())
                packet.stream, packet.pts, packet.dts, packet.is_keyframe = track, n, n, True
                packet.time_base = track.codec_context.time_base
                out.mux(packet)
    return file.getvalue().replace(b"mjp2", b"b16g")


CODED = [
    ("ffv1", "matroska", "gray16le"),
    ("ffv1", "avi", "gray16le"),
    ("ffv1", "mp4", "gray12le"),
    ("ffv1", "matroska", "gray14le"),
    ("ffv1", "nut", "gray12le"),
    ("png", "mov", "gray16be"),
    ("png", "avi", "gray16be"),
    ("rawvideo", "mov", "gray16be"),  # b16g
    ("tiff", "mov", "gray16le"),
    ("jpegls", "avi", "gray16le"),
    ("libx265", "mp4", "gray12le"),
]


@pytest.mark.parametrize(("codec", "format", "pixels"), CODED)
def test_depth_in_films_is_read_as_it_is_coded(codec, format, pixels):
    data = film(codec, format, pixels)
    expected = (SCENE + 2) * np.float32(0.001)  # the middle one
    np.testing.assert_array_equal(depth.decode(data, SPEC), expected)
    metres = depth.decode(data, specs.DepthSpec(unit_m=0.002))
    np.testing.assert_allclose(metres, 2 * expected, rtol=1e-6)
    for spec in (specs.VideoSpec(), specs.preset("video", "reference")):
        with pytest.raises(errors.DataError, match=rf"holds 1.-bit grey \({pixels}\).*as depth"):
            video.decode(data, spec)


@pytest.mark.parametrize(
    "titles", [("COLOR", "DEPTH", "IR"), ("IR", "DEPTH", "COLOR"), ("DEPTH",), ("IR", "DEPTH")]
)
def test_the_track_of_a_depth_camera_is_found(titles):
    data = recording(titles)
    expected = (SCENE + 1) * np.float32(0.001)
    np.testing.assert_array_equal(depth.decode(data, SPEC), expected)
    if "COLOR" in titles:  # what is shown is the picture
        assert abs(video.decode(data, specs.VideoSpec()).mean() - 90) < 3


def test_maps_lie_as_the_display_matrix_says():
    mirror = [-(1 << 16), 0, 0, 0, 1 << 16, 0, 64 << 16, 0, 1 << 30]
    metres = depth.decode(film(matrix=mirror), SPEC)
    np.testing.assert_array_equal(metres, (SCENE + 2)[:, ::-1] * np.float32(0.001))


def test_a_stretch_of_a_film_gives_its_middle_map(tmp_path):
    path = tmp_path / "depth.mkv"
    path.write_bytes(film())
    clip = clips.Clip(path, 0.375, 0.625)
    np.testing.assert_array_equal(
        clips.decode("depth", clip, SPEC), (SCENE + 4) * np.float32(0.001)
    )
    whole = clips.decode("depth", clips.Clip(path), SPEC)
    np.testing.assert_array_equal(whole, depth.decode(path, SPEC))
    with pytest.raises(errors.DataError, match=r"depth.mkv: has no frame from 3 s"):
        clips.decode("depth", clips.Clip(path, 3, 4), SPEC)
    with pytest.raises(errors.DataError, match=r"depth.mkv: .*unit"):
        clips.decode("depth", clip, specs.DepthSpec(unit_m=1))


def test_windows_of_depth_are_maps_one_after_the_other():
    data = film()
    found = list(windows.windows("depth", data, SPEC, 0.125))
    assert [one.start_s for one in found] == [0, 0.125, 0.25, 0.375, 0.5]
    for n, one in enumerate(found):
        expected = preprocess.preprocess("depth", SCENE + np.uint16(n), SPEC)[0]
        np.testing.assert_array_equal(one.array, expected)


def test_a_film_without_depth_is_refused_as_depth():
    with pytest.raises(errors.DataError, match=r"no depth track \(found: video\), expected grey"):
        depth.decode(media_files.clip(4), SPEC)
    eight = film(pixels="gray16le")
    assert depth_film.is_film(io.BytesIO(eight))
    with pytest.raises(errors.DataError, match="no depth track"):
        depth.decode(media_files.clip(4, "matroska", "ffv1", pixels="gray"), SPEC)


def test_black_and_white_films_of_10_bits_are_films():
    """HEVC knows them; what FFV1 holds of more than 8 bits is a measurement."""
    grey = np.full((3, 48, 64), 600, np.uint16)
    shown = video.decode(film("libx265", "mp4", "gray10le", maps=grey), specs.VideoSpec())
    np.testing.assert_allclose(shown, 600 / 1023 * 255, atol=2)
    with pytest.raises(errors.DataError, match="10-bit grey"):
        video.decode(film("ffv1", "matroska", "gray10le", maps=grey), specs.VideoSpec())


@pytest.mark.parametrize("format", ["PNG", "TIFF", "AVIF", "GIF"])
def test_pictures_are_no_films(format):
    data = media_files.picture(np.zeros((8, 8), np.uint8), format)
    assert not depth_film.is_film(io.BytesIO(data))
    assert image.decode(data, specs.ImageSpec()).shape == (8, 8, 3)

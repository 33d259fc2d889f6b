import fractions
import io
import struct

import av
import numpy as np
import pytest
from PIL import Image

from lb_jax.core import errors
from lb_jax.media import clips, display, image, preprocess, specs, video, windows
from tests.media import media_files

W, H = 32, 16
SPEC = specs.VideoSpec(frames=2, size=16)
STORED = specs.VideoSpec(frames=2, size=16, pixel_aspect="stored", colour="stored")
CONTAINERS = ["mp4", "mov", "matroska"]
# a, b, c, d, tx, ty of x' = a x + c y + tx, y' = b x + d y + ty (ISO/IEC 14496-12, 8.3.2)
MATRICES = {
    "as stored": (1, 0, 0, 1, 0, 0),
    "half turn": (-1, 0, 0, -1, W, H),
    "quarter turn right": (0, 1, -1, 0, H, 0),
    "quarter turn left": (0, -1, 1, 0, 0, W),
    "mirror left-right": (-1, 0, 0, 1, W, 0),
    "mirror top-bottom": (1, 0, 0, -1, 0, H),
    "transpose": (0, 1, 1, 0, 0, 0),
    "transverse": (0, -1, -1, 0, H, W),
}


def film(
    picture=None, format="mp4", codec="libx264", *, matrix=None, aspect=None, pixels="yuv420p"
):
    """Two frames of one picture, [h, w, 3]."""
    picture = _quarters() if picture is None else picture
    file = io.BytesIO()
    with av.open(file, "w", format=format) as out:
        track = out.add_stream(codec, rate=25, options={"crf": "1"} if "264" in codec else {})
        track.height, track.width, track.pix_fmt = *picture.shape[:2], pixels
        if matrix is not None:
            a, b, c, d, x, y = (round(65536 * n) for n in matrix)
            track.set_display_matrix([a, b, 0, c, d, 0, x, y, 1 << 30])
        if aspect is not None:
            track.codec_context.sample_aspect_ratio = aspect
        for n in range(2):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format=pixels)
            frame.pts = n
            out.mux(track.encode(frame))
        out.mux(track.encode(None))
    return file.getvalue()


def _quarters():
    picture = np.full((H, W, 3), 110, np.uint8)
    picture[: H // 2, : W // 2], picture[: H // 2, W // 2 :] = (230, 20, 20), (20, 230, 20)
    picture[H // 2 :, : W // 2] = (20, 20, 230)
    return picture


def _laid_by(matrix, stored):
    """Where the middle of every pixel goes under a matrix."""
    a, b, c, d, tx, ty = matrix
    y, x = np.mgrid[: stored.shape[0], : stored.shape[1]] + 0.5
    to_x, to_y = a * x + c * y + tx, b * x + d * y + ty
    shown = np.zeros((round(to_y.max() + 0.5), round(to_x.max() + 0.5), 3), np.uint8)
    shown[to_y.astype(int), to_x.astype(int)] = stored
    return shown


@pytest.mark.parametrize("format", CONTAINERS)
@pytest.mark.parametrize("name", MATRICES)
def test_frames_lie_as_the_display_matrix_says(name, format):
    matrix = MATRICES[name]
    expected = _laid_by(matrix, video.decode(film(format=format), SPEC)[0])
    data = film(format=format, matrix=matrix)
    for spec in (SPEC, STORED):
        np.testing.assert_array_equal(video.decode(data, spec)[0], expected)
    array = preprocess.transform("video", np.stack([expected] * 2), SPEC)
    window = next(windows.windows("video", data, SPEC, 1.0))
    np.testing.assert_array_equal(window.array, array)


def test_an_image_out_of_a_film_lies_as_its_matrix_says(tmp_path):
    path = tmp_path / "front camera.mp4"
    path.write_bytes(film(matrix=MATRICES["mirror left-right"]))
    stored = video.decode(film(), SPEC)[0]
    found = clips.decode("image", clips.Clip(path), specs.ImageSpec())
    np.testing.assert_array_equal(found, stored[:, ::-1])


@pytest.mark.parametrize("format", CONTAINERS)
def test_the_orientation_that_a_codec_states_holds_up_to_its_next_keyframe(format):
    """Turned to the left by a message at the keyframe (ITU-T H.264, D.2.27)."""
    file, states = io.BytesIO(), "h264_metadata=display_orientation=insert:rotate=90"
    with av.open(io.BytesIO(film())) as source, av.open(file, "w", format=format) as out:
        stream = source.streams.video[0]
        to = out.add_stream_from_template(stream)
        turn = av.bitstream.BitStreamFilterContext(states, stream, to)
        for packet in source.demux(stream):
            for turned in turn.filter(packet if packet.size else None):
                turned.stream = to
                out.mux(turned)
    expected = np.rot90(video.decode(film(), SPEC), axes=(1, 2))
    np.testing.assert_array_equal(video.decode(file.getvalue(), SPEC), expected)


@pytest.mark.parametrize("orientation", [1, 2, 6])
def test_pictures_with_exif_in_a_film_lie_as_it_says(orientation):
    """Cameras write MJPEG so; FFmpeg puts the EXIF data beside each frame."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "maker"
    data = media_files.picture(_quarters(), "JPEG", exif=exif, quality=95, subsampling=0)
    file = io.BytesIO()
    with av.open(file, "w", format="avi") as out:
        track = out.add_stream("mjpeg", rate=25)
        track.height, track.width, track.pix_fmt = H, W, "yuvj420p"
        track.codec_context.open(strict=False)
        for n in range(2):
            packet = av.Packet(data)
            packet.stream, packet.pts, packet.dts, packet.is_keyframe = track, n, n, True
            out.mux(packet)
    expected = image.decode(data, specs.ImageSpec())
    np.testing.assert_allclose(video.decode(file.getvalue(), SPEC)[0], expected, atol=12)


@pytest.mark.parametrize(
    ("matrix", "turn"),
    [
        ((0.9, 0.4, -0.4, 0.9), lambda p: p),  # 24 degrees
        ((0.4, 0.9, -0.9, 0.4), lambda p: np.rot90(p, -1)),  # 66 degrees
        ((0.7, 0.7, -0.7, 0.7), lambda p: p),  # 45 degrees
        ((-3.0, 0, 0, 3.0), lambda p: p[:, ::-1]),  # a mirror that enlarges
        ((0.0, 0, 0, 0), lambda p: p),  # nothing
    ],
)
def test_other_matrices_are_rounded_to_the_nearest_of_eight(matrix, turn):
    picture = media_files.scene()
    (a, b, c, d), whole = matrix, np.eye(3)
    whole[:2, :2] = (a, b), (c, d)
    np.testing.assert_array_equal(display.upright(picture, whole), turn(picture))


def _disc(height, width, aspect):
    """A circle on the screen, where pixels are `aspect` times as wide as high."""
    y, x = np.mgrid[:height, :width]
    inside = ((x - width / 2) * aspect) ** 2 + (y - height / 2) ** 2 < (0.4 * height) ** 2
    return np.where(inside[..., None], 255, 30).astype(np.uint8).repeat(3, -1)


def _sides(clip):
    white = clip[0, ..., 0] > 128
    return np.ptp(np.where(white.any(0))) + 1, np.ptp(np.where(white.any(1))) + 1


@pytest.mark.parametrize(
    ("format", "codec"),
    [
        ("mp4", "libx264"),
        ("mov", "libx264"),
        ("matroska", "libx264"),
        ("avi", "mpeg4"),
        ("mpegts", "libx264"),
        ("mpeg", "mpeg2video"),
    ],
)
def test_pixels_that_are_not_square_are_scaled_to_the_shape_shown(format, codec):
    aspect = fractions.Fraction(64, 45)  # PAL 16:9
    data = film(_disc(144, 180, 64 / 45), format, codec, aspect=aspect)
    assert video.decode(data, SPEC).shape[1:3] == (144, 256)
    wide, high = _sides(video.decode(data, SPEC))
    assert abs(wide - high) <= 2
    assert video.decode(data, STORED).shape[1:3] == (144, 180)
    wide, high = _sides(video.decode(data, STORED))
    assert abs(wide * 64 / 45 - high) <= 2


def test_pixels_that_are_high_are_scaled_as_well():
    data = film(_disc(144, 180, 10 / 11), aspect=fractions.Fraction(10, 11))
    assert video.decode(data, SPEC).shape[1:3] == (158, 180)
    wide, high = _sides(video.decode(data, SPEC))
    assert abs(wide - high) <= 2


@pytest.mark.parametrize("name", ["quarter turn right", "transpose"])
def test_pixels_are_shaped_before_frames_are_turned(name):
    data = film(_disc(144, 180, 64 / 45), matrix=MATRICES[name], aspect=fractions.Fraction(64, 45))
    assert video.decode(data, SPEC).shape[1:3] == (256, 144)
    wide, high = _sides(video.decode(data, SPEC))
    assert abs(wide - high) <= 2


def test_scales_of_the_matrix_that_differ_are_the_shape_of_the_pixels():
    data = film(_disc(144, 180, 1.5), matrix=(1.5, 0, 0, 1, 0, 0))
    assert video.decode(data, SPEC).shape[1:3] == (144, 270)


def test_a_shape_of_pixels_that_cannot_be_is_left_out_and_told():
    data = bytearray(film(aspect=fractions.Fraction(10, 11)))
    at = data.find(b"pasp") + 4
    data[at : at + 8] = struct.pack(">2I", 1, 200)
    with pytest.warns(errors.DataWarning, match=r"pixels of 1:200, beyond 1:8"):
        assert video.decode(bytes(data), SPEC).shape[1:3] == (H, W)


def test_windows_and_images_out_of_films_have_square_pixels(tmp_path):
    path = tmp_path / "pal.mp4"
    path.write_bytes(film(_disc(144, 180, 64 / 45), aspect=fractions.Fraction(64, 45)))
    window = next(windows.windows("video", path, SPEC, 1.0))
    expected = preprocess.preprocess("video", path, SPEC)[0]
    np.testing.assert_array_equal(window.array, expected)
    assert clips.decode("image", clips.Clip(path), specs.ImageSpec()).shape == (144, 256, 3)
    stored = specs.ImageSpec(colour="stored")
    assert clips.decode("image", clips.Clip(path), stored).shape == (144, 180, 3)


@pytest.mark.parametrize(("pixel_aspect", "shown"), [(2.0, "128x32"), (0.5, "64x64")])
def test_frames_too_large_as_shown_are_told_at_that_size(pixel_aspect, shown, monkeypatch):
    frame = av.VideoFrame(64, 32, "rgb24")
    monkeypatch.setattr(display, "MAX_PIXELS", 64 * 64)
    display.Display("a", pixel_aspect).require_size(frame)
    monkeypatch.setattr(display, "MAX_PIXELS", 64 * 64 - 1)
    with pytest.raises(errors.DataError, match=f"frames of {shown} pixels, more than"):
        display.Display("a", pixel_aspect).require_size(frame)

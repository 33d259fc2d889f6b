import io

import av
import numpy as np
import pytest

from lb_jax.media import clips, hdr, specs, video

SPEC, STORED = specs.VideoSpec(frames=1), specs.VideoSpec(frames=1, colour="stored")
PQ, HLG, BT709, BT2020 = 16, 18, 1, 9
# ITU-R BT.2087, equation 8 of its annex: linear BT.2020 to BT.709
TO_BT709 = [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]


def film(signal, transfer, *, primaries=BT2020, matrix=9, bits=10, full=False):
    """A frame of one colour, R'G'B' 0 to 1, lossless in YCbCr 4:4:4 (ITU-R BT.2020, table 4)."""
    pixels = {8: "yuv444p", 10: "yuv444p10le", 12: "yuv444p12le"}[bits]
    red, blue = {9: (0.2627, 0.0593), 1: (0.2126, 0.0722)}[matrix]
    r, g, b = signal
    luma = red * r + (1 - red - blue) * g + blue * b
    chroma = (b - luma) / (2 * (1 - blue)), (r - luma) / (2 * (1 - red))
    scale, top = 1 << (bits - 8), (1 << bits) - 1
    codes = [top * luma if full else scale * (16 + 219 * luma)]
    codes += [128 * scale + c * (top if full else 224 * scale) for c in chroma]
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as out:
        track = out.add_stream("ffv1", rate=25)
        track.width = track.height = 16
        track.pix_fmt = pixels
        frame, context = av.VideoFrame(16, 16, pixels), track.codec_context
        for one in (context, frame):
            one.colorspace, one.color_primaries, one.color_trc = matrix, primaries, transfer
            one.color_range = 2 if full else 1
        word = np.uint8 if bits == 8 else np.uint16
        for plane, code in zip(frame.planes, codes, strict=True):
            plane.update(
                np.full(plane.buffer_size, round(code), word).tobytes()[: plane.buffer_size]
            )
        frame.pts = 0
        out.mux(track.encode(frame))
        out.mux(track.encode(None))
    return file.getvalue()


def shown(data, spec=SPEC):
    return video.decode(data, spec)[0, 8, 8].astype(int)


def pq(nits):
    """SMPTE ST 2084, equation 5.2."""
    power = (np.asarray(nits) / 10000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def hlg(scene):
    """ITU-R BT.2100, table 5, OETF."""
    scene = np.asarray(scene, float)
    bright = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), bright)


def srgb(light):
    light = np.clip(light, 0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize("nits", [0, 1, 50, 100, 203, 1000, 10000])
def test_pq_is_shown_with_203_nits_as_white(nits, bits, full):
    data = film([pq(nits)] * 3, PQ, bits=bits, full=full)
    np.testing.assert_allclose(shown(data), srgb(nits / 203), atol=2)


def test_pq_of_8_bits_is_mapped_as_well():
    np.testing.assert_allclose(shown(film([pq(50)] * 3, PQ, bits=8)), srgb(50 / 203), atol=4)


@pytest.mark.parametrize("pixels", ["yuv420p10le", "p010le", "yuv422p10le", "gbrp10le", "gbrp12le"])
def test_every_layout_of_pixels_is_mapped(pixels):
    with av.open(io.BytesIO(film(pq(np.array([120.0, 60, 30])), PQ, bits=12))) as container:
        whole = next(container.decode(video=0))
    frame = whole.reformat(format=pixels, dst_color_range=2 if "gbr" in pixels else 1)
    if "gbr" in pixels:  # made of the video range by libswscale, which loses 0.4 %
        frame.color_range = 2
    frame.color_trc, frame.color_primaries = PQ, BT2020
    found = hdr.to_srgb(frame)[8, 8]
    np.testing.assert_allclose(found, hdr.to_srgb(whole)[8, 8], atol=4)


def test_hdr_in_a_matrix_without_a_meaning_here_is_refused():
    with av.open(io.BytesIO(film([0.5] * 3, PQ))) as container:
        frame = next(container.decode(video=0))
    frame.colorspace = 14  # ICtCp
    with pytest.raises((ValueError, av.error.FFmpegError)):
        hdr.to_srgb(frame)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("scene", [0, 0.01, 0.05, 0.1, 0.2647, 1])
def test_hlg_is_shown_as_on_its_nominal_display(scene, full):
    """1000 cd/m2 times the scene to the power of 1.2; a signal of 75 % is white (BT.2408)."""
    nits = 1000 * scene**1.2
    np.testing.assert_allclose(
        shown(film([hlg(scene)] * 3, HLG, full=full)), srgb(nits / 203), atol=2
    )


def test_a_signal_of_three_quarters_is_white_in_hlg():
    assert shown(film([0.75] * 3, HLG)).min() >= 253


def test_colours_of_bt2020_become_those_of_bt709():
    nits = np.array([120.0, 60, 30])
    expected = srgb(np.array(TO_BT709) @ nits / 203)
    np.testing.assert_allclose(shown(film(pq(nits), PQ)), expected, atol=2)
    scene = np.array([0.1, 0.06, 0.03])
    luminance = scene @ [0.2627, 0.678, 0.0593]
    nits = 1000 * luminance**0.2 * scene
    expected = srgb(np.array(TO_BT709) @ nits / 203)
    np.testing.assert_allclose(shown(film(hlg(scene), HLG)), expected, atol=2)


@pytest.mark.parametrize("transfer", [BT709, 14])
def test_bt2020_of_ordinary_range_keeps_its_greys_and_changes_its_colours(transfer):
    np.testing.assert_allclose(shown(film([0.6] * 3, transfer)), 153, atol=1)
    light = np.array([0.3, 0.15, 0.1])
    expected = srgb(np.array(TO_BT709) @ light)
    np.testing.assert_allclose(shown(film(srgb(light) / 255, transfer)), expected, atol=2)


def test_colours_of_bt709_in_hdr_keep_their_hue():
    nits = np.array([120.0, 60, 30])
    data = film(pq(nits), PQ, primaries=BT709, matrix=1)
    np.testing.assert_allclose(shown(data), srgb(nits / 203), atol=2)


def test_display_p3_is_mapped_to_srgb():
    """P3 green at full is outside of sRGB: red would be -0.2249, blue -0.0786 (linear)."""
    assert shown(film([0, 1, 0], 13, primaries=12, matrix=1)).tolist() == [0, 255, 0]
    light = np.array([0.4, 0.4, 0.2])
    to_srgb = np.array([[1.2249, -0.2249, 0], [-0.0421, 1.0421, 0], [-0.0196, -0.0786, 1.0983]])
    data = film(srgb(light) / 255, 13, primaries=12, matrix=1)
    np.testing.assert_allclose(shown(data), srgb(to_srgb @ light), atol=2)


@pytest.mark.parametrize("bits", [8, 10])
def test_ordinary_films_are_what_ffmpeg_makes_of_them(bits):
    data = film([0.7, 0.4, 0.2], BT709, primaries=BT709, matrix=1, bits=bits)
    with av.open(io.BytesIO(data)) as container:
        plain = next(container.decode(video=0)).to_ndarray(format="rgb24")
    for spec in (SPEC, STORED):
        np.testing.assert_array_equal(video.decode(data, spec)[0], plain)


def test_the_code_values_of_hdr_are_kept_where_asked(tmp_path):
    data = film([pq(203)] * 3, PQ)
    np.testing.assert_allclose(shown(data, STORED), 255 * pq(203), atol=2)
    path = tmp_path / "hdr.mkv"
    path.write_bytes(data)
    for colour, expected in (("stored", 255 * pq(203)), ("srgb", 255)):
        found = clips.decode("image", clips.Clip(path), specs.ImageSpec(colour=colour))
        np.testing.assert_allclose(found[8, 8], expected, atol=2)


def test_strips_are_worked_on_like_the_whole(monkeypatch):
    codes = np.random.default_rng(0).integers(0, 1024, (3, 50, 70), np.uint16)
    coding = np.eye(3, 4, dtype=np.float32) / np.float32(1023)
    whole = hdr.map_to_srgb(codes, coding, HLG, BT2020)
    monkeypatch.setattr(hdr, "STRIP", 200)
    np.testing.assert_array_equal(hdr.map_to_srgb(codes, coding, HLG, BT2020), whole)

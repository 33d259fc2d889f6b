"""Recordings of motion: what is read, what is resampled, and a line for whatever is wrong."""

import dataclasses
import io
import re

import numpy as np
import pytest

from lb_jax.core import errors, notices
from lb_jax.media import imu, preprocess, specs
from lb_jax.media.sensors import motion_files
from tests.media import motion

SPEC = specs.ImuSpec()
SAID = specs.ImuSpec(accel_unit="m/s2", gyro_unit="rad/s")
T, READINGS = motion.swaying()
G = motion.GRAVITY
IN_G_DEGREES = READINGS * np.repeat([1 / G, 180 / np.pi], 3)
CSV = motion.table(T, READINGS)


def decoded(media, spec=SPEC, **window):
    with notices.collected() as warned:
        return imu.decode(media, spec, **window), [one.reason for one in warned]


def recording(media, spec):
    """Readings at their own rate, [n, 6]."""
    with notices.collected():
        return imu.read(media, spec).values


def refusal(media, spec=SPEC):
    """The one line that a file is refused with."""
    with notices.collected(), pytest.raises(errors.DataError) as caught:
        imu.decode(media, spec)
    assert "\n" not in str(caught.value)
    return caught.value.reason


def gentle(seconds):
    """Slow waves in every channel, with gravity, [n, 6]."""
    waves = np.stack([np.sin((2 + k) * seconds + k) for k in range(6)], 1)
    waves[:, 2] += G
    return waves


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_readings_at_the_rate_of_the_model_stay_bit_by_bit():
    t, readings = motion.swaying(400.0)
    found, _ = decoded(motion.table(t, readings), SAID)
    np.testing.assert_array_equal(found, readings.astype(np.float32))


@pytest.mark.parametrize("rate_hz", [50.0, 100.0, 199.7, 1000.0])
def test_other_rates_give_the_same_motion(rate_hz):
    """Of slow motion; the noise is left out, for another rate has another."""
    t = np.arange(round(6 * rate_hz)) / rate_hz
    found, _ = decoded(motion.table(t, gentle(t)), SAID)
    expected = gentle(np.arange(len(found)) / 400)
    np.testing.assert_allclose(found[80:-80], expected[80:-80], atol=2e-3)


def test_what_a_lower_rate_cannot_show_is_filtered_out():
    t = np.arange(6000) / 1000
    readings = np.zeros((6000, 6))
    readings[:, 2] = G + np.sin(2 * np.pi * 333 * t)  # above the half of 400 Hz
    found, _ = decoded(motion.table(t, readings), SAID)
    assert np.abs(found[100:-100, 2] - G).max() < 0.02


def test_gravity_stays_gravity():
    found, _ = decoded((np.tile([0, 0, G, 0, 0, 0.0], (700, 1)), 137.0), SAID)
    np.testing.assert_allclose(found[:, 2], G, rtol=1e-6)


@pytest.mark.parametrize("ending", ["csv", "csv with notes", "tsv", "semicolons", "parquet"])
def test_tables_of_any_form_are_the_same_recording(ending):
    comma = CSV.replace(b",", b";").replace(b".", b",")
    media = {
        "csv": CSV,
        "csv with notes": b"# made by hand\n# rate_hz: 100\n" + CSV,
        "tsv": CSV.replace(b",", b"\t"),
        "semicolons": comma,
        "parquet": motion.columnar(T, READINGS),
    }[ending]
    np.testing.assert_allclose(decoded(media)[0], decoded(CSV)[0], atol=1e-5)


@pytest.mark.parametrize(
    "arrays",
    [
        {"accel": READINGS[:, :3], "gyro": READINGS[:, 3:], "rate": 100},
        {"acc": READINGS[:, :3], "gyr": READINGS[:, 3:], "t": T},
        {"imu": READINGS, "fs": 100.0},
        dict(zip(motion.HEADER.split(","), [T, *READINGS.T], strict=True)),
    ],
)
def test_archives_of_any_form_are_the_same_recording(arrays):
    np.testing.assert_allclose(decoded(motion.archive(**arrays))[0], decoded(CSV)[0], atol=1e-5)


def test_arrays_need_a_rate_beside_them():
    expected = decoded(CSV)[0]
    with_rate = dataclasses.replace(SPEC, rate_hz=100.0)
    for media, spec in (
        ((READINGS, 100), SPEC),
        (READINGS, with_rate),
        (npy(READINGS), with_rate),
        (motion.table(None, READINGS), with_rate),
    ):
        np.testing.assert_allclose(decoded(media, spec)[0], expected, atol=1e-5)
    assert "says neither rate nor times" in refusal(READINGS)
    assert "--imu-rate" in refusal(npy(READINGS))


@pytest.mark.parametrize(
    ("header", "scale"),
    [
        ("t,ax,ay,az,gx,gy,gz", 1),
        ("time_ms,acc_x,acc_y,acc_z,gyro_x,gyro_y,gyro_z", 1e3),
        ("timestamp [us],AccX,AccY,AccZ,GyrX,GyrY,GyrZ", 1e6),
        ("seconds_elapsed,x_acc,y_acc,z_acc,x_gyro,y_gyro,z_gyro", 1),
        ("ts,linear_acceleration.x,linear_acceleration.y,linear_acceleration.z,"
         "angular_velocity.x,angular_velocity.y,angular_velocity.z", 1e3),
    ],
)  # fmt: skip
def test_columns_are_known_by_usual_names(header, scale):
    media = motion.table(np.round(T * scale, 6), READINGS, header)
    np.testing.assert_allclose(decoded(media)[0], decoded(CSV)[0], atol=2e-3)


def test_columns_may_be_named_and_in_another_order():
    shuffled = motion.table(T, READINGS[:, [3, 4, 5, 0, 1, 2]], "when,p,q,r,a1,a2,a3")
    spec = dataclasses.replace(SPEC, columns="when,a1,a2,a3,p,q,r")
    np.testing.assert_array_equal(decoded(shuffled, spec)[0], decoded(CSV)[0])
    assert "has no column for accelerometer" in refusal(motion.table(T, READINGS, "a,b,c,d,e,f,g"))
    assert "has no column 'b1'; it has when" in refusal(
        shuffled, dataclasses.replace(SPEC, columns="b1,a2,a3,p,q,r")
    )


def test_columns_without_names_go_by_number():
    bare = CSV.partition(b"\n")[2]
    spec = dataclasses.replace(SPEC, columns="1,2,3,4,5,6,7")
    np.testing.assert_array_equal(decoded(bare, spec)[0], decoded(CSV)[0])
    assert "has no names of columns" in refusal(bare)


# units


def test_units_that_the_file_says_are_followed():
    header = "t,ax [g],ay [g],az [g],gx (deg/s),gy (deg/s),gz (deg/s)"
    found, warned = decoded(motion.table(T, IN_G_DEGREES, header))
    np.testing.assert_allclose(found, decoded(CSV)[0], atol=1e-4)
    assert warned == []
    told = {"accel_unit": "g", "gyro_unit": "dps", "rate_hz": 100}
    found, warned = decoded(motion.columnar(T, IN_G_DEGREES, **told))
    np.testing.assert_allclose(found, decoded(CSV)[0], atol=1e-4)
    assert warned == []


@pytest.mark.parametrize(
    ("readings", "accel", "gyro"),
    [(READINGS, "m/s2", "rad/s"), (IN_G_DEGREES, "g", "deg/s")],
)
def test_units_that_nobody_says_are_told_by_the_readings_with_a_remark(readings, accel, gyro):
    found, warned = decoded(motion.table(T, readings))
    np.testing.assert_allclose(found, decoded(CSV, SAID)[0], atol=1e-4)
    assert len(warned) == 2
    assert f"accelerometer taken as {accel}: its steady part" in warned[0]
    assert f"gyroscope taken as {gyro}: its readings" in warned[1]


def test_degrees_are_told_from_radians_by_how_gravity_turns():
    t, readings = motion.swaying(seed=3, shake=0.2)
    reason = refusal(motion.table(t, readings), dataclasses.replace(SAID, gyro_unit="deg/s"))
    assert "turn gravity as rad/s do" in reason
    slowly = readings * np.repeat([1, 180 / np.pi / 4], 3)  # below what the range tells
    assert np.abs(slowly[:, 3:]).max() < 35
    assert "may be deg/s or rad/s" in refusal(motion.table(t, slowly))  # a quarter is neither


@pytest.mark.parametrize(
    ("readings", "spec", "words"),
    [
        (IN_G_DEGREES, SAID, "said to be in m/s2, and its steady part of 0.981 is gravity in g"),
        (
            READINGS,
            dataclasses.replace(SAID, accel_unit="g"),
            "said to be in g, and its steady part of 9.62 is gravity in m/s2",
        ),
        (
            IN_G_DEGREES * np.repeat([G, 1], 3),
            SAID,
            "said to be in rad/s, and its readings reach",
        ),
        (
            READINGS,
            dataclasses.replace(SAID, gyro_unit="deg/s"),
            "said to be in deg/s, and its readings turn gravity as rad/s do",
        ),
    ],
)
def test_units_that_the_readings_contradict_are_refused(readings, spec, words):
    reason = refusal(motion.table(T, readings), spec)
    assert words in reason
    assert "--imu-units" in reason


def test_a_header_and_an_option_that_differ_are_refused():
    header = "t,ax [g],ay,az,gx,gy,gz"
    assert "says that its accelerometer is in g, and m/s2 was given" in refusal(
        motion.table(T, IN_G_DEGREES, header), SAID
    )
    two = "t,ax [g],ay [m/s2],az,gx,gy,gz"
    assert "gives its accelerometer the units g and m/s2" in refusal(motion.table(T, READINGS, two))


def test_units_that_are_not_plain_are_asked_for():
    still = np.tile([0, 0, G, 0, 0, 0.01], (600, 1)) + 1e-3 * READINGS
    assert "does not say the unit of its gyroscope" in refusal(motion.table(T, still))
    floating = READINGS - [*READINGS[:, :3].mean(0), 0, 0, 0]
    floating[:, :3] *= 0.1
    reason = refusal(motion.table(T, floating))
    assert "does not say the unit of its accelerometer" in reason
    _, warned = decoded(motion.table(T, floating), SAID)
    assert any("shows no gravity" in one for one in warned)


def test_gravity_in_the_wrong_columns_is_told():
    for readings, spec in ((READINGS, SAID), (READINGS, SPEC), (IN_G_DEGREES, SPEC)):
        swapped = motion.table(T, readings[:, [3, 4, 5, 0, 1, 2]])
        assert "the columns are swapped" in refusal(swapped, spec)


# rates, times, gaps


def test_a_rate_that_the_times_contradict_is_refused():
    reason = refusal(CSV, dataclasses.replace(SPEC, rate_hz=400.0))
    assert "has 100 readings per second by its times, and 400 by the rate that was given" in reason
    assert "and 50 by the file's own rate" in refusal(b"# rate_hz: 50\n" + CSV)
    seconds = motion.table(T * 1000, READINGS, "time_s" + motion.HEADER[1:])
    assert "in s that are 10 apart, which is 0.1 readings per second" in refusal(seconds)
    assert "in no unit a rate of 8 to 8000" in refusal(motion.table(T * 1e-3, READINGS))
    assert "has the rate 'fast'" in refusal(b"# rate: fast\n" + CSV)


def test_times_that_do_not_rise_are_refused():
    times = T.copy()
    times[100] = times[98]
    reason = refusal(motion.table(times, READINGS))
    assert "do not rise in 1 place, the first in row 101 of 600" in reason
    times[100] = np.nan
    assert "has no time in row 101" in refusal(motion.table(times, READINGS))


@pytest.mark.parametrize("rate_hz", [400.0, 333.0, 100.0])
def test_times_that_were_rounded_to_milliseconds_are_even(rate_hz):
    t = np.arange(round(6 * rate_hz)) / rate_hz
    rounded = motion.table(np.round(t * 1000), gentle(t), "time_ms" + motion.HEADER[1:])
    plain = motion.table(t, gentle(t))
    found, expected = decoded(rounded, SAID)[0], decoded(plain, SAID)[0]
    count = min(map(len, (found, expected)))
    np.testing.assert_allclose(found[:count], expected[:count], atol=5e-3)


def test_times_since_1970_in_nanoseconds_keep_their_steps():
    epoch = (1_700_000_000_000_000_000 + np.round(T * 1e9)).astype(np.int64)
    media = motion.archive(accel=READINGS[:, :3], gyro=READINGS[:, 3:], timestamp_ns=epoch)
    np.testing.assert_allclose(decoded(media)[0], decoded(CSV)[0], atol=1e-5)
    rows = READINGS.tolist()
    stamps = [f"2024-05-01T12:00:{one:09.6f}Z" for one in T]
    lines = [",".join([when, *map(str, row)]) for when, row in zip(stamps, rows, strict=True)]
    calendar = "\n".join([f"time{motion.HEADER[1:]}", *lines]).encode()
    np.testing.assert_allclose(decoded(calendar)[0], decoded(CSV)[0], atol=1e-5)


def test_jitter_is_brought_to_even_distances():
    rng = np.random.default_rng(0)
    times = T + rng.uniform(-0.003, 0.003, len(T)) + 0.02 * np.sin(T)  # drifts by two periods
    found, _ = decoded(motion.table(times, gentle(times)), SAID)
    expected = gentle(times[0] + np.arange(len(found)) / 400)
    np.testing.assert_allclose(found[100:-100], expected[100:-100], atol=0.02)


def test_gaps_are_counted_and_placed():
    holes = READINGS.copy()
    holes[50:53], holes[300] = np.nan, np.nan
    reason = refusal(motion.table(T, holes))
    assert "has 2 gaps without readings (NaN or missing): 0.490 to 0.530 s, 2.990" in reason
    assert "--imu-interpolate 0.04" in reason
    assert "0.02 s are filled in" in refusal(
        motion.table(T, holes), dataclasses.replace(SPEC, interpolate_s=0.02)
    )
    dropped = np.r_[0:200, 230:600]
    assert "has 1 gap without readings (NaN or missing): 1.990 to 2.300 s" in refusal(
        motion.table(T[dropped], READINGS[dropped])
    )
    many = READINGS.copy()
    many[10::50] = np.nan
    assert re.search(r"has 12 gaps .* and 9 more", refusal(motion.table(T, many)))


def test_short_gaps_are_filled_in_where_that_is_said():
    holes = READINGS.copy()
    holes[50:53, 4] = np.nan
    spec = dataclasses.replace(SPEC, interpolate_s=0.04)
    found = recording(motion.table(T, holes), spec)
    straight = np.linspace(READINGS[49], READINGS[53], 5)[1:-1]
    np.testing.assert_allclose(found[50:53], straight, atol=1e-9)
    np.testing.assert_allclose(np.delete(found, range(50, 53), 0)[:500], found[np.r_[:50, 53:503]])
    dropped = np.r_[0:200, 203:600]
    found = recording(motion.table(T[dropped], READINGS[dropped]), spec)
    assert len(found) == 600
    np.testing.assert_allclose(found[203:], READINGS[203:], atol=1e-6)


def test_ends_without_readings_cannot_be_filled_in():
    holes = READINGS.copy()
    holes[:3] = np.nan
    spec = dataclasses.replace(SPEC, interpolate_s=10.0)
    assert "cut off what is missing at its ends" in refusal(motion.table(T, holes), spec)
    assert "all of it is NaN" in refusal(motion.table(T, np.full((600, 6), np.nan)))


# shapes and files


@pytest.mark.parametrize(
    ("media", "words"),
    [
        (READINGS.T.copy(), "is [6, 600], a row to each channel; expected [n, 6]"),
        ((READINGS.T.copy(), 100), "give its transpose (array.T), not a reshape"),
        (npy(READINGS.T), "give its transpose"),
        (np.zeros((600, 7)), "is [600, 7]; expected [n, 6]"),
        (np.zeros((2, 600, 6)), "holds float64 [2, 600, 6]"),
        (np.zeros((0, 6)), "holds float64 [0, 6]"),
        (np.zeros((9, 6), complex), "holds complex128"),
        (motion.archive(accel=READINGS[:, :3].T, gyro=READINGS[:, 3:]), "expected [n, 3]"),
        (motion.archive(accel=READINGS[:9, :3], gyro=READINGS[:, 3:]), "arrays of other lengths"),
        (motion.archive(a=np.zeros((4, 4)), b=np.zeros((4, 4))), "expected accel and gyro"),
        (npy(np.array([{}], object)), "is a damaged NPY file"),
        (b"PK\3\4" + bytes(50), "is a damaged NPZ file"),
        (b"PAR1" + bytes(50), "is no Parquet file"),
        (b"\0\xff\x12" * 50, "is no CSV, Parquet, NPZ or NPY of motion"),
        (b"# nothing\n", "is empty; expected a header"),
        (b"t,ax,ay,az,gx,gy,gz\n", "holds no reading"),
        (b"t,ax,ax,ay,az,gx,gy,gz\n1,2,3,4,5,6,7,8\n", "has two columns 'ax'"),
        (CSV.replace(b"\n0.01,", b"\nx,", 1), "column 't' holds string, expected numbers"),
        (CSV[:60] + b"\n1,2\n", "is no table of numbers"),
        ("no such file.csv", "does not exist"),
        (b"", "is empty"),
    ],
)
def test_what_is_no_recording_is_one_line(media, words):
    assert words in refusal(media, dataclasses.replace(SPEC, rate_hz=None))


def test_more_than_a_day_is_refused(monkeypatch):
    monkeypatch.setattr(motion_files, "MAX_SAMPLES", 500)
    for media in (CSV, motion.columnar(T, READINGS), (READINGS, 100)):
        assert "split the recording" in refusal(media)


# windows


def test_less_than_a_window_is_refused_or_filled_up_as_the_user_says():
    short = motion.table(T[:300], READINGS[:300])
    reason = refusal(short)
    assert "lasts 3.00 s, the model takes 5 s of motion" in reason
    held, _ = decoded(short, dataclasses.replace(SPEC, short="hold"))
    repeated, _ = decoded(short, dataclasses.replace(SPEC, short="repeat"))
    assert held.shape == repeated.shape == (2000, 6)
    np.testing.assert_array_equal(held[1200:], np.tile(held[1199], (800, 1)))
    np.testing.assert_array_equal(repeated[1200:], repeated[:800])
    np.testing.assert_array_equal(held[:1200], repeated[:1200])


def test_a_reading_too_few_is_no_matter():
    assert len(decoded(motion.table(T[:498], READINGS[:498]))[0]) == 2000


def test_a_window_is_the_middle_or_drawn():
    whole, _ = decoded(CSV)
    np.testing.assert_array_equal(imu.transform(whole, SPEC), whole[200:2200])
    rngs = [np.random.default_rng(seed) for seed in range(20)]
    places = {
        int(np.flatnonzero((whole == imu.transform(whole, SPEC, rng)[0]).all(1))[0]) for rng in rngs
    }
    assert len(places) > 10
    assert min(places) >= 0
    assert max(places) <= len(whole) - 2000
    centred = dataclasses.replace(SPEC, train_crop="centre")
    np.testing.assert_array_equal(imu.transform(whole, centred, rngs[0]), whole[200:2200])


def test_a_stretch_is_cut_out_of_the_whole():
    whole, _ = decoded(CSV)
    part, _ = decoded(CSV, start_s=0.5, end_s=5.75)
    np.testing.assert_allclose(part, whole[200:2300], atol=1e-6)
    with pytest.raises(errors.DataError, match=r"has no motion from 7 s to 9 s, it lasts 6\.000 s"):
        decoded(CSV, start_s=7, end_s=9)


def test_a_recording_that_is_cut_is_told():
    with notices.collected() as warned:
        found = preprocess.preprocess("imu", (np.tile(READINGS, (3, 1)), 100), SAID)
    assert found.shape == (1, 2000, 6)
    assert any("lasts 18.0 s, of which the model takes the 5 s in the middle" in one.reason
               for one in warned)  # fmt: skip
    with notices.collected() as warned:
        preprocess.preprocess("imu", (READINGS[:500], 100), SAID)
    assert warned == []

import pytest

from lb_jax.media.sensors import motion_columns, motion_units

KINDS = tuple(motion_columns.KINDS)


@pytest.mark.parametrize(
    ("names", "time", "unit", "units"),
    [
        ("t ax ay az gx gy gz", 0, None, {}),
        ("AX AY AZ GX GY GZ", None, None, {}),
        ("wx wy wz ax ay az ts", 6, None, {}),
        ("accl_0 accl_1 accl_2 gyro_0 gyro_1 gyro_2 time_ns", 6, "ns", {}),
        ("imu_acc_1 imu_acc_2 imu_acc_3 imu_gyr_1 imu_gyr_2 imu_gyr_3", None, None, {}),
        ("acc_x_g acc_y_g acc_z_g gyro_x_dps gyro_y_dps gyro_z_dps", None, None, ("g", "deg/s")),
        ("accel_x[mg] accel_y[mg] accel_z[mg] gx[rad/s] gy gz", None, None, ("mg", "rad/s")),
        ("rotationRateX rotationRateY rotationRateZ accelX accelY accelZ", None, None, {}),
        ("timeMs ACCX ACCY ACCZ GYROX GYROY GYROZ magX", 0, "ms", {}),
    ],
)
def test_usual_names_are_known(names, time, unit, units):
    names = names.split()
    found = motion_columns.choose(names)
    letters = [names[place].lower() for place in found.channels]
    assert all("a" in one for one in letters[:3])
    assert list(found.channels[:3]) == sorted(found.channels[:3])
    assert (found.time, found.time_unit) == (time, unit)
    assert found.units == (dict(zip(KINDS, units, strict=True)) if units else {})


@pytest.mark.parametrize(
    ("names", "said", "words"),
    [
        ("t ax ay az gx gy", "", "has no column for gyroscope z; it has t, ax"),
        ("ax ay az gx gy gz acc_x", "", "has 'ax' and 'acc_x' for accelerometer x"),
        ("a b c d e f", "a,b,c,d,e,g", "has no column 'g'; it has a, b"),
        ("id path caption", "", "Expected accelerometer x, y, z and gyroscope x, y, z"),
        ("gravity_x gravity_y gravity_z", "", "has no column for accelerometer x"),
    ],
)
def test_columns_that_are_not_plain_are_asked_for(names, said, words):
    with pytest.raises(motion_columns.UnclearError) as caught:
        motion_columns.choose(names.split(), said)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("given", "unit"),
    [
        *[(one, "m/s2") for one in ("m/s2", "m/s^2", "m/s²", "M/S2", "m s-2", "mps2")],
        *[(one, "g") for one in ("g", "G", "gs")],
        *[(one, "mg") for one in ("mg", "milli-g")],
        *[(one, None) for one in ("", "N", "deg/s", "km/h")],
    ],
)
def test_units_of_accelerometers_are_known_as_they_are_written(given, unit):
    assert motion_units.named(given, motion_units.ACCEL) == unit


@pytest.mark.parametrize(
    ("given", "unit"),
    [
        *[(one, "rad/s") for one in ("rad/s", "RAD/S", "rads", "rad s-1", "rad·s-1")],
        *[(one, "deg/s") for one in ("deg/s", "dps", "°/s", "deg/sec", "DPS")],
        *[(one, None) for one in ("", "g", "rpm")],
    ],
)
def test_units_of_gyroscopes_are_known_as_they_are_written(given, unit):
    assert motion_units.named(given, motion_units.GYRO) == unit

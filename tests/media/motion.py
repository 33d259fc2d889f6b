"""Small recordings of motion, in which gravity turns as the gyroscope says."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet

GRAVITY = 9.80665
HEADER = "t,ax,ay,az,gx,gy,gz"


def swaying(
    rate_hz: float = 100.0, seconds: float = 6.0, seed: int = 0, shake: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Times [n], and readings [n, 6] in m/s2 and rad/s of a body that sways about two axes."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(rate_hz * seconds)) / rate_hz
    phase = rng.uniform(0, 2 * np.pi, 5)
    roll, pitch = 0.6 * np.sin(2.2 * t + phase[0]), 0.4 * np.sin(1.4 * t + phase[1])
    rolling, pitching = 1.32 * np.cos(2.2 * t + phase[0]), 0.56 * np.cos(1.4 * t + phase[1])
    up = (-np.sin(pitch), np.cos(pitch) * np.sin(roll), np.cos(pitch) * np.cos(roll))
    shaken = [np.sin(hz * t + one) for hz, one in zip((9, 7, 11), phase[2:], strict=True)]
    accel = GRAVITY * np.stack(up, 1) + shake * np.stack(shaken, 1)
    gyro = np.stack([rolling, pitching * np.cos(roll), -pitching * np.sin(roll)], 1)
    noise = rng.standard_normal((len(t), 6)) * np.repeat([0.02, 0.005], 3)
    return t, np.concatenate([accel, gyro], 1) + noise


def table(
    times: np.ndarray | None, readings: np.ndarray, header: str = HEADER, before: str = ""
) -> bytes:
    """A CSV; without times their column is left out of the header."""
    columns = readings if times is None else np.column_stack([times, readings])
    names = header.partition(",")[2] if times is None else header
    file = io.StringIO()
    np.savetxt(file, columns, delimiter=",", header=names, comments="", fmt="%.12g")
    return (before + file.getvalue()).encode()


def archive(**arrays: object) -> bytes:
    """An NPZ."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def columnar(times: np.ndarray, readings: np.ndarray, **notes: object) -> bytes:
    """A Parquet file with notes in its metadata."""
    columns = np.column_stack([times, readings]).T
    made = pa.table(dict(zip(HEADER.split(","), columns, strict=True)))
    file = io.BytesIO()
    told = {key: str(value) for key, value in notes.items()}
    pa.parquet.write_table(made.replace_schema_metadata(told), file)
    return file.getvalue()

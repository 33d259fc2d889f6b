"""Refuses what decodes but shows nothing: silence, one colour, flat depth, a dead sensor.

Such samples teach nothing and, since they are all alike, are false matches of each other. Training
and `lb-jax data check` refuse them; embedding does not, for there the user asked for that file.
"""

import math
from collections.abc import Callable

import numpy as np

from lb_jax.core import errors, modalities
from lb_jax.media import fbank, specs

# 8-bit values of one picture or channel that lie this close are one colour: what JPEG makes of one.
SAME_COLOUR = 2

# Largest log-mel value of silence: that of a 1 kHz tone of -70 dB below full scale (RMS). Its
# amplitude is sqrt(2) 10^(-70/20); the Hann window of 25 ms (400 samples, sum 200) makes half of
# amplitude times sum of it, 0.0447; pre-emphasis passes |1 - 0.97 exp(-i 2 pi 1000 / 16000)|^2 =
# 0.149 of its power; ln(0.0447^2 * 0.149) = -8.1. Dither of 16-bit files reaches about -11; hum of
# 50 Hz, which pre-emphasis weakens, counts as silence up to -50 dB.
#
# Of magnitudes, with a Hann window of 2048 samples (sum 1024) and no emphasis, half of amplitude
# times sum is 0.23, and a filter adds up 1.4 of it.
SILENCE_LOG_MEL = {"kaldi": -8.1, "dmvr": math.log(0.32 + 1e-6), "vatt": math.log1p(1e4 * 0.32)}


def require_content(modality: str, decoded: np.ndarray, name: str, spec: specs.Spec) -> None:
    """Checks that a decoded item shows something.

    Args:
      modality: a key of `preprocess.MODULES`.
      decoded: what `preprocess.decode` returned for it.
      name: how errors call the item.
      spec: by which it was decoded.

    Raises:
      errors.DataError: sound without anything above `SILENCE_LOG_MEL`, a picture of one colour, a
        clip all of whose frames are such, depth or motion that is everywhere the same.
    """
    reason = _MISSING[modality](decoded, spec)
    if reason:
        raise errors.DataError(name, f"{reason}; drop it from the corpus")


def _silence(decoded: np.ndarray, spec: specs.AudioSpec) -> str | None:
    log_mel = decoded
    if spec.layout == "windows" and spec.sample_rate_hz is not None:
        log_mel = fbank.log_mel(decoded, spec.sample_rate_hz, spec.mel_bins)
    loudest, silence = float(log_mel.max()), SILENCE_LOG_MEL[spec.bank]
    if loudest > silence:
        return None
    found = f"its loudest log-mel value is {loudest:.1f}"
    return f"is silent ({found}, expected above {silence:.1f}: about -70 dB of full scale)"


def _one_colour(picture: np.ndarray) -> str | None:
    colour = picture.max((0, 1))
    if (colour - picture.min((0, 1)) > SAME_COLOUR).any():  # max first: uint8 does not wrap
        return None
    return f"shows one colour only ({'black' if colour.max() <= SAME_COLOUR else colour.tolist()})"


def _colours_only(clip: np.ndarray) -> str | None:
    if not all(map(_one_colour, clip)):
        return None
    return f"shows one colour in each of {len(clip)} frames"


def _flat(metres: np.ndarray) -> str | None:
    readings = metres[metres > 0]  # 0 is a missing one
    low, high = float(readings.min()), float(readings.max())
    return None if high > low else f"has one depth everywhere ({low:g} m)"


def _no_motion(readings: np.ndarray) -> str | None:
    """A sensor has noise, and one that does not change by a bit is dead."""
    if (readings.max(0) > readings.min(0)).any():
        return None
    return f"shows no motion, not even noise: all of its {len(readings)} readings are equal"


def _nothing_missing(tokens: np.ndarray) -> str | None:
    """Empty texts are refused by the tokenizer already."""
    del tokens


def _of_any_spec(reason: Callable[[np.ndarray], str | None]) -> Callable[..., str | None]:
    return lambda decoded, spec: reason(decoded)


_MISSING: dict[str, Callable[..., str | None]] = {
    "image": _of_any_spec(_one_colour),
    "thermal": _of_any_spec(_one_colour),
    "video": _of_any_spec(_colours_only),
    "depth": _of_any_spec(_flat),
    "audio": _silence,
    "imu": _of_any_spec(_no_motion),
    modalities.TEXT: _of_any_spec(_nothing_missing),
}

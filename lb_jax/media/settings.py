"""What a user says about files that do not say it: units of depth, of temperatures, of motion.

The same settings are taken by `lb_jax.load` and by every command that reads media; they become
fields of the preprocessing specs, and a store keeps them beside its vectors.
"""

import dataclasses
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from lb_jax.core import errors
from lb_jax.media import specs
from lb_jax.media.sensors import cameras, depth_units, motion_units, temperatures


@dataclasses.dataclass(frozen=True)
class Settings:
    """Changes of the preprocessing that a checkpoint states; None leaves it as it is.

    Attributes:
      depth_unit: of integers, see `depth_units.parse`.
      thermal_range: lowest and highest temperature shown, in kelvin.
      thermal_unit: how stored numbers are told, one of `specs.THERMAL_UNITS`.
      depth_camera: of which disparity is told, see `cameras.parse`.
      imu_units: of accelerometer and gyroscope, see `motion_units.parse`.
      imu_rate: readings per second of motion that says neither it nor times.
      imu_columns: names of the columns, see `motion_columns.choose`.
      imu_interpolate: the longest gap in seconds that is filled in.
      imu_short: what is done with less than a window, see `specs.ImuSpec`.

    Raises:
      ConfigError: a value that is none.
    """

    depth_unit: str | float | None = None
    thermal_range: Sequence[float] | None = None
    thermal_unit: str | None = None
    depth_camera: str | float | None = None
    imu_units: str | None = None
    imu_rate: float | None = None
    imu_columns: str | None = None
    imu_interpolate: float | None = None
    imu_short: str | None = None

    def __post_init__(self):
        for modality, fields in self.changes.items():
            specs.from_dict(modality, fields)

    @property
    def given(self) -> dict[str, Any]:
        """Those that are not None, as `json` takes them."""
        found = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        if self.thermal_range is not None:
            found["thermal_range"] = list(map(float, self.thermal_range))
        return {name: value for name, value in found.items() if value is not None}

    @property
    def changes(self) -> dict[str, dict[str, Any]]:
        """Modality -> fields of its spec and their values."""
        found: dict[str, dict[str, Any]] = {}
        for name, value in self.given.items():
            modality, fields = CHANGES[name]
            found.setdefault(modality, {}).update(fields(value))
        return found

    @property
    def options(self) -> str:
        """As a command line has them, each with a blank before it."""
        words = (
            " ".join(shlex.quote(one) for one in _listed(value)) for value in self.given.values()
        )
        return "".join(
            f" {option_of(name)} {told}" for name, told in zip(self.given, words, strict=True)
        )

    def apply(self, found: Mapping[str, specs.Spec], where: str) -> dict[str, specs.Spec]:
        """Specs by modality with these settings.

        Args:
          found: what they were.
          where: whose they are, for the error.

        Raises:
          ConfigError: a setting of a modality that is not among them.
        """
        changed = dict(found)
        for name, value in self.given.items():
            if obstacle := _obstacle(name, changed, where):
                raise errors.ConfigError(
                    f"{name.replace('_', ' ')} is {_words(value)}, which {obstacle}. Leave it out."
                )
            modality, fields = CHANGES[name]
            told = specs.to_dict(changed[modality]) | fields(value)
            changed[modality] = specs.from_dict(modality, told)
        return changed

    def fitting(self, found: Mapping[str, specs.Spec]) -> "Settings":
        """Those that `apply` takes for these specs by modality."""
        fits = {one: value for one, value in self.given.items() if not _obstacle(one, found, "")}
        return Settings(**fits)

    def __bool__(self) -> bool:
        return bool(self.given)

    def __str__(self) -> str:
        """In words; empty where nothing is given."""
        return ", ".join(
            f"{name.replace('_', ' ')} {_words(value)}" for name, value in self.given.items()
        )


NOTHING = Settings()

# setting -> (its modality, what it makes of the fields of that spec)
CHANGES = {
    "depth_unit": ("depth", lambda value: depth_units.parse(value).fields),
    "thermal_range": ("thermal", lambda value: {"range_k": tuple(map(float, value))}),
    "thermal_unit": ("thermal", lambda value: {"unit": temperatures.named(value)}),
    "depth_camera": ("depth", cameras.parse),
    "imu_units": ("imu", motion_units.parse),
    "imu_rate": ("imu", lambda value: {"rate_hz": float(value)}),
    "imu_columns": ("imu", lambda value: {"columns": value}),
    "imu_interpolate": ("imu", lambda value: {"interpolate_s": float(value)}),
    "imu_short": ("imu", lambda value: {"short": value}),
}


def _obstacle(name: str, found: Mapping[str, specs.Spec], where: str) -> str | None:
    """Why a setting is not for these specs by modality, in words; None where it is."""
    modality, _ = CHANGES[name]
    spec = found.get(modality)
    if spec is None:
        has = ", ".join(one for one in found if one in specs.SPECS)
        return f"is for {modality}; {where} has {has}"
    if name == "depth_camera" and getattr(spec, "form", None) != "disparity":
        return f"tells disparity; {where} takes depth in metres"
    return None


def option_of(name: str) -> str:
    """The option of a command line that gives a setting."""
    return f"--{name.replace('_', '-')}"


def from_json(text: str | None) -> Settings:
    """Reads what `to_json` wrote; None and an empty text are no settings."""
    return Settings(**json.loads(text)) if text else NOTHING


def to_json(settings: Settings) -> str:
    """Writes settings as one line; none as an empty text."""
    return json.dumps(settings.given, sort_keys=True) if settings.given else ""


def _words(value: Any) -> str:
    return " ".join(_listed(value))


def _listed(value: Any) -> list[str]:
    return [f"{one:g}" for one in value] if isinstance(value, list) else [f"{value}"]

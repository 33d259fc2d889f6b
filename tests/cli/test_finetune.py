"""Own data: a CSV file of path,caption and the name of a modality are all that training takes."""

import csv

import numpy as np
import pytest

import lb_jax
from lb_jax.core import checkpoint, logging
from lb_jax.training import sheets
from tests.media import media_files

RNG = np.random.default_rng(0)
ROWS = 12
# modality -> (ending of a file, a new file, settings that make its input small)
FILES = {
    "image": (
        "png",
        lambda: media_files.picture(RNG.integers(0, 256, (40, 40, 3), np.uint8)),
        "",
    ),
    "video": ("mp4", media_files.clip, "--config.modalities.video.preprocess.frames=2"),
    "depth": (
        "png",
        lambda: media_files.picture(RNG.integers(500, 9000, (40, 40)).astype(np.uint16)),
        "",
    ),
    "audio": (
        "wav",
        lambda: media_files.sound(media_files.noise(8000)),
        "--config.modalities.audio.preprocess.mel_bins=32 "
        "--config.modalities.audio.preprocess.target_frames=64",
    ),
}


def write_csv(folder, modality):
    """A manifest with a file for each row; two rows share each caption."""
    ending, make, _ = FILES[modality]
    with (folder / "my.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "caption"])
        for i in range(ROWS):
            (folder / f"{i}.{ending}").write_bytes(make())
            writer.writerow([f"{i}.{ending}", f"thing number {i // 2}, of its kind"])


@pytest.mark.parametrize("modality", FILES)
def test_csv_and_a_modality_are_enough(call, tmp_path, modality):
    write_csv(tmp_path, modality)
    command = (
        f"train --config={sheets.SHIPPED / 'finetune.py'}:{modality} --workdir={{tmp}}/run "
        f"--config.data.sources.main.path={{tmp}}/my.csv {FILES[modality][2]} "
        "--config.arch=tiny --config.init_from= --config.batch_size=8 --config.steps=2"
    )
    done = call(command)
    assert done.status == 0, done.err
    assert done.out == f"checkpoint: {tmp_path}/run/checkpoint\n"
    again = call(command)
    assert (again.status, again.out) == (0, done.out)
    assert "run is finished, nothing was trained; another --workdir trains anew" in again.err
    [first, last] = [
        row
        for row in logging.read_metrics(tmp_path / "run" / "metrics.jsonl")
        if row["step"] in (0, 1)
    ]
    assert (first["step"], last["step"]) == (0, 1)
    assert np.isfinite(last["loss"])
    model = lb_jax.load(tmp_path / "run")
    assert model.modalities == (modality,)
    vectors = model.embed(modality, [tmp_path / f"0.{FILES[modality][0]}"])
    assert vectors.shape == (1, 64)


def test_a_trial_needs_no_other_setting(call, tmp_path):
    write_csv(tmp_path, "audio")
    done = call(
        "train --config=finetune:audio,trial --workdir={tmp}/run --config.steps=2 "
        "--config.data.sources.main.path={tmp}/my.csv"
    )
    assert done.status == 0, done.err
    model, demo = lb_jax.load(tmp_path / "run"), lb_jax.load("demo")
    words = ["a telephone buzzing", "a red car"]
    np.testing.assert_array_equal(model.embed("text", words), demo.embed("text", words))
    assert model.specs["audio"].target_frames == demo.specs["audio"].target_frames


def test_rows_that_were_trained_on_are_told_of(call, tmp_path):
    write_csv(tmp_path, "image")
    done = call(
        f"train --config={sheets.SHIPPED / 'finetune.py'}:image --workdir={{tmp}}/run "
        "--config.data.sources.main.path={tmp}/my.csv --config.arch=tiny --config.init_from= "
        "--config.batch_size=8 --config.steps=1"
    )
    assert done.status == 0, done.err
    (tmp_path / "held").mkdir()
    for i in range(4):
        (tmp_path / "held" / f"{i}.png").write_bytes(FILES["image"][1]())
    held = [f"held/{i}.png,a new thing of number {i}" for i in range(4)]
    trained = ["0.png,thing number 0", "5.png,thing"]
    for name, rows in (("held", held), ("mixed", held + trained)):
        (tmp_path / f"{name}.csv").write_text("\n".join(["path,caption", *rows]) + "\n")
    line = "--model={tmp}/run --data={tmp}/"
    told = f"2 of 6 rows of {tmp_path}/mixed.csv were in the model's training"
    for command, status in (("evaluate", 0), ("evaluate --tasks=image->text", 0), ("calibrate", 2)):
        done = call(f"{command} {line}mixed.csv")  # too few for a calibration
        assert done.status == status, done.err
        assert [told in one for one in done.err.splitlines()].count(True) == 1, done.err
    assert "in the model's training" not in call(f"evaluate {line}held.csv").err
    copied = call("convert {tmp}/run {tmp}/copy --to safetensors")
    assert copied.status == 0, copied.err
    kept = [tmp_path / name / checkpoint.SEEN for name in ("run/checkpoint", "copy")]
    assert kept[0].read_bytes() == kept[1].read_bytes()

"""A mistake ends with exit status 2 and one line that says what was found and what to do."""

import re
import subprocess
import sys

import pytest

from lb_jax.core import errors
from lb_jax.training import sheets

EMBED = "embed --model={model} -o {tmp}/out.npz --modality="
PLAN = "plan --config={sheets}/sheet.py --topology="
TRAIN = "train --config={sheets}/sheet.py --workdir={tmp}/run"
FINETUNE = sheets.SHIPPED / "finetune.py"
ROWS = f"{TRAIN} --config.data.sources.main.path={{sheets}}/rows.json"

# name: (command line, what its one line must say)
MISTAKES = {
    "unknown command": ("embde", r"unknown command 'embde'.*Did you mean 'embed'"),
    "no such file": (f"{EMBED}video {{media}}/no.mp4", r"no\.mp4: does not exist; give"),
    "empty mp4": (f"{EMBED}video {{media}}/empty_clip.mp4", "empty_clip.mp4: is empty"),
    "empty wav": (f"{EMBED}audio {{media}}/empty_sound.wav", "empty_sound.wav: is empty"),
    "empty png": (f"{EMBED}image {{media}}/empty_picture.png", "empty_picture.png: is empty"),
    "empty depth": (f"{EMBED}depth {{media}}/empty_depth.png", "empty_depth.png: is empty"),
    "cut mp4": (f"{EMBED}video {{media}}/cut_clip.mp4", "cut_clip.mp4: is cut off"),
    "cut wav": (f"{EMBED}audio {{media}}/cut_sound.wav", "cut_sound.wav: is cut off"),
    "cut png": (f"{EMBED}thermal {{media}}/cut_picture.png", "is damaged or cut off"),
    "cut depth": (f"{EMBED}depth {{media}}/cut_depth.png", "is damaged or cut off"),
    "rgb as depth": (
        f"{EMBED}depth {{media}}/picture.png",
        r"picture\.png: is 8-bit with channels R/G/B; expected one 16-bit channel",
    ),
    "motion of a model without it": (
        f"{EMBED}imu {{media}}/picture.png",
        r"no 'imu'.*audio, depth, image, thermal, video",
    ),
    "settings of motion for a model without it": (
        "embed --model={model} -o {tmp}/store {media}/picture.png --imu-rate=100",
        r"imu rate is 100\S*, which is for imu; .* has .*depth.*Leave it out",
    ),
    "a camera for depth in metres": (
        "embed --model={model} -o {tmp}/store {media}/picture.png --depth-camera=kinect",
        r"depth camera is kinect, which tells disparity; .*takes depth in metres",
    ),
    "units of motion that are none": (
        "embed --model={model} -o {tmp}/store {media}/picture.png --imu-units=g",
        r"imu units are 'g'; expected two with a comma",
    ),
    "motion in a run of LanguageBind": (
        f"train --config={FINETUNE}:imu --workdir={{tmp}}/run",
        r"takes one of image, .*audio after a colon.*not 'imu'",
    ),
    "sound as video": (f"{EMBED}video {{media}}/sound.wav", r"sound\.wav: .*video"),
    "picture as sound": (f"{EMBED}audio {{media}}/picture.png", r"picture\.png: "),
    "every file bad": (
        f"{EMBED}image {{media}}/empty_picture.png {{media}}/cut_picture.png",
        r"quarantine\.jsonl: none of 2 files can be used.*The first: .*empty_picture\.png: is emp",
    ),
    "folder without such files": (f"{EMBED}audio {{sheets}}", r"no audio files.*\.wav"),
    "empty text": (f"{EMBED}text 'a cat' '' 'a dog'", r"text 1: is empty"),
    "serve with no queue": ("serve --max-queue 0", "--max-queue is 0; expected above 0"),
    "serve at no port": ("serve --port 70000", "--port is 70000; expected 0 to 65535"),
    "serve at no address": ("serve --host 192.0.2.1", r"cannot listen at 192\.0\.2\.1:8000"),
    "serve with an empty token": ("serve --token ''", "--token is empty"),
    "unknown modality": (f"{EMBED}vidoe a.mp4", "invalid choice: 'vidoe'.*lb-jax embed --help"),
    "nothing to embed": (
        "embed {sheets} -o {tmp}/store --model={model}",
        "nothing to embed as .*files: [.]json: not among .*--as 'REGEX=MODALITY'",
    ),
    "no such folder": ("embed {tmp}/no -o {tmp}/store", "no: does not exist; give a folder"),
    "rule of no modality": (
        "embed {media} -o {tmp}/store --as x=deep",
        "no modality 'deep'.*Did you mean 'depth'",
    ),
    "window of nothing": (
        "embed {media} -o {tmp}/store --model={model} --window=-1",
        r"--window is -1\.0; it must be above 0 seconds",
    ),
    "no workers": ("embed {media} -o {tmp}/store --workers=0", "--workers is 0; it must be at"),
    "bad rate in per cent": (
        "embed {media} -o {tmp}/store --max-bad-rate=20",
        r"--max-bad-rate is 20\.0; it must be from 0 to 1",
    ),
    "npz without a modality": ("embed {media} -o {tmp}/o.npz", "--modality is needed for .*npz"),
    "npz with a window": (
        "embed {media} -o {tmp}/o.npz --modality=video --window=5",
        "--window goes with a store; give -o the name of a folder",
    ),
    "store inside a file": (
        "embed {media} -o {media}/clip.mp4/store --model={model}",
        r"--out: the folder .*clip\.mp4 cannot be written",
    ),
    "other things in the store": (
        "embed {media} -o {media} --model={model}",
        "is no store of vectors",
    ),
    "no items": (f"{EMBED}text", "required: items.*lb-jax embed --help"),
    "model missing": (
        "embed --model={tmp}/no --modality=text -o {tmp}/out.npz hi",
        "/no: no such file or folder, and not a hub name such as LanguageBind/",
    ),
    "model is no checkpoint": (
        "embed --model={media} --modality=text -o {tmp}/out.npz hi",
        r"media\d*: no weights; expected one of .*model\.safetensors, .* found clip\.mp4",
    ),
    "model is a file": (
        "evaluate --model={media}/clip.mp4 --data={tmp}",
        r"clip\.mp4: expected a safetensors or torch file",
    ),
    "out of another kind": (
        "embed --model={model} --modality=text -o {tmp}/out.csv hi",
        r"out\.csv; its name must end in \.npz",
    ),
    "out inside a file": (
        "embed --model={model} --modality=text -o {media}/clip.mp4/out.npz hi",
        r"--out: the folder .*clip\.mp4 cannot be written",
    ),
    "evaluate without corpus": (
        "evaluate --model={model} --data={tmp}/no",
        "no: does not exist; no 'no' among",
    ),
    "evaluate nothing": ("evaluate --model={model}", "one of the arguments --data --suite"),
    "evaluate without model": ("evaluate --data={tmp}", "--data needs --model; give it"),
    "suite without root": (
        "evaluate --suite paper --model={model}",
        "--suite needs --root; give it",
    ),
    "suite in no folder": (
        "evaluate --suite paper --model={model} --root={tmp}/no --cache={tmp}/c",
        "no: is no folder; give the one that holds the data sets' folders",
    ),
    "suite without data": (
        "evaluate --suite paper --model={model} --root={tmp} --cache={tmp}/c --only esc50",
        "no benchmark can be run: there is no folder esc50. Give",
    ),
    "unknown benchmark": (
        "evaluate --suite paper --model={model} --root={tmp} --only=msrvt",
        "no benchmark 'msrvt'.*Did you mean 'msrvtt'",
    ),
    "root of a corpus": (
        "evaluate --data={media} --model={model} --root={tmp}",
        "which has no use for root; leave it out",
    ),
    "split of a suite": (
        "evaluate --suite paper --root={tmp} --model={model} --split=train",
        "--split is not used with --suite; leave it out",
    ),
    "fusion of a corpus": (
        "evaluate --data={tmp} --model={model} --fusion=logits",
        "--fusion is not used with --data; leave it out",
    ),
    "two models": (
        "evaluate --suite paper --root={tmp} --model=a --model=b",
        "a: no such file or folder",
    ),
    "compare with nothing": ("evaluate --compare {tmp} {tmp}", "metrics.json: cannot be read"),
    "evaluate into a file": (
        "evaluate --model={model} --data={tmp} --out={media}/clip.mp4",
        r"--out: the folder .*clip\.mp4 cannot be written",
    ),
    "demo of half an item": ("demo --items=1.5", "--items.*1.5.*lb-jax demo --help"),
    "train without config": ("train --workdir={tmp}/run", "--config is missing; usage"),
    "train without workdir": ("train --config={sheets}/sheet.py", "--workdir is missing; usage"),
    "plan without topology": ("plan --config={sheets}/sheet.py", "--topology is missing; usage"),
    "plan for an unknown chip": (f"{PLAN}v9:2x2", "--topology 'v9:2x2': no chip 'v9'.*v5e:4x4"),
    "plan of an unknown key": (
        f"{PLAN}cpu:8 --config.batchsize=4",
        "'--config.batchsize'.*'config.batch_size'",
    ),
    "plan into no folder": (f"{PLAN}cpu:8 --json={{tmp}}/no/p.json", "--json: no folder .*p.json"),
    "no such config": (
        "train --config=configs/no.py --workdir={tmp}/run",
        r"no config file 'configs/no\.py' here.*package are in .*: audio\.py, .*demo_bind\.py, ",
    ),
    "config with a typing error": (
        "train --config={sheets}/broken.py --workdir={tmp}/run",
        r"broken\.py: line 1 is not Python",
    ),
    "config without get_config": (
        "train --config={sheets}/empty.py --workdir={tmp}/run",
        r"empty\.py has no get_config\(\)",
    ),
    "config with an argument that it takes none of": (
        "train --config={sheets}/sheet.py:depth --workdir={tmp}/run",
        r"sheet\.py:depth' hands an argument to get_config\(\).*write --config=.*sheet\.py\.",
    ),
    "config without the argument that it needs": (
        "train --config={sheets}/needs.py --workdir={tmp}/run",
        r"nothing is handed to get_config\(\) of .*needs\.py.*'modality'.*needs\.py:ARGUMENT",
    ),
    "own data of no modality": (
        f"train --config={FINETUNE} --workdir={{tmp}}/run",
        "finetune.py takes one of image, video, depth, thermal, audio after a colon",
    ),
    "own data of an unknown modality": (
        f"train --config={FINETUNE}:termal --workdir={{tmp}}/run",
        "not 'termal'. Did you mean 'thermal'",
    ),
    "own data that is not there": (
        f"train --config={FINETUNE}:depth --workdir={{tmp}}/run",
        "config.data.sources.main.path is empty; give",
    ),
    "factors that match nothing": (
        f"{ROWS} \"--config.optim.lr_factors=(('.*',1.0),('towers/video/.*',0.1))\"",
        "config.optim.lr_factors: rule 'towers/video/.*' matches nothing",
    ),
    "factor of nothing": (
        f"{ROWS} \"--config.optim.lr_factors=(('.*',0.0),)\"",
        "config.optim.lr_factors is .*a factor above 0",
    ),
    "unknown key": (f"{TRAIN} --config.batchsize=4", "'--config.batchsize'.*'config.batch_size'"),
    "unknown key below": (
        f"{TRAIN} --config.optim.learnrate=4",
        "'--config.optim.learnrate'.*Did you mean 'config.optim.lr'",
    ),
    "unknown key above": (
        f"{TRAIN} --config.modalities.dept.patch_dropout=0.5",
        "Did you mean 'config.modalities.depth.patch_dropout'",
    ),
    "unknown flag": (f"{TRAIN} --workdr=x", "'--workdr'.*Did you mean 'workdir'"),
    "value of the wrong type": (f"{TRAIN} --config.steps=many", "config.steps=many.*'many'"),
    "value out of range": (f"{ROWS} --config.steps=0", "config.steps is 0; it must be at least 1"),
    "cuDNN without a GPU": (f"{ROWS} --config.attention=cudnn", "runs on a GPU in bfloat16"),
    "no parameter to train": (
        f"{ROWS} \"--config.trainable=(('.*',False),)\"",
        "leaves no parameter to train",
    ),
    "batch of one": (
        f"{ROWS} --config.batch_size=1",
        "a batch of one depth has nothing to be told",
    ),
    "batch that does not split": (
        f"{ROWS} --config.batch_size=3",
        r"batch sizes \{'depth': 3\} do not split over 8 devices.*multiple of 8",
    ),
    "rate out of range": (
        f"{ROWS} --config.modalities.depth.patch_dropout=1.5",
        r"patch_dropout is 1\.5; it must be from 0 to below 1",
    ),
    "unknown dtype": (
        f"{ROWS} --config.dtype=float17",
        "it must be 'auto', 'float32', 'bfloat16' or",
    ),
    "texts too long": (f"{ROWS} --config.text_length=200", "text tower of tiny takes at most 77"),
    "tubes that do not fit": (
        f"{ROWS} --config.modalities.depth.tube_size=3",
        "1 frames do not split into tubes of 3",
    ),
    "annotations of nothing": (
        f"{TRAIN} --config.data.sources.main.path={{sheets}}/nothing.json",
        r"nothing\.json: holds no rows",
    ),
    "nothing to train": ("train", "--config is missing; usage"),
    "unwritable folder": (
        "embed --model={model} --modality=text -o /proc/o.npz hi",
        "--out: the folder /proc cannot be written",
    ),
    "unknown architecture": (f"{ROWS} --config.arch=tinny", "Did you mean 'tiny'"),
    "stray argument": (f"{TRAIN} batch_size=4", "unexpected argument 'batch_size=4'"),
    "no annotations": (TRAIN, "config.data.sources.main.path is empty; give"),
    "annotations missing": (
        f"{TRAIN} --config.data.sources.main.path={{tmp}}/no.json",
        r"no\.json: does not exist",
    ),
    "annotations cut": (
        f"{TRAIN} --config.data.sources.main.path={{sheets}}/cut.json",
        r"cut\.json: line \d+, column \d+",
    ),
    "annotation without the text kind": (
        f"{TRAIN} --config.data.sources.main.path={{sheets}}/lacking.json",
        r"lacking\.json: item1: lacks polish_mplug; it has raw, mplug, sound_mplug, ofa",
    ),
    "unknown text kind": (
        f"{ROWS} --config.modalities.depth.text_kind=polish_mplugg",
        "no text kind 'polish_mplugg'.*Did you mean 'polish_mplug'",
    ),
    "foreign workdir": (
        ROWS.replace("{tmp}/run", "{media}"),
        "is not empty and holds no run; give",
    ),
    "workdir inside a file": (
        ROWS.replace("{tmp}/run", "{media}/clip.mp4/run"),
        "cannot be written.*another --workdir",
    ),
    "start from no checkpoint": (
        f"{ROWS} --config.init_from={{media}}",
        "no weights; expected one",
    ),
    "no file is there": (ROWS, r"of \d+ samples cannot be used.*does not exist"),
}


def assert_one_line(result, message):
    assert result.status == 2
    assert result.out == ""
    assert result.err.startswith("lb-jax: ")
    assert result.err.count("\n") == 1, result.err
    assert result.err.endswith("\n")
    assert re.search(message, result.err), result.err


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_one_line_and_status_2(call, name):
    line, message = MISTAKES[name]
    assert_one_line(call(line), message)


def test_workdir_of_another_config_names_the_settings(call):
    # The first run gets as far as its data, which is not there, and has taken the folder.
    assert_one_line(call(ROWS), "samples cannot be used")
    other = call(f"{ROWS} --config.batch_size=16 --config.optim.lr=1.0")
    assert_one_line(other, r"run belongs to a run with other settings: batch_size, optim\.lr\. Use")


def test_run_that_cannot_start_leaves_the_workdir_free(call, tmp_path):
    assert call(f"{ROWS} --config.init_from={{media}}").status == 2
    assert not (tmp_path / "run").exists()


def test_debug_shows_the_traceback(call):
    for line in ("embed --model={tmp} --modality=text -o o.npz hi --debug", "--debug embde"):
        with pytest.raises(errors.LbJaxError):
            call(line)


@pytest.mark.parametrize("command", ["demo", "train", "plan", "evaluate", "embed"])
def test_module_is_the_command(command):
    done = subprocess.run(
        [sys.executable, "-m", f"lb_jax.{command}", "--bad=1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"lb-jax: .*\n", done.stderr)

"""Runs the commands of README and docs as they stand there, on small data of the names they have.

    python -m tests.docs_runs [--page README.md …] [--match REGEX]

Each page has a folder of its own (`docs_world`), in which its commands run one after the other, so
that what one writes is there for the next. What a page leaves open (`M`, `CORPUS`, `FILES`) has a
value in `VALUES`; published models are replaced by the shipped one and long trainings by their
trial (`SMALL`); what cannot run here at all stands in `ELSEWHERE` with the reason. A line for each
command: page, seconds, `ok` or what went wrong; the exit status is 1 if anything did.
"""

import argparse
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests import docs_commands, docs_world
from tests.docs_commands import Command
from tests.docs_world import CORPUS, MODEL, WRITER
from tests.goldens import ROOT

SERVE_S = 300

# Commands that do not run here: a pattern of their text, and the reason.
ELSEWHERE = {
    r"pip install .*": "needs a package index; the suite runs with what is installed",
    r"make.*|\.ci/\w+": "installs from a package index and takes minutes; CI runs them",
    r"(\.venv/bin/)?python -m pytest .*": "the suite itself",
    r"python -m tests\.docs_runs": "runs all the others",
    r"(python -m lb_jax\.|bash findings/)NAME.*": "stands for several programs",
    r"python (-m )?benchmarks[/.].*": "measures for minutes or hours on a quiet machine",
    r"lb-jax demo( \[--out DIR\].*)?": "trains for minutes; `make demo`",
    r"lb-jax demo caption.*": "trains for minutes; `make demo-captioner`",
    r"lb-jax demo mmv.*": "trains for minutes",
    r"lb-jax demo imagebind.*": "trains for minutes",
    r"lb-jax train --config=imagebind:.*": "starts from the released weights",
    r"lb-jax corpus (demo|run).*": "looks at films for minutes; tests/builder",
    r"lb-jax corpus (terms|collect).*": "needs files of other sets, or hosts; tests/builder",
    r"lb-jax .* ?corpus/corpus/annotation\.json.*": "needs a corpus that was built; tests/builder",
    r"lb-jax train --config=configs/demo_pretrain.*": "trains for minutes; `make demo`",
    r"lb-jax train --config=valor_retrieval:valor32k .*": "needs the released model and VALOR-32K; "
    "tests/training/test_valor.py trains a small one",
    r"lb-jax train --config=mmv_s3d --workdir=run .*": "trains for days; its trial stands below it",
    r"lb-jax deflate .*": "needs an MMV model; tests/cli/test_deflate.py makes one",
    r"lb-jax .*(imagebind_huge|--like walk\.csv).*": "needs the released file; tests/cli/"
    "test_evaluate.py makes a small one",
    r"lb-jax corpus generate .*": "needs released weights; tests/cli has small ones",
    r"lb-jax plan .*": "compiles for TPU for minutes; tests/training/test_plan.py",
    r"lb-jax replay .*": "needs a step that was not finite; tests/training/test_drill.py makes one",
    r"lb-jax (embed|index build) .* s3://.*": "needs object storage",
    r"lb-jax data convert (~/tensorflow_datasets|tfds:).*": "needs a data set that TFDS wrote; "
    "tests/corpora/test_tfds.py writes one",
}
# Named in a sentence without what it needs, such as `lb-jax embed --batch-size`.
NAMED = re.compile(r"lb-jax( [a-z_]+)*( --(to=)?[a-z-]+)?")
ALONE = ("lb-jax doctor", "lb-jax serve")  # these need nothing

# What the pages leave open or have on another machine, and what is there instead.
VALUES = {
    r"~/": "home/",
    r"=vidal\.json": f"={CORPUS}/train.json",
    r"/media/vidal": CORPUS,
    r"data check CORPUS": f"data check {CORPUS}/train.json",
    r"data convert SRC": "data convert train.json",
    r"data convert train\.json DST": f"data convert train.json packed --root {CORPUS}",
    r"\b(M|SRC)\b": MODEL,
    r"video=DIR_A audio=DIR_B": "video=parts/video audio=parts/audio",
    r"\bCORPUS\b": CORPUS,
    r"\bNEW\b": "new",
    r"\bSTORE\b": "store",
    r"--compare A B\b": "--compare result_a result_b",
    r"--benchmark NAME\b": "--benchmark nyu_depth",
    r"--root DIR\b": "--root datasets",
    r"--out DIR\b": "--out result",
    r"--json FILE\b": "--json found.json",
    r"--workdir=DIR\b": "--workdir=work",
    r"--config=(SHEET|configs/X\.py)(?=$| )": "--config=configs/X.py:trial",
    r"--config\.name=value": "--config.steps=1",
    r"\bembed DIR\b": "embed photos",
    r"ask FILE QUESTION": "ask home/Videos/0.mp4 'what is seen'",
    r"\bFILES\b": "home/Videos/0.mp4 home/Videos/1.mp4",
    r"MODALITY,\.\.\.": "image",
    r"\bFORMAT\b": "orbax",
}
# What would take a network or hours, and the same in small.
SMALL = {
    r"(video=)?LanguageBind/\w+": MODEL,
    r"\bVALOR-[BL]\b": WRITER,
    r"(--config=depth)(?=$| )": r"\1:trial",
    r"(finetune(\.py)?:\w+)(?=$| )": r"\1,trial",
}


def reason(command: Command) -> str | None:
    """Why a command does not run here; None for one that does."""
    named = NAMED.fullmatch(command.text) and command.text not in ALONE
    if named and not command.is_shown:
        return "named without what it needs"
    found = (why for pattern, why in ELSEWHERE.items() if re.fullmatch(pattern, command.text))
    return next(found, None)


def words_of(command: Command) -> list[str]:
    """The words of a command with values in the place of what is left open."""
    text = shlex.join(command.words)
    for pattern, value in (VALUES | SMALL).items():
        text = re.sub(pattern, value, text)
    return shlex.split(text)


def prepare(command: Command, folder: Path) -> list[str]:
    """Makes room for what a command writes anew; its words."""
    words = words_of(command)
    if "DST" in words:  # each conversion has a folder of its own
        words[words.index("DST")] = f"out-{len(list(folder.glob('out-*')))}"
    if "--window" in words:  # one store has windows of one length
        shutil.rmtree(folder / words[words.index("-o") + 1], ignore_errors=True)
    if "train" in words:  # a run has its settings, and a page shows several of one name
        for word in words:
            if word.startswith("--workdir="):
                shutil.rmtree(folder / word.partition("=")[2], ignore_errors=True)
    if "--store" in words and not (folder / (store := words[words.index("--store") + 1])).exists():
        wrong = run(["lb-jax", "index", "build", "photos", "-o", store], folder)
        assert not wrong, wrong
    if "--compare" in words:
        for name in words[words.index("--compare") + 1 :]:
            shutil.copytree(folder / "result", folder / name)
    return words


def run(words: list[str], folder: Path) -> str:
    """Runs a command in a process of its own; what went wrong, or nothing."""
    how = {
        "cwd": folder,
        "env": os.environ | {"HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1"},
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "text": True,
    }
    assert words[0] == "lb-jax", words
    called = [sys.executable, "-m", "lb_jax.cli.main", *words[1:]]
    if words[1] != "serve":
        ended = subprocess.run(called, **how, check=False)
        return "" if ended.returncode == 0 else f"status {ended.returncode}: {ended.stdout[-2000:]}"
    process = subprocess.Popen([*called, "--port=0"], **how)
    said = ""
    began = time.monotonic()
    while "ready at" not in said and time.monotonic() - began < SERVE_S:
        line = process.stdout.readline()
        if not line:
            break
        said += line
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate()
    good = "ready at" in said and process.returncode == 0
    return "" if good else f"status {process.returncode}: {said}{rest}"


def main() -> int:
    """Runs the commands and prints a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", nargs="+", choices=docs_commands.PAGES)
    parser.add_argument("--match", default="", help="only commands in which this pattern is found")
    given = parser.parse_args()
    failed = 0
    for page in given.page or docs_commands.PAGES:
        commands = [
            one for one in docs_commands.commands_of(page) if re.search(given.match, one.text)
        ]
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            if not all(map(reason, commands)):
                docs_world.make(folder, (ROOT / page).read_text("utf-8"))
            for command in commands:
                if why := reason(command):
                    print(f"{page}: not here ({why}): {command.text}", flush=True)
                    continue
                began = time.monotonic()
                wrong = run(prepare(command, folder), folder)
                failed += bool(wrong)
                seconds = time.monotonic() - began
                print(f"{page}: {seconds:.0f} s, {wrong or 'ok'}: {command.text}", flush=True)
    print(f"{failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())

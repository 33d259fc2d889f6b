"""Does a corpus that was filtered out of raw films train as well as one that came ready?

    python benchmarks/corpus_training.py --built build/corpus-demo --ready build/demo/corpus \\
        --pretrained build/demo/pretrain --out build/corpus-training

Both are films of the demo's objects: `lb-jax corpus demo --out=build/corpus-demo` filtered one,
`lb-jax demo` wrote the other and the first stage. `configs/demo_bind.py` is trained on each, from
that stage, by as many items of the ready one as the other has, and evaluated on the ready one's
held-out items. The sheet's depth and thermal are left out: raw films have no such sensor, and the
networks that would paint them need weights that do not come with the package. The last line is
JSON; status 1 where an accuracy is more than three points apart.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

SHEET = """from lb_jax.training import sheets


def get_config():
    found = sheets.load_sheet("demo_bind")
    with found.unlocked():
        del found.modalities["depth"], found.modalities["thermal"]
    return found
"""
SCORES = ("image/category", "image/colour", "video/motion", "video/category", "audio/source")
APART = 0.03


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--built", type=Path, default=Path("build/corpus-demo"))
    parser.add_argument("--ready", type=Path, default=Path("build/demo/corpus"))
    parser.add_argument("--pretrained", type=Path, default=Path("build/demo/pretrain"))
    parser.add_argument("--out", type=Path, default=Path("build/corpus-training"))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    sheet = arguments.out / "bind.py"
    sheet.write_text(SHEET, encoding="utf-8")
    built = arguments.built / "corpus" / "annotation.json"
    rows = json.loads((arguments.ready / "train.json").read_text(encoding="utf-8"))
    count = len(json.loads(built.read_text(encoding="utf-8")))
    ready = arguments.ready / f"train-{count}.json"
    ready.write_text(json.dumps(dict(list(rows.items())[:count])), encoding="utf-8")
    found = {}
    for name, data in {"built": built, "ready": ready}.items():
        work = arguments.out / name
        _run(
            *("train", f"--config={sheet}", f"--workdir={work}"),
            f"--config.init_from={arguments.pretrained}",
            f"--config.data.sources.main.path={data}",
            f"--config.seed={arguments.seed}",
        )
        scored = arguments.out / f"{name}-scores"
        _run("evaluate", f"--model={work}", f"--data={arguments.ready}", f"--out={scored}")
        metrics = json.loads((scored / "metrics.json").read_text(encoding="utf-8"))
        found[name] = {task: row["top1"] for task, row in metrics["zero_shot"].items()}
    apart = {task: found["built"][task] - score for task, score in found["ready"].items()}
    for task, difference in apart.items():
        print(
            f"{task:24} built {found['built'][task]:.3f}  ready {found['ready'][task]:.3f}  "
            f"{difference:+.3f}"
        )
    print(json.dumps({"items": count, "apart": apart, **found}))
    sys.exit(any(apart[task] < -APART for task in SCORES if task in apart))


def _run(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "lb_jax.cli.main", *arguments], check=True)


if __name__ == "__main__":
    main()

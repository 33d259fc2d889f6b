"""`lb-jax corpus run --config=SHEET --out=DIR [--config.name=value ...]`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from lb_jax.cli.arguments import make_folder
from lb_jax.core import errors, locks
from lb_jax.core.words import counted

USAGE = "usage: lb-jax corpus run --config=SHEET --out=DIR [--config.name=value ...]"
HELP = f"""{USAGE}

Runs the stages of a sheet over the items of a source, and writes those that are kept as a corpus:
VIDAL's layout and annotation, a card, and a page of each stage. The same command goes on where a
run was stopped or killed; with a stage added to the sheet it runs that one alone.

  --config              sheet, a Python file with get_config(), or the name of one that comes with
                        the package: corpus_vidal, corpus_vidal_texts
  --out                 folder of the run; new, empty, or of the same sheet
  --config.name=value   another value for a setting of the sheet, such as
                        --config.source.path=raw.json or --config.duration.longest_s=30
  --engine              local: processes of this machine (default); ray: on Ray, the extra `ray`
  --address             of a Ray cluster (default: one on this machine)
  --to                  also as these, separated by commas: parquet, webdataset, array_record, tfds
  --plan                tell what would be run, and check that it can be

A source is a JSON object, key -> {{"title", "file", "licence", "source"}}, or a CSV, JSONL or
Parquet file with the columns id,title,file,licence,source."""
ENGINES = ("local", "ray")
STORE = "store"


def main(argv: Sequence[str]) -> None:
    """Runs a sheet as the arguments say, and prints the yields."""
    if "--help" in argv or "-h" in argv:
        print(HELP)
        return
    cfg, values = parse(argv)
    run(
        cfg,
        Path(values.out),
        engine=values.engine,
        address=values.address,
        formats=tuple(values.to),
        only_plan=values.plan,
    )


def parse(argv: Sequence[str]):
    """Reads `--config`, its overrides, and the command's own flags; see `sheets.parse`."""
    from lb_jax.builder import out, sheet
    from lb_jax.training import sheets

    def define(values: flags.FlagValues) -> None:
        flags.DEFINE_string("out", None, "folder of the run", flag_values=values)
        flags.DEFINE_enum("engine", ENGINES[0], ENGINES, "what runs it", flag_values=values)
        flags.DEFINE_string("address", "", "of a Ray cluster", flag_values=values)
        flags.DEFINE_list("to", [], "other formats", flag_values=values)
        flags.DEFINE_bool("plan", False, "only tell what would be run", flag_values=values)

    cfg, values = sheets.parse(argv, USAGE, define, required="out", read=sheet.from_config_dict)
    for name in values.to:
        if name not in out.FORMATS:
            raise errors.ConfigError(
                f"--to has {name!r}; expected some of {', '.join(out.FORMATS)}."
                f"{errors.nearest(name, out.FORMATS)}"
            )
    return cfg, values


def run(
    cfg: Any,
    folder: Path,
    *,
    engine: str = ENGINES[0],
    address: str = "",
    formats: Sequence[str] = (),
    only_plan: bool = False,
) -> dict[str, Any]:
    """Runs a sheet and writes its corpus; returns what the card says, nothing of a mere plan."""
    from lb_jax.builder import items as items_lib
    from lb_jax.builder import out as out_lib
    from lb_jax.builder import sheet, store

    sheet.require_source(cfg)
    plan = sheet.plan(cfg)
    items = items_lib.read(cfg.source)
    if only_plan:
        print("\n".join(told_plan(plan, items)))
        return {}
    make_folder(folder, "--out")
    busy = f"--out: another run is at work in {folder}; wait for it or give another folder."
    with locks.of_folder(folder, busy, "give an --out on another one"):
        opened = store.Store.open(folder / STORE)
        settings = {
            "commit_rows": cfg.engine.commit_rows,
            "workers": cfg.engine.workers,
            "film_timeout_s": cfg.engine.film_timeout_s,
        }
        if engine == "ray":
            from lb_jax.builder.engine import ray

            ray.run(plan, items, opened, address=address, **settings)
        else:
            from lb_jax.builder.engine import local

            local.run(plan, items, opened, **settings)
        card = out_lib.write(plan, cfg, items, opened, folder, formats=formats)
    print("\n".join(told(card)))
    print(f"{folder / out_lib.CORPUS / out_lib.ANNOTATION}\n{folder / out_lib.CARD}")
    return card


def told_plan(plan, items) -> list[str]:
    """What would be run, in words."""
    lines = [f"{counted(len(items), 'item')}; stages:"]
    for one in plan:
        packages = ", ".join(package.name for package in one.stage.packages) or "nothing else"
        what = f"{one.stage.does}; {one.stage.needs}, {one.stage.memory_mb} MB, needs {packages}"
        by = [getattr(one.settings, name, "") for name in ("model", "base_url")]
        model = f", by {' at '.join(filter(None, by))}" if any(by) else ""
        lines.append(f"  {one.name:14} {what}{model}")
    return lines


def told(card: dict[str, Any]) -> list[str]:
    """The yields, in words."""
    lines = [f"  {'stage':14} {'asked':>7} {'kept':>7} {'refused':>7} {'bad':>5}"]
    for row in card["stages"]:
        numbers = f"{row['asked']:7} {row['kept']:7} {row['refused']:7} {row['bad']:5}"
        lines.append(f"  {row['stage']:14} {numbers}")
    return [f"kept {card['kept']:,} of {counted(card['items'], 'item')}", *lines]

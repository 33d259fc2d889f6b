"""A run of a corpus's stages beside a plain loop over files, and what each stage costs of a core.

    python benchmarks/corpus_speed.py [--films 500] [--repetitions 3] [--side ours]

Raw films of `lb-jax corpus demo` go through the sheet corpus_demo. Ours is the local engine with
its store. The plain loop runs the same functions, one stage after the other over the files that
are left, opens a file for each stage that looks at films, and keeps verdicts in memory; it is one
process that nothing holds to one core. Both must refuse the same films for the same stages. Every
run is a process of its own, its start included; they take turns, and a ratio is the median over
the turns.

The table is of a third run that nothing is compared with: seconds of processor of a film by each
stage, its own work and, for stages that open films, what the plain loop spends on it with opening
and decoding. The last line is JSON.
"""

import argparse
import collections
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--films", type=int, default=500)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--raw", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        print(json.dumps(SIDES[arguments.side](config(arguments.raw))))
        return
    with tempfile.TemporaryDirectory() as folder:
        raw = drawn(Path(folder) / "raw", arguments.films)
        found: dict[str, list[dict[str, Any]]] = collections.defaultdict(list)
        for _ in range(arguments.repetitions):
            for side in ("ours", "plain loop"):
                found[side].append(measured(side, raw))
        if found["ours"][0]["refused"] != found["plain loop"][0]["refused"]:
            sys.exit("the sides refuse other films")
        costs = measured("costs", raw)["stages"]
    told = report(found, costs, found["plain loop"][0]["stages"], arguments.films)
    print(json.dumps(told))


def drawn(folder: Path, films: int) -> Path:
    """Raw films; their `raw.json`."""
    from lb_jax.demo import folder as folder_lib
    from lb_jax.demo import raw_films

    folder.mkdir()
    folder_lib.write(raw_films.RAW_FILMS, folder, seed=SEED, items=films)
    return folder / "raw.json"


def config(raw: Path):
    """The demo's sheet for these films."""
    import dataclasses

    from lb_jax.builder import sheet
    from lb_jax.training import sheets

    cfg = sheet.from_config_dict(sheets.load_sheet("corpus_demo"))
    return dataclasses.replace(cfg, source=sheet.Source(path=str(raw)))


def measured(side: str, raw: Path) -> dict[str, Any]:
    """What a run in a process of its own says, with seconds and seconds of processor."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, __file__, "--side", side, "--raw", str(raw)]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {**json.loads(told.splitlines()[-1]), "seconds": seconds, "cpu": cpu}


def ours(cfg) -> dict[str, Any]:
    """The local engine; key of a refused film -> its stage."""
    from lb_jax.builder import export, items, sheet, store
    from lb_jax.builder.engine import local

    plan = sheet.plan(cfg)
    with tempfile.TemporaryDirectory() as folder:
        opened = store.Store.open(Path(folder) / "store")
        local.run(plan, items.read(cfg.source), opened, shown=False)
        rows = export.table(plan, opened).to_pylist()
    return {"refused": {row["key"]: row["refused_by"] for row in rows if not row["kept"]}}


def plain(cfg) -> dict[str, Any]:
    """One stage after the other over all files that are left."""
    from lb_jax.builder import items, sheet

    found = items.read(cfg.source)
    left, refused, stages = list(range(len(found))), {}, {}
    for one in sheet.plan(cfg):
        start, asked = time.process_time(), len(left)
        said = _said(one, found, left)
        stages[one.name] = {"films": asked, "cpu": time.process_time() - start}
        keys = found.rows["key"]
        refused |= {keys[i].as_py(): one.name for i in left if said[i].kept is not True}
        left = [i for i in left if said[i].kept is True]
    return {"refused": refused, "stages": stages}


def _said(one, found, left) -> dict[int, Any]:
    """What a stage says of the items that are left, a file at a time."""
    from lb_jax.builder import films, stage
    from lb_jax.core import errors

    look, judge = one.stage.look, one.stage.judge
    said = {}
    for place in left if look else ():
        batch = found.rows.slice(place, 1).combine_chunks().to_batches()[0]
        if one.wants is None:
            said[place] = look(batch, (), one.prepared)[0]
            continue
        path = found.path(batch["file"][0].as_py())
        try:
            with films.Film(path, path, one.wants) as film:
                said[place] = look(batch, [film], one.prepared)[0]
        except errors.DataError as error:
            said[place] = stage.bad(error)
        if judge and said[place].kept:
            said[place] = judge(batch, [said[place].figures], one.prepared)[0]
    if one.stage.compare is None:
        return said
    usable = [place for place in left if place not in said or said[place].kept]
    rows = found.rows.take(usable)
    for name, kind in one.stage.seen:
        import pyarrow as pa

        rows = rows.append_column(name, pa.array([said[i].figures[name] for i in usable], kind))
    return said | dict(zip(usable, one.stage.compare(rows, one.prepared), strict=True))


def costs(cfg) -> dict[str, Any]:
    """Seconds of processor of every part of a run in one process that opens a film once."""
    from lb_jax.builder import films, items, sheet
    from lb_jax.builder.engine import looking

    found, plan = items.read(cfg.source), sheet.plan(cfg)
    looks = looking.Looks.of(plan)
    by_name = {one.name: one for one in plan}
    spent: collections.Counter[str] = collections.Counter()
    asked: collections.Counter[str] = collections.Counter()

    def timed(name, run, *given):
        start = time.process_time()
        result = run(*given)
        spent[name] += time.process_time() - start
        asked[name] += 1
        return result

    for place in range(len(found)):
        batch = found.rows.slice(place, 1).combine_chunks().to_batches()[0]
        for name, one in by_name.items():
            if one.wants is None and one.stage.look is not None:
                timed(name, one.stage.look, batch, (), one.prepared)
        path = found.path(batch["file"][0].as_py())
        with films.Film(path, path, looks.wants) as film:
            timed("header", lambda film=film: film.facts)
            timed("sound", film.sound)
            timed("pictures", film.every)
            for name in looks.names:
                verdict = timed(name, looks.verdict, name, film, batch)
                judge = by_name[name].stage.judge
                if judge and verdict.kept:
                    settings = by_name[name].prepared
                    timed(f"{name}, model", judge, batch, [verdict.figures], settings)
    return {"stages": {name: {"films": asked[name], "cpu": spent[name]} for name in spent}}


def report(found, costs, plain_stages, films: int) -> dict[str, Any]:
    """Prints both tables; what they hold."""
    print(f"\n{'':14} {'films/s':>9} {'seconds':>9} {'of CPU':>8}  ratios by time, CPU")
    told: dict[str, Any] = {"films": films, "sides": {}, "stages": {}}
    for side, runs in found.items():
        pairs = list(zip(runs, found["plain loop"], strict=True))
        row = {
            "films_per_s": films / statistics.median(one["seconds"] for one in runs),
            "seconds": statistics.median(one["seconds"] for one in runs),
            "cpu": statistics.median(one["cpu"] for one in runs),
            "ratio": statistics.median(loop["seconds"] / one["seconds"] for one, loop in pairs),
            "cpu_ratio": statistics.median(loop["cpu"] / one["cpu"] for one, loop in pairs),
        }
        told["sides"][side] = row
        print(
            f"{side:14} {row['films_per_s']:9.1f} {row['seconds']:9.1f} {row['cpu']:8.1f}  "
            f"{row['ratio']:.2f} {row['cpu_ratio']:.2f}"
        )
    print(
        f"\n{'stage':18} {'ms a film':>10} {'films/s a core':>15} {'ms alone, opened for it':>24}"
    )
    for name, row in costs.items():
        own = 1000 * row["cpu"] / row["films"]
        alone = plain_stages.get(name)
        by_itself = 1000 * alone["cpu"] / alone["films"] if alone and alone["films"] else None
        told["stages"][name] = {"ms": own, "films_per_s": 1000 / own, "alone_ms": by_itself}
        shown = "" if by_itself is None else f"{by_itself:.1f}"
        print(f"{name:18} {own:10.2f} {1000 / own:15.0f} {shown:>24}")
    return told


SIDES = {"ours": ours, "plain loop": plain, "costs": costs}


if __name__ == "__main__":
    main()

"""Plans: a small step on virtual devices, the search for what fits, and what is refused."""

import dataclasses
import json
from fractions import Fraction

import jax
import jax.numpy as jnp
import pytest

from lb_jax.cli import main
from lb_jax.core import errors
from lb_jax.models.lora import LoraConfig
from lb_jax.training import chips, compute, flops, plan, program, sharding
from lb_jax.training.config import ModalityRecipe, TrainConfig

CFG = TrainConfig(
    arch="tiny",
    modalities={"depth": ModalityRecipe(lora=LoraConfig(rank=2), patch_dropout=0.5)},
    trainable=((r".*/lora_[ab]|logit_scale/.*", True), (r".*", False)),
    steps=1,
    batch_size=32,
    text_length=16,
)
SHEET = """
from lb_jax.training.config import as_config_dict
from tests.training.test_plan import CFG

def get_config():
    return as_config_dict(CFG)
"""


@pytest.fixture(scope="module")
def trial():
    return plan.try_out(CFG, plan.target("cpu:8"))


def test_memory_of_the_small_step(trial):
    found = trial.figures
    assert trial.fits
    image, ids = 48 * 48 * 3 * 4, 16 * 4
    trainable, frozen = program.shapes(CFG)
    parameters = sum(leaf.size * 4 for leaf in jax.tree.leaves(frozen))
    state = 3 * sum(leaf.size * 4 for leaf in jax.tree.leaves(trainable))  # with Adam's moments
    batch = CFG.batch_size // 8 * (image + ids)
    assert found.argument_bytes == pytest.approx(parameters + state + batch, rel=0.01)
    assert found.output_bytes < 0.01 * state  # the new state takes the old one's place
    assert found.bytes > found.argument_bytes + found.temp_bytes


def test_flops_and_traffic_of_the_small_step(trial):
    found = trial.figures
    mesh = sharding.make_mesh({"data": -1, "fsdp": 1, "tensor": 1})
    assert found.model_flops == flops.step_flops(CFG, mesh) / 8
    assert found.executed_flops == found.model_flops  # nothing is computed again
    assert found.compiler_flops < found.model_flops  # three layers are counted as one
    assert found.memory_traffic > found.argument_bytes
    assert 0 < sum(found.sent.values()) < found.argument_bytes


def test_roofline_takes_the_largest_term(trial):
    chip = chips.TPUS["v5e"]
    found = dataclasses.replace(
        trial.figures,
        executed_flops=197e12,
        memory_traffic=819e9 / 2,
        sent={"all-reduce": 200e9 / 4, "collective-permute": 50e9 / 4},
    )
    line = plan.roofline(found, chip)
    assert dataclasses.astuple(line) == (1, 0.5, 0.5)
    assert (line.seconds, line.bound) == (1, "compute")


@pytest.fixture
def modelled(monkeypatch):
    """Memory by a formula in place of the compiler; returns the settings that were tried."""
    kept = {"none": 4.0, "dots": 2.0, "full": 1.0}  # MiB of an item

    def try_out(cfg, to):
        tried.append((cfg.remat, cfg.accumulate, cfg.batch_sizes["depth"]))
        size = (1000 + kept[cfg.remat] * cfg.batch_sizes["depth"] / 8 / cfg.accumulate) * 2**20
        figures = plan.Figures(size, 0, 0, 0, 1, 1, 1, 1, {}, 0)
        return plan.Trial(cfg, figures, "", fits=size <= to.chip.memory)

    tried = []
    monkeypatch.setattr(plan, "try_out", try_out)
    return tried


V5E = dataclasses.replace(plan.target("cpu:8"), chip=chips.TPUS["v5e"])
ROOM = (15.75 * 1024 - 1000) * 8  # MiB of items on all devices


@pytest.mark.parametrize("start", [32, 2**19])
def test_search_finds_the_batch_within_a_quarter(modelled, start):
    told = []
    given = plan.try_out(dataclasses.replace(CFG, batch_size=start), V5E)
    found = plan.search(given, V5E, told.append)
    assert len(told) == len(modelled) - 1  # the given setting is not tried again
    assert len(set(modelled)) == len(modelled)
    assert [(one.cfg.remat, one.cfg.accumulate) for one in found] == list(plan.SAVINGS)
    for one in found:
        most = ROOM / {"none": 4, "dots": 2, "full": 1}[one.cfg.remat] * one.cfg.accumulate
        assert 0.75 * most <= one.cfg.batch_sizes["depth"] <= most
        assert one.cfg.batch_sizes["depth"] % (8 * one.cfg.accumulate) == 0


def test_search_without_a_memory_to_fill_is_refused(trial):
    with pytest.raises(errors.ConfigError, match="memory of cpu:8 is not known"):
        plan.search(trial, plan.target("cpu:8"), print)


def test_batches_of_a_run_grow_together():
    cfg = dataclasses.replace(
        CFG, modalities=CFG.modalities | {"image": ModalityRecipe(batch_size=16)}
    )
    larger = plan.scaled(cfg, Fraction(3, 2), unit=8)
    assert larger.batch_sizes == {"depth": 48, "image": 24}
    assert plan.scaled(cfg, Fraction(3, 4), unit=8) is None  # 12 images


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("v5:2x2", r"no chip 'v5'.*Did you mean 'v5[ep]'"),
        ("h100:8", r"Give a chip \(v4, v5e, v5p, v6e, tpu7x\).*cpu:8 for 8"),
        ("cpu:many", "expected a number of devices, such as cpu:8"),
        ("cpu:0", "expected a number of devices"),
        ("cpu:64", "JAX has started with 8 CPU devices already"),
    ],
)
def test_wrong_topology_says_what_is_there(name, message):
    with pytest.raises(errors.ConfigError, match=message):
        plan.target(name)


# Shapes and counts of cloud.google.com/tpu/docs: v5e and v6e count chips, the others TensorCores,
# of which a chip has two.
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("v5litepod-1", "v5e:1x1"),
        ("v5litepod-16", "v5e:4x4"),
        ("V5LITEPOD-256", "v5e:16x16"),
        ("v5e-4", "v5e:2x2"),
        ("v6e-8", "v6e:2x4"),
        ("v6e-4x8", "v6e:4x8"),
        ("v4-8", "v4:2x2x1"),
        ("v5p-8", "v5p:2x2x1"),
        ("v5p-128", "v5p:4x4x4"),
        ("v5p-1280", "v5p:4x8x20"),
        ("v5p-12288", "v5p:16x16x24"),
        ("tpu7x-8", "tpu7x:2x2x1"),
        ("tpu7x-2x2x2", "tpu7x:2x2x2"),
        ("v5e:16x16", "v5e:16x16"),
        ("cpu:8", "cpu:8"),
        ("attached", "attached"),
    ],
)
def test_slice_is_known_by_its_name_in_the_cloud(name, expected):
    assert chips.topology(name) == expected


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("v5litepod-12", "has 12 chips; the nearest are v5litepod-8 and v5litepod-16"),
        ("v5p-12", "has 12 TensorCores; the nearest are v5p-8 and v5p-16"),
        ("tpu7x-4", "the nearest are tpu7x-2 and tpu7x-8"),
        ("v6e-1024", "the nearest are v6e-256"),
        ("v5litpod-8", "Did you mean 'v5litepod'"),
        ("v3-8", "no chip 'v3'"),
    ],
)
def test_slice_that_is_not_made_names_the_nearest(name, message):
    with pytest.raises(errors.ConfigError, match=message):
        chips.topology(name)


def test_settings_that_a_run_refuses_are_refused():
    to = plan.target("cpu:8")
    with pytest.raises(errors.ConfigError, match="do not split over 8 devices"):
        plan.try_out(dataclasses.replace(CFG, batch_size=12), to)
    uneven = dataclasses.replace(CFG, mesh=dataclasses.replace(CFG.mesh, fsdp=3))
    with pytest.raises(errors.ConfigError, match="does not fit 8 devices"):
        plan.try_out(uneven, to)


def test_compute_dtype_is_that_of_the_planned_devices():
    assert compute.compute_dtype(CFG, "cpu") == jnp.float32
    assert compute.compute_dtype(CFG, "tpu") == jnp.bfloat16
    assert compute.compute_dtype(dataclasses.replace(CFG, dtype="float32"), "tpu") == jnp.float32


def test_command_prints_tables_and_writes_them(tmp_path, capsys):
    sheet, out = tmp_path / "sheet.py", tmp_path / "plan.json"
    sheet.write_text(SHEET)
    assert main.main(["plan", f"--config={sheet}", "--topology=cpu:2", f"--json={out}"]) == 0
    printed = capsys.readouterr().out
    assert "tiny on cpu:2, 2 devices, remat none, accumulate 1, batch depth 32" in printed
    for name in ("arguments", "temporary", "model", "executed", "all-reduce", "sent in all"):
        assert f"  {name} " in printed
    given = json.loads(out.read_text())["given"]
    assert given["batch_sizes"] == {"depth": 32}
    assert given["figures"]["model_flops"] > 0


def test_libtpu_compiles_for_chips_that_are_not_there():
    pytest.importorskip("libtpu", reason="the extra `plan` is not installed")
    to = plan.target("v5e:2x4")
    assert (len(to.devices), to.chip) == (8, chips.of(to.devices[0]))
    trial = plan.try_out(CFG, to)
    found = trial.figures
    assert trial.fits
    if "collective-permute" in found.sent:  # the ring as it is written, by libtpu of jax 0.12
        # float32 text embeddings and three numbers of each row go once around, there and back
        turn = CFG.batch_size // 8 * (64 + 3) * 4
        assert found.sent["collective-permute"] == 2 * 8 * turn
        assert "all-gather" not in found.sent
    else:
        # text embeddings, in bfloat16 or float32, from the seven other chips; the compiler may
        # gather rows of the loss as well
        embeddings = 7 * CFG.batch_size // 8 * 64 * 2
        assert embeddings <= found.sent["all-gather"] <= 3 * embeddings
    assert plan.roofline(found, to.chip).seconds > 0
    with pytest.raises(errors.ConfigError, match="no such slice"):
        plan.target("v5e:3x5")

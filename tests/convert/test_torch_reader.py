"""Files of torch.save: read bit for bit without torch; what they hold is never run."""

import argparse
import collections
import datetime
import decimal
import pickle
import random
import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lb_jax.convert import lazy, tensors, torch_reader
from lb_jax.core import errors
from tests.convert import torch_files
from tests.convert.torch_files import Call, Global, Persistent

NUMBERS = np.arange(12, dtype=np.float32)
STORAGE = torch_files.storage("0", 12)
RECORDS = {"data/0": NUMBERS.tobytes()}


def write(tmp_path, value, records=RECORDS):
    """A handmade file; bytes are its pickle as they are."""
    pickled = value if isinstance(value, bytes) else torch_files.dumps(value)
    return torch_files.write(tmp_path / "x.pt", pickled, records)


def read(tmp_path, value, records=RECORDS):
    """The tree that a handmade file is read as."""
    return torch_reader.read_torch(write(tmp_path, value, records))


def saved(tmp_path, value, **options):
    """The tree that a file written by torch is read as."""
    torch = pytest.importorskip("torch")
    torch.save(value, tmp_path / "x.pt", **options)
    return torch_reader.read_torch(tmp_path / "x.pt")


def assert_same(tensor, expected):
    """A LazyTensor reads as torch's tensor, bit for bit, into an array of its own."""
    torch = pytest.importorskip("torch")
    array = tensor.read()
    assert isinstance(array, np.ndarray)
    assert array.flags.c_contiguous
    assert array.flags.writeable
    assert not np.shares_memory(array, tensor.read())
    assert (array.shape, array.dtype, array.nbytes) == (tensor.shape, tensor.dtype, tensor.nbytes)
    assert (array.shape, str(array.dtype)) == (tuple(expected.shape), str(expected.dtype)[6:])
    flat = expected.detach().contiguous().reshape(-1).view(torch.uint8)
    assert array.tobytes() == flat.numpy().tobytes()


@pytest.mark.parametrize("dtype", torch_reader.DTYPES)
def test_every_type_of_torch_is_read(tmp_path, dtype):
    torch = pytest.importorskip("torch")
    numbers = torch.arange(-3, 9).to(getattr(torch, dtype)).reshape(3, 4)
    assert_same(saved(tmp_path, numbers), numbers)
    assert_same(saved(tmp_path, numbers[1, 2]), numbers[1, 2])
    assert_same(saved(tmp_path, numbers.t()), numbers.t())


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.t(),
        lambda x: x[2:],
        lambda x: x[:, 1:4:2],
        lambda x: x[3, 1],
        lambda x: x[:, 2],
        lambda x: x[1:1],
        lambda x: x.new_zeros(0, 3),
        lambda x: x[:1].expand(7, 6),
        lambda x: x.diagonal(),
        lambda x: x.unfold(1, 3, 1),
        lambda x: x.reshape(2, 3, 4).permute(2, 0, 1)[1:],
        lambda x: x.as_strided((1, 2), (2**60, 3), 4),
    ],
    ids=range(12),
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "uint16"])
def test_views_are_read_as_torch_sees_them(tmp_path, view, dtype):
    torch = pytest.importorskip("torch")
    expected = view(torch.arange(24).to(getattr(torch, dtype)).reshape(4, 6))
    assert_same(saved(tmp_path, expected), expected)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_modules_parameters_and_shared_storages_are_read(tmp_path, protocol):
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    expected = model.state_dict()
    assert hasattr(expected, "_metadata")
    expected |= {"tied": expected["0.weight"].t(), "own": torch.nn.Parameter(torch.ones(2))}
    tree = saved(tmp_path, expected, pickle_protocol=protocol)
    assert list(tree) == list(expected)
    for name, tensor in tree.items():
        assert_same(tensor, expected[name])
    with zipfile.ZipFile(tmp_path / "x.pt") as archive:
        assert sum("/data/" in name for name in archive.namelist()) == len(expected) - 1


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
def test_training_checkpoint_keeps_its_tree(tmp_path, optimizer):
    torch = pytest.importorskip("torch")
    model = torch.nn.Linear(3, 2)
    trainer = getattr(torch.optim, optimizer)(model.parameters(), lr=0.1)
    model(torch.ones(1, 3)).sum().backward()
    trainer.step()
    expected = {
        "epoch": 1,
        "name": "ViT-L-14",
        "state_dict": {f"module.{name}": value for name, value in model.state_dict().items()},
        "optimizer": trainer.state_dict(),
        "scaler": {"scale": 65536.0, "growth_interval": 2000, "found": [], "seed": 2**40},
    }
    tree = saved(tmp_path, expected)
    assert tree["scaler"] == expected["scaler"]
    assert (tree["epoch"], tree["name"]) == (1, "ViT-L-14")
    assert tree["optimizer"]["param_groups"] == expected["optimizer"]["param_groups"]
    for name, tensor in tree["state_dict"].items():
        assert_same(tensor, expected["state_dict"][name])
    for key, state in expected["optimizer"]["state"].items():
        for name, value in state.items():
            if value is not None:
                assert_same(tree["optimizer"]["state"][key][name], value)


@pytest.mark.parametrize(
    ("dtype", "found"),
    [("complex64", "torch.ComplexFloatStorage"), ("float8_e4m3fn", "torch.float8_e4m3fn")],
)
def test_types_without_a_reader_are_named(tmp_path, dtype, found):
    torch = pytest.importorskip("torch")
    with pytest.raises(errors.CheckpointError, match=f"holds {found}; only tensors of float64"):
        saved(tmp_path, torch.ones(2).to(getattr(torch, dtype)))


def test_negated_view_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    with pytest.raises(errors.CheckpointError, match="conjugated or negated"):
        saved(tmp_path, (torch.ones(2) + 1j).conj().imag)


def test_torchscript_says_how_to_save_its_tensors(tmp_path):
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings(action="ignore"):  # torch deprecates what old files hold
        torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)).save(tmp_path / "x.pt")
    with pytest.raises(errors.CheckpointError, match=r"TorchScript.*torch\.jit\.load"):
        torch_reader.read_torch(tmp_path / "x.pt")


def test_handmade_file_reads_without_torch(tmp_path):
    tree = read(
        tmp_path,
        {
            "whole": torch_files.tensor(STORAGE, (3, 4), (4, 1)),
            "turned": torch_files.tensor(STORAGE, (4, 3), (1, 4)),
            "slice": torch_files.tensor(STORAGE, (2,), (2,), 7),
            "scalar": torch_files.tensor(STORAGE, (), (), 11),
            "wide": torch_files.tensor(STORAGE, (2, 3), (0, 1), 1),
            "empty": torch_files.tensor(STORAGE, (0, 2**40), (1, 1), 99),
            "plain": [1, -2.5, None, True, "x", (), {7: torch_files.Global("torch", "int8")}],
        },
    )
    square = NUMBERS.reshape(3, 4)
    assert tree["plain"] == [1, -2.5, None, True, "x", (), {7: np.dtype(np.int8)}]
    np.testing.assert_array_equal(tree["whole"].read(), square)
    np.testing.assert_array_equal(tree["turned"].read(), square.T)
    np.testing.assert_array_equal(tree["slice"].read(), [7, 9])
    np.testing.assert_array_equal(tree["scalar"].read(), 11)
    np.testing.assert_array_equal(tree["wide"].read(), [[1, 2, 3], [1, 2, 3]])
    assert tree["empty"].read().shape == (0, 2**40)
    assert all(tree[name].read().flags.c_contiguous for name in ("turned", "slice", "wide"))


def calls(marker):
    """Pickles that would write `marker`, by the opcodes they do it with."""
    shell, python = f"touch {marker}", f"open({str(marker)!r}, 'w')"
    text, code = torch_files.opcodes(shell), torch_files.opcodes(python)
    stack_global = torch_files.opcodes("os") + torch_files.opcodes("system") + b"\x93"
    view = Call(Global("os", "system"), (shell,))
    return {
        "REDUCE": torch_files.dumps(view),
        "eval": torch_files.dumps(Call(Global("builtins", "eval"), (python,))),
        "subprocess": torch_files.dumps(
            Call(Global("subprocess", "check_call"), (["touch", str(marker)],))
        ),
        "hub": torch_files.dumps(Call(Global("torch.hub", "load"), (str(marker), "x"))),
        "dotted": torch_files.dumps(Call(Global("torch", "os.system"), (shell,))),
        "through torch": torch_files.dumps(
            Call(Global("torch._utils", "pickle.os.system"), (shell,))
        ),
        "STACK_GLOBAL": b"\x80\x04" + stack_global + text + b"\x85R.",
        "STACK_GLOBAL from memo": b"\x80\x04X\x02\0\0\0os\x940X\x06\0\0\0systemq\x05h\0h\x05\x93"
        + text
        + b"\x85R.",
        "INST": b"\x80\x02(" + text + b"ios\nsystem\n.",
        "OBJ": b"\x80\x02(cos\nsystem\n" + text + b"o.",
        "NEWOBJ": b"\x80\x02cos\nsystem\n" + text + b"\x85\x81.",
        "NEWOBJ_EX": b"\x80\x04cos\nsystem\n" + text + b"\x85}\x92.",
        "EXT1": b"\x80\x02\x82\x01" + text + b"\x85R.",
        "PERSID": b"\x80\x02Pos.system\n.",
        "BUILD": b"\x80\x02cos\nsystem\n}(X\x0c\0\0\0__setstate__" + text + b"ub.",
        "in a tensor": torch_files.dumps(
            {"x": torch_files.tensor(STORAGE, (Call(Global("os", "system"), (shell,)),), (1,))}
        ),
        "as a storage": torch_files.dumps({"x": torch_files.tensor(view, (3,), (1,))}),
        "in a persistent id": torch_files.dumps(Persistent(("storage", view, "0", "cpu", 12))),
        "as the rebuilder": torch_files.dumps(
            Call(Global("torch._utils", "_rebuild_from_type_v2"), (Global("os", "system"), shell))
        ),
        "in a dict": torch_files.dumps(Call(Global("collections", "OrderedDict"), (view,))),
        "text": b"cbuiltins\neval\n(" + code + b"tR.",
    }


@pytest.mark.parametrize("way", calls("x"))
def test_no_pickle_runs_anything(tmp_path, way):
    marker = tmp_path / "ran"
    path = torch_files.write(tmp_path / "x.pt", calls(marker)[way], RECORDS)
    with pytest.raises(errors.CheckpointError, match=r"x\.pt: holds .*nothing in the file is run"):
        torch_reader.read_torch(path)
    assert not marker.exists()


def test_marker_would_appear_were_it_run(tmp_path):
    for way in ("REDUCE", "STACK_GLOBAL", "INST", "OBJ", "text"):
        marker = tmp_path / way
        pickle.loads(calls(marker)[way])
        assert marker.exists()


def test_names_are_those_of_the_pickle(tmp_path):
    with pytest.raises(errors.CheckpointError, match=r"holds numpy\.load; .*torch\.save\("):
        read(tmp_path, Call(Global("numpy", "load"), ("x",)))


KEPT_BESIDE = {
    "best": np.float64(0.5),
    "loss": np.float32(0.25),
    "steps": np.int64(-3),
    "seen": np.uint8(200),
    "done": np.bool_(True),
    "other order": np.array(7, ">i4")[()],
    "name": np.str_("run"),
    "curve": np.arange(6.0).reshape(2, 3),
    "args": argparse.Namespace(lr=0.1, out=Path("x")),
    "raw": b"bytes\xff",
    "by group": collections.defaultdict(list, {"a": [1]}),
    "counts": collections.Counter("aab"),
    "last": collections.deque([1.0, 2.0], maxlen=3),
    "times": [datetime.datetime(2026, 1, 2, 3), datetime.timedelta(1), datetime.date(2026, 1, 2)],
    "python": [1 + 2j, range(3), slice(1, 2), bytearray(b"ab"), ..., float, decimal.Decimal("1.5")],
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_training_loops_keep_is_no_obstacle(tmp_path, protocol):
    pickled = pickle.dumps(KEPT_BESIDE, protocol)
    tree = torch_reader.read_torch(torch_files.write(tmp_path / "a.pt", pickled, {}))
    numbers = {name: tree[name] for name in ("best", "loss", "steps", "seen", "done")}
    assert numbers == {"best": 0.5, "loss": 0.25, "steps": -3, "seen": 200, "done": True}
    assert all(type(value) in (bool, int, float) for value in numbers.values())
    assert tree["other order"] == 7
    assert tree["raw"] == b"bytes\xff"
    assert tree["by group"] == {"a": [1]}
    assert tree["counts"] == {"a": 2, "b": 1}
    assert not {"lr", "out"} & {*dir(tree["args"])}  # nothing of it is made


def test_sets_beside_weights_are_no_obstacle(tmp_path):
    pickled = pickle.dumps({"seen": {1, 2}, "of": [frozenset("a"), set()], "best": 0.5}, 2)
    tree = torch_reader.read_torch(torch_files.write(tmp_path / "a.pt", pickled, {}))
    assert tree["best"] == 0.5


def test_long_bytes_take_no_memory(tmp_path):
    with pytest.raises(errors.CheckpointError, match="damaged"):
        read(tmp_path, b"\x80\x05\x96\xff\xff\xff\xff\xff\x00\x00\x00ab.")


def test_scalars_beside_weights_are_read_as_torch_saves_them(tmp_path):
    torch = pytest.importorskip("torch")
    shape = torch.Size([2, 3])
    torch.save({"state_dict": {"w": torch.ones(2)}, "shape": shape, **KEPT_BESIDE}, tmp_path / "a")
    tree = torch_reader.read_torch(tmp_path / "a")
    assert tensors.state_dict(tree)["w"].read().tolist() == [1, 1]
    assert (tree["best"], tree["shape"]) == (0.5, (2, 3))


@pytest.mark.parametrize(
    "call",
    [
        Call(Global("numpy.core.multiarray", "scalar"), (Global("numpy", "dtype"), "x")),
        Call(
            Global("numpy.core.multiarray", "scalar"),
            (Call(Global("numpy", "dtype"), ("f8", False, True)), "12345678"),
        ),
        Call(Global("_codecs", "encode"), ("eval", "rot13")),
        b"cposix\nsystem\n",
        b"ccollections\nOrderedDict\n)\x81",
    ],
)
def test_strange_scalars_are_errors(tmp_path, call):
    path = torch_files.write(tmp_path / "a.pt", torch_files.dumps({"x": call}), {})
    with pytest.raises(errors.CheckpointError):
        torch_reader.read_torch(path)


@pytest.mark.parametrize(
    ("opcodes", "found"),
    [
        (b"\x80\x02ctorch\nfloat32\n}(X\x01\0\0\0aK\x01ub.", "state for an object"),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}(X\x01\0\0\0aK\x01ub.", "state for an"),
        (b"\x80\x02]}b.", "state for an object"),
        (b"\x80\x02](K\0K\x01u.", "no dict"),
        (b"\x80\x02}(K\0u.", "ValueError"),
        (b"\x80\x02}K\x01a.", "AttributeError"),
        (b"\x80\x02ctorch\nfloat32\n)R.", "TypeError"),
        (b"\x80\x02ctorch\nFloatStorage\n)R.", "TypeError"),
        (b"\x80\x02ccollections\nOrderedDict\n]\x85R.", "TypeError"),
        (b"\x80\x04K\x01K\x02\x93.", "UnpicklingError"),
        (b"\x80\x02h\x07.", "UnpicklingError"),
        (b"\x80\x09N.", "ValueError"),
        (b"\x80\x02X\xff\xff\xff\xffab.", "damaged"),
        (b"\x80\x02X\x01\0\0\0\xff.", "UnicodeDecodeError"),
        (b"\x80\x02N", "EOFError"),
        (b"\x80\x02.", "IndexError"),
        (b"\x80\x02u.", "IndexError"),
        (b"", "EOFError"),
        (b"\x80\x02N" + b"\x85" * 300_000 + b"}" + b"h\0.", "UnpicklingError"),
        (b"\x80\x02}N" + b"\x85" * 300_000 + b"Ns.", "a dict key that is neither"),
        (b"\x80\x02\x8f.", "does not write for tensors"),
        (b"\x80\x04\x8e\x01\0\0\0\0\0\0\0a.", "does not write for tensors"),
    ],
)
def test_strange_pickles_are_errors(tmp_path, opcodes, found):
    with pytest.raises(errors.CheckpointError, match=found):
        read(tmp_path, opcodes)


def test_types_of_numpy_cannot_be_altered(tmp_path):
    state = (3, "<", None, None, None, -1, -1, 0)
    with pytest.raises(errors.CheckpointError, match="state for an object"):
        read(tmp_path, torch_files.opcodes(Global("torch", "float32")) + b"}b.")
    with pytest.raises(errors.CheckpointError, match="state for an object"):
        read(tmp_path, b"\x80\x02ctorch\nfloat32\n" + torch_files.opcodes(state) + b"b.")
    assert np.dtype(np.float32) == torch_reader.DTYPES["float32"]


def test_large_memo_keys_take_no_memory(tmp_path):
    assert read(tmp_path, b"\x80\x02]r\xff\xff\xff\x7fj\xff\xff\xff\x7fa.")


def test_deep_nesting_is_read(tmp_path):
    tree = read(tmp_path, b"\x80\x02" + b"]" * 300_000 + b"a" * 299_999 + b".")
    assert len(tree) == 1


def test_large_pickle_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(torch_reader, "MAX_PICKLE_BYTES", 100)
    with pytest.raises(errors.CheckpointError, match=r"a pickle of \d+ bytes, at most 100"):
        read(tmp_path, ["x" * 100])


@pytest.mark.parametrize(
    "tensor",
    [
        torch_files.tensor(STORAGE, (13,), (1,)),
        torch_files.tensor(STORAGE, (12,), (1,), 1),
        torch_files.tensor(STORAGE, (3, 4), (5, 1)),
        torch_files.tensor(STORAGE, (), (), 12),
        torch_files.tensor(STORAGE, (2**62,), (2**62,)),
        torch_files.tensor(STORAGE, (2**33,), (0,)),
        torch_files.tensor(STORAGE, (2**62, 2**62), (0, 0)),
        torch_files.tensor(STORAGE, (-1,), (1,)),
        torch_files.tensor(STORAGE, (3,), (-1,), 3),
        torch_files.tensor(STORAGE, (3,), (1,), -1),
        torch_files.tensor(STORAGE, (True,), (1,)),
        torch_files.tensor(STORAGE, (2.0,), (1,)),
        torch_files.tensor(STORAGE, (3,), ()),
        torch_files.tensor(STORAGE, [3], [1]),
        torch_files.tensor(STORAGE, (1,) * 65, (1,) * 65),
        torch_files.tensor(STORAGE, (3,), (1,), None),
        torch_files.tensor(STORAGE, (3,), (1,), 0, {"neg": True}),
        torch_files.tensor(None, (3,), (1,)),
        torch_files.tensor(Global("torch", "float32"), (3,), (1,)),
        torch_files.tensor(torch_files.tensor(STORAGE, (3,), (1,)), (3,), (1,)),
        Call(Global("torch._utils", "_rebuild_tensor_v2"), ()),
        Call(Global("torch._utils", "_rebuild_tensor_v2"), (STORAGE,)),
        Call(Global("torch._utils", "_rebuild_tensor_v3"), (STORAGE, 0, (), (), False, None, "x")),
        Call(Global("torch._utils", "_rebuild_parameter"), (STORAGE, True, None)),
    ],
    ids=range(24),
)
def test_impossible_tensors_are_errors(tmp_path, tensor):
    with pytest.raises(errors.CheckpointError, match=r"x\.pt: damaged \("):
        read(tmp_path, {"x": tensor})


@pytest.mark.parametrize(
    ("pid", "found"),
    [
        (("storage", Global("torch", "FloatStorage"), "1", "cpu", 12), "no such record"),
        (("storage", Global("torch", "FloatStorage"), "0", "cpu", 13), "52 bytes, found 48 bytes"),
        (("storage", Global("torch", "FloatStorage"), "0", "cpu", -1), "truncated or damaged"),
        (("storage", Global("torch", "FloatStorage"), "0", "cpu", 2**2000), "truncated or damaged"),
        (("storage", Global("torch", "FloatStorage"), "../data.pkl", "cpu", 1), "no such record"),
        (("storage", Global("torch", "FloatStorage"), "0", "cpu"), "no storage"),
        (("storage", "FloatStorage", "0", "cpu", 12), "no storage"),
        (("module", Global("torch", "FloatStorage"), "0", "cpu", 12), "no storage"),
        (("storage", Global("torch", "FloatStorage"), 0, "cpu", 12), "no storage"),
        ("storage", "no storage"),
        (None, "no storage"),
    ],
)
def test_strange_storages_are_errors(tmp_path, pid, found):
    with pytest.raises(errors.CheckpointError, match=found):
        read(tmp_path, Persistent(pid))


def test_zip_of_something_else_says_what_it_holds(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        archive.writestr("word/document.xml", "x")
    with pytest.raises(errors.CheckpointError, match=r"not a file of torch\.save.*document\.xml"):
        torch_reader.read_torch(tmp_path / "x.pt")


def test_compressed_records_are_refused(tmp_path):
    pickled = torch_files.dumps({"x": torch_files.tensor(STORAGE, (12,), (1,))})
    path = torch_files.write(tmp_path / "x.pt", pickled, RECORDS, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(errors.CheckpointError, match=r"'archive/data\.pkl' is compressed"):
        torch_reader.read_torch(path)


def test_big_endian_numbers_are_refused(tmp_path):
    with pytest.raises(errors.CheckpointError, match="found byteorder b'big'"):
        read(tmp_path, {}, {"byteorder": b"big"})


def test_missing_file_is_named(tmp_path):
    with pytest.raises(errors.CheckpointError, match=r"none\.pt: cannot be read \(No such file"):
        torch_reader.read_torch(tmp_path / "none.pt")


def small_file(tmp_path):
    """A file with one tensor of each kind of view."""
    arrays = {f"layer.{n}.weight": np.arange(n, dtype=np.float32) for n in (1, 5, 9)}
    return torch_files.write_arrays(tmp_path / "whole.pt", arrays)


def failure(path):
    """The error that reading a file and all its tensors ends in, none when all could be read."""
    try:
        tree = torch_reader.read_torch(path)
        for value in tree.values() if isinstance(tree, dict) else ():
            if isinstance(value, lazy.LazyTensor):
                value.read()
    except errors.CheckpointError as error:
        return str(error)
    return None


def test_file_cut_anywhere_is_an_error(tmp_path):
    whole = small_file(tmp_path).read_bytes()
    cut = tmp_path / "cut.pt"
    for length in range(0, len(whole), 3):
        cut.write_bytes(whole[:length])
        assert "cut.pt: truncated" in failure(cut)


def test_file_cut_after_opening_is_an_error(tmp_path):
    path = small_file(tmp_path)
    tree = torch_reader.read_torch(path)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(errors.CheckpointError, match="truncated: expected 36 bytes from byte"):
        tree["layer.9.weight"].read()
    path.unlink()
    with pytest.raises(errors.CheckpointError, match="cannot be read"):
        tree["layer.9.weight"].read()


def test_directory_beyond_the_file_is_an_error(tmp_path):
    path = small_file(tmp_path)
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")
    struct.pack_into("<II", content, entry + 20, 10**6, 10**6)
    path.write_bytes(content)
    with pytest.raises(errors.CheckpointError, match=r"truncated: record 'archive/data\.pkl'"):
        torch_reader.read_torch(path)


@pytest.mark.parametrize("seed", range(4))
def test_flipped_bytes_read_or_are_errors(tmp_path, seed):
    whole, chance = small_file(tmp_path).read_bytes(), random.Random(seed)
    flipped, failures = tmp_path / "flipped.pt", []
    for _ in range(150):
        content = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        flipped.write_bytes(content)
        failures.append(failure(flipped))
    assert 0 < failures.count(None) < 150
    assert all(one.startswith(f"{flipped}: ") for one in failures if one)


def test_flipped_bytes_of_a_file_of_torch_read_or_are_errors(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "x.pt")
    whole, chance = (tmp_path / "x.pt").read_bytes(), random.Random(0)
    start = whole.index(b"ctorch._utils")
    failures = []
    for _ in range(300):
        content = bytearray(whole)
        content[chance.randrange(start - 60, start + 500)] = chance.randrange(256)
        (tmp_path / "x.pt").write_bytes(content)
        failures.append(failure(tmp_path / "x.pt"))
    assert 0 < failures.count(None) < 300

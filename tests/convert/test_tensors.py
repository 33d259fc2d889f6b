"""Files of weights: the kind told by content, damage named, the weights found in what was saved."""

import argparse
import importlib.util
import io
import json
import random
import tarfile

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from lb_jax.convert import lazy, safetensors_reader, tensors
from lb_jax.core import errors
from tests.convert import torch_files

ARRAYS = {
    "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a.bias": np.arange(3).astype(ml_dtypes.bfloat16),
    "position_ids": np.arange(4, dtype=np.int64).reshape(1, 4),
    "logit_scale": np.array(4.6052, np.float32),
}


def assert_same(found, arrays):
    """Lazy tensors read as these arrays, bit for bit, each time into a new one."""
    assert set(found) == set(arrays)
    for name, expected in arrays.items():
        array = found[name].read()
        assert isinstance(array, np.ndarray)
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert not np.shares_memory(array, found[name].read())
        assert (found[name].shape, found[name].dtype) == (expected.shape, expected.dtype)
        assert (array.shape, array.dtype) == (expected.shape, expected.dtype)
        assert array.tobytes() == expected.tobytes()
        assert found[name].nbytes == expected.nbytes


def write_safetensors(path, header, data=b"", length=None):
    """A file with this header, true or not."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((length or len(text)).to_bytes(8, "little") + text + data)
    return path


def write_index(folder, weight_map):
    """The index of a checkpoint in shards."""
    path = folder / "model.safetensors.index.json"
    path.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))
    return path


def entry(dtype="F32", shape=(2,), begin=0, end=8):
    """The header's row of one tensor."""
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


@pytest.mark.parametrize("code", safetensors_reader.DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3)])
def test_every_type_of_safetensors_is_read(tmp_path, code, shape):
    dtype = safetensors_reader.DTYPES[code]
    arrays = {"x": np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)}
    safetensors.numpy.save_file(arrays, tmp_path / "x")
    assert_same(tensors.open_tensors(tmp_path / "x"), arrays)


def test_kind_is_told_by_content(tmp_path):
    safetensors.numpy.save_file(ARRAYS, tmp_path / "pytorch_model.bin", {"format": "pt"})
    torch_files.write_arrays(tmp_path / "model.safetensors", ARRAYS)
    assert_same(tensors.open_tensors(tmp_path / "pytorch_model.bin"), ARRAYS)
    assert_same(tensors.open_tensors(tmp_path / "model.safetensors"), ARRAYS)
    assert safetensors_reader.read_metadata(tmp_path / "pytorch_model.bin") == {"format": "pt"}


def test_tensors_need_not_lie_in_the_order_of_the_header(tmp_path):
    header = {"z": entry(begin=8, end=16), "__metadata__": {"a": "b"}, "a": entry()}
    data = np.arange(4, dtype=np.float32)
    found = tensors.open_tensors(write_safetensors(tmp_path / "x", header, data.tobytes()))
    assert list(found) == ["z", "a"]
    assert_same(found, {"z": data[2:], "a": data[:2]})


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "an empty file; expected a safetensors or torch file"),
        (b"PK", r"found b'PK'"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"\x80\x02}q\x00.", r"found b'\\x80\\x02}q\\x00\.'"),
        (b"\x89HDF\r\n\x1a\n", "expected a safetensors or torch file or the index"),
    ],
)
def test_other_files_say_how_they_begin(tmp_path, content, found):
    (tmp_path / "x.bin").write_bytes(content)
    with pytest.raises(errors.CheckpointError, match=found):
        tensors.open_tensors(tmp_path / "x.bin")


def test_missing_file_and_folder_are_named(tmp_path):
    with pytest.raises(errors.CheckpointError, match=r"none: cannot be read \(No such file"):
        tensors.open_tensors(tmp_path / "none")
    with pytest.raises(errors.CheckpointError, match=r"cannot be read \(Is a directory\); give a"):
        tensors.open_tensors(tmp_path)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ({"x": entry("F8_E4M3", (8,)), "y": entry("C64")}, "'x' is F8_E4M3; 'y' is C64; only F64"),
        ({"x": entry(shape=(3,))}, "'x' takes 12 bytes and spans 8"),
        ({"x": entry(begin=8, end=0)}, "'x' takes 8 bytes and spans -8"),
        ({"x": entry(), "y": entry()}, "'y' begins at byte 0 and what lies before it ends at 8"),
        ({"x": entry(begin=4, end=12)}, "'x' begins at byte 4 and what lies before it ends at 0"),
        ({"x": entry(shape=(2**62, 2**62))}, "'x' lacks a valid dtype, shape or data_offsets"),
        ({"x": entry(shape=(-2, -1))}, "'x' lacks a valid"),
        ({"x": entry(shape=(True, 2))}, "'x' lacks a valid"),
        ({"x": entry(shape=(1,) * 65)}, "'x' lacks a valid"),
        ({"x": entry(begin=0.0)}, "'x' lacks a valid"),
        ({"x": {**entry(), "shape": "2"}}, "'x' lacks a valid"),
        ({"x": {"dtype": ["F32"]}, "y": 1}, "'x' lacks a valid .*; 'y' lacks a valid"),
        ({"x": entry(shape=(3,), end=12)}, "truncated: expected 82 bytes, found 78"),
        ({}, "longer than its header tells: expected 10 bytes, found 18"),
        (b"{]", "not valid JSON"),
        (b'{"\xff": 1}', "not valid JSON"),
        (b'{"x": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b'{"x": ' + b"[" * 100_000, "not valid JSON"),
    ],
)
def test_wrong_headers_are_errors(tmp_path, header, found):
    path = write_safetensors(tmp_path / "x", header, bytes(8))
    with pytest.raises(errors.CheckpointError, match=found):
        tensors.open_tensors(path)


def test_length_of_the_header_is_checked(tmp_path):
    with pytest.raises(errors.CheckpointError, match="truncated: expected at least 108 bytes"):
        tensors.open_tensors(write_safetensors(tmp_path / "x", {"x": entry()}, bytes(8), 100))
    with pytest.raises(errors.CheckpointError, match="a header of 100000001 bytes"):
        tensors.open_tensors(write_safetensors(tmp_path / "x", {}, length=100_000_001))


def test_header_is_an_object(tmp_path):
    with pytest.raises(errors.CheckpointError, match="expected a JSON object, found list"):
        safetensors_reader.read_safetensors(write_safetensors(tmp_path / "x", []))


def test_safetensors_cut_anywhere_is_an_error(tmp_path):
    safetensors.numpy.save_file(ARRAYS, tmp_path / "whole")
    whole, cut = (tmp_path / "whole").read_bytes(), tmp_path / "cut"
    for length in range(len(whole)):
        cut.write_bytes(whole[:length])
        expected = f"expected {len(whole)} bytes, found {length}" if length > 350 else "cut: "
        with pytest.raises(errors.CheckpointError, match=expected):
            tensors.open_tensors(cut)


@pytest.mark.parametrize("seed", range(4))
def test_flipped_bytes_read_or_are_errors(tmp_path, seed):
    safetensors.numpy.save_file(ARRAYS, tmp_path / "x")
    whole, chance = (tmp_path / "x").read_bytes(), random.Random(seed)
    read = 0
    for _ in range(200):
        content = bytearray(whole)
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        (tmp_path / "x").write_bytes(content)
        try:
            read += len([one.read() for one in tensors.open_tensors(tmp_path / "x").values()])
        except errors.CheckpointError:
            continue
    assert read > 0


def test_state_dict_is_found_where_training_loops_put_it(tmp_path):
    flat = tensors.open_tensors(torch_files.write_arrays(tmp_path / "x.pt", ARRAYS))
    assert tensors.state_dict(flat) == flat
    for key in ("state_dict", "model"):
        tree = {"epoch": 3, "name": "b", key: flat, "optimizer": {"state": {}}, "scaler": None}
        assert tensors.state_dict(tree) == flat
    wrapped = {f"module.{name}": tensor for name, tensor in flat.items()}
    assert tensors.state_dict({"state_dict": wrapped}) == flat
    partly = {**wrapped, "logit_bias": flat["logit_scale"]}
    assert tensors.state_dict(partly) == partly


@pytest.mark.parametrize(
    "around",
    [
        "_orig_mod.{}",
        "module._orig_mod.{}",
        "_orig_mod.module.{}",
        "model.{}",
        "model._orig_mod.module.{}",
        "_fsdp_wrapped_module.{}",
        "module.clip.{}",
    ],
)
def test_modules_that_only_hold_another_are_taken_off(around):
    flat = {"visual.conv1.weight": None, "visual.proj": None, "logit_scale": None}
    plain = {name: lazy.LazyTensor((n,), np.dtype("f4"), None) for n, name in enumerate(flat)}
    named = {around.format(name): tensor for name, tensor in plain.items()}
    assert tensors.state_dict(named) == plain


def test_compiled_modules_inside_are_taken_off():
    tensor = lazy.LazyTensor((1,), np.dtype("f4"), None)
    found = tensors.state_dict({"visual._orig_mod.a": tensor, "x_orig_mod.b": tensor})
    assert list(found) == ["visual.a", "x_orig_mod.b"]


def test_weights_of_two_models_are_not_mixed():
    tensor = lazy.LazyTensor((1,), np.dtype("f4"), None)
    with pytest.raises(errors.CheckpointError, match=r"a and _orig_mod\.a are one tensor twice"):
        tensors.state_dict({"a": tensor, "_orig_mod.a": tensor})


def test_flat_tensor_called_model_is_a_tensor(tmp_path):
    flat = tensors.open_tensors(torch_files.write_arrays(tmp_path / "x.pt", ARRAYS))
    named = {"model": flat["a.weight"], "state_dict": flat["a.bias"]}
    assert tensors.state_dict(named) == named


def test_other_things_among_the_weights_are_named(tmp_path):
    flat = tensors.open_tensors(torch_files.write_arrays(tmp_path / "x.pt", ARRAYS))
    with pytest.raises(errors.CheckpointError, match=r"x\.pt: .*found 'step' is int; 7 is Lazy"):
        tensors.state_dict({**flat, "step": 1, 7: flat["a.bias"]}, tmp_path / "x.pt")


@pytest.mark.parametrize(
    ("tree", "found"),
    [
        ({"epoch": 1, "weights": {}}, "found 'epoch'; 'weights'; save"),
        ({}, "found dict without keys"),
        ([1], "found list without keys"),
        ({"state_dict": {}}, "found 'state_dict'"),
        ({str(n): n for n in range(20)}, "'7'; and 12 more"),
    ],
)
def test_tree_without_weights_tells_its_keys(tree, found):
    with pytest.raises(errors.CheckpointError, match=found):
        tensors.state_dict(tree)


def test_shards_are_one_checkpoint(tmp_path):
    names = sorted(ARRAYS, reverse=True)
    files = dict(zip(names, ["one", "two", "one", "two"], strict=True))
    parts = {
        file: {name: ARRAYS[name] for name in names if files[name] == file}
        for file in ("one", "two")
    }
    safetensors.numpy.save_file(parts["one"], tmp_path / "one")
    torch_files.write_arrays(tmp_path / "two", parts["two"])
    found = tensors.open_tensors(write_index(tmp_path, files))
    assert list(found) == names
    assert_same(found, ARRAYS)


def test_all_problems_of_shards_are_in_one_error(tmp_path):
    safetensors.numpy.save_file({"a": ARRAYS["a.bias"], "b": ARRAYS["a.bias"]}, tmp_path / "one")
    (tmp_path / "cut").write_bytes((tmp_path / "one").read_bytes()[:-1])
    (tmp_path / "index").write_text("{}")
    index = write_index(
        tmp_path,
        {
            "a": "one",
            "c": "one",
            "d": "gone",
            "e": "../one",
            "f": "cut",
            "g": "index",
            "h": "",
            "i": 7,
            "j": "a\0b",
            "k": "..",
        },
    )
    with pytest.raises(errors.CheckpointError) as caught:
        tensors.open_tensors(index)
    for problem in (
        "one lacks 'c'",
        "one holds 'b', which the index does not",
        "gone: cannot be read (No such file or directory)",
        "'../one' is not the name of a file beside the index",
        "cut: truncated: expected",
        "index: expected a safetensors or torch file",
        "found b'{}'; copy or download it again; '' is not the name of a file",
        "; and 2 more. Download the index and all its shards again.",
    ):
        assert problem in str(caught.value)


@pytest.mark.parametrize("content", [b"{}", b'{"weight_map": {}}', b'{"weight_map": ["x"]}'])
def test_json_without_a_map_is_no_index(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(errors.CheckpointError, match=r'config\.json: expected the index .*"weight'):
        tensors.open_tensors(tmp_path / "config.json")
    (tmp_path / "config.json").write_bytes(content[:-1])
    with pytest.raises(errors.CheckpointError, match=r"config\.json: not valid JSON"):
        tensors.open_tensors(tmp_path / "config.json")


def save_legacy(path, value):
    """Writes a file as torch did before 1.6."""
    torch = pytest.importorskip("torch")
    torch.save(value, path, _use_new_zipfile_serialization=False)
    return path


def test_legacy_file_is_read_by_torch(tmp_path):
    torch = pytest.importorskip("torch")
    square = torch.arange(6.0).reshape(2, 3)
    tree = tensors.open_tensors(
        save_legacy(
            tmp_path / "x.pt",
            {
                "epoch": 1,
                "rates": [0.1, (None, "x")],
                "best": np.float64(0.5),
                "seen": np.int32(7),
                "args": argparse.Namespace(lr=0.1),
                "state_dict": {
                    "module.a": square.t(),
                    "module.b": torch.nn.Parameter(square[0, 1:].bfloat16()),
                    "module.c": torch.tensor(2.5).bfloat16(),
                    "module.d": torch.zeros(0, 3, dtype=torch.int64),
                    "module.e": torch.tensor([True]),
                },
            },
        )
    )
    assert (tree["epoch"], tree["rates"]) == (1, [0.1, (None, "x")])
    assert (tree["best"], tree["seen"]) == (0.5, 7)
    assert_same(
        tensors.state_dict(tree),
        {
            "a": np.ascontiguousarray(square.numpy().T),
            "b": np.array([1, 2], ml_dtypes.bfloat16),
            "c": np.array(2.5, ml_dtypes.bfloat16),
            "d": np.zeros((0, 3), np.int64),
            "e": np.array([True]),
        },
    )


def test_legacy_files_cut_or_with_more_than_tensors_are_errors(tmp_path):
    torch = pytest.importorskip("torch")
    whole = save_legacy(tmp_path / "x.pt", {"a": torch.ones(4)}).read_bytes()
    for length in range(20, len(whole), 5):
        (tmp_path / "x.pt").write_bytes(whole[:length])
        with pytest.raises(errors.CheckpointError, match=r"damaged, or more than|only tensors"):
            tensors.open_tensors(tmp_path / "x.pt")
    with pytest.raises(
        errors.CheckpointError, match=r"holds _io\.StringIO; only tensors are read, nothing"
    ):
        tensors.open_tensors(save_legacy(tmp_path / "x.pt", {"a": io.StringIO("x")}))
    for wrong in (torch.ones(2) + 1j, torch.ones(2).to_sparse()):
        with pytest.raises(errors.CheckpointError, match="holds a tensor of"):
            tensors.open_tensors(save_legacy(tmp_path / "x.pt", {"a": wrong}))


def hide_torch(monkeypatch):
    """Makes the search for torch find nothing."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "torch" else find_spec(name)
    )


@pytest.mark.parametrize("protocol", [2, 4])
def test_legacy_file_without_torch_says_how_to_save_it_again(tmp_path, monkeypatch, protocol):
    hide_torch(monkeypatch)
    start = {2: b"\x80\x02", 4: b"\x80\x04\x95\x0d\0\0\0\0\0\0\0"}[protocol]
    (tmp_path / "x.pt").write_bytes(start + b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19." + bytes(600))
    with pytest.raises(errors.CheckpointError, match=r"a legacy torch file.*only=True\), p\)"):
        tensors.open_tensors(tmp_path / "x.pt")


def test_legacy_tar_says_how_to_save_it_again(tmp_path, monkeypatch):
    hide_torch(monkeypatch)
    with tarfile.open(tmp_path / "x.pt", "w") as archive:
        archive.add(__file__, "storages")
    with pytest.raises(errors.CheckpointError, match="a legacy torch file"):
        tensors.open_tensors(tmp_path / "x.pt")


def test_legacy_magic_is_what_torch_writes(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    path = save_legacy(tmp_path / "x.pt", {"a": torch.ones(1)})
    hide_torch(monkeypatch)
    with pytest.raises(errors.CheckpointError, match="a legacy torch file"):
        tensors.open_tensors(path)

"""MMV's released pickles and our checkpoints of it: there and back, and what is refused."""

import collections
import dataclasses
import io
import pickle
import pickletools
import shutil
import sys
import types

import jax
import numpy as np
import pytest

import lb_jax
from lb_jax.cli import main
from lb_jax.convert import haiku_reader, mmv, mmv_files
from lb_jax.core import errors, paths
from lb_jax.models.graphs import GRAPHS, GraphConfig, HeadConfig
from lb_jax.models.mmv import Mmv, MmvConfig
from lb_jax.models.resnet import ResNetConfig
from lb_jax.models.s3d import S3DConfig
from lb_jax.models.tsm import TSMConfig
from lb_jax.models.words import WordsConfig
from lb_jax.text import words

HEADS = {
    "video_va": HeadConfig(6, inner=(7, 9), norm=True),
    "audio_va": HeadConfig(6, inner=(5,), inner_norm=False),
    "coarse": HeadConfig(5, norm=True),
    "text_vat": HeadConfig(5, inner=(4,)),
    "audio_at": HeadConfig(4),
    "text_at": HeadConfig(4, inner=(3,), inner_norm=False, norm=True),
}
CFG = MmvConfig(
    GraphConfig("fac", HEADS, interaction="bnrelu"),
    TSMConfig((8, 16), (1, 2), stem=4),
    ResNetConfig((8, 16), (2, 1), bottleneck=False, stem=4),
    WordsConfig(12, vocab=30, word_dim=6),
)


def drawn(cfg=CFG):
    flat = paths.flatten(Mmv(cfg).shapes)
    rng = np.random.default_rng(0)
    leaves = {
        path: rng.standard_normal(leaf.shape).astype(np.float32) for path, leaf in flat.items()
    }
    for path in flat:
        if path.endswith("counter"):
            leaves[path] = np.float32(5)
        if path.endswith("var/average"):
            leaves[path] = np.exp(leaves[path])
    return paths.unflatten(leaves)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mmv") / "ours"
    mmv_files.save(folder, CFG, drawn())
    return folder


@pytest.fixture(scope="module")
def released(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mmv") / "released"
    mmv_files.convert(checkpoint, folder, "hf")
    return folder / mmv_files.RELEASED


def tree(file):
    return pickle.loads(file.read_bytes())


def written(path, content, protocol=4):
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def require_same(found, expected):
    assert found.config == expected.config
    assert found.digest == expected.digest
    jax.tree.map(np.testing.assert_array_equal, found.params(), expected.params())


@pytest.mark.parametrize("to", mmv_files.FORMATS)
def test_every_format_holds_every_bit(released, tmp_path, to):
    _, out = mmv_files.convert(released, tmp_path / "out", to)
    assert out.config == CFG
    jax.tree.map(np.testing.assert_array_equal, out.params(), drawn())


def no_room(*paths):
    raise OSError(28, "no room")


def words_of(count):
    return words.Words([*words.SPECIAL, *(f"w{i}" for i in range(2, count))])


@pytest.mark.parametrize("to", mmv_files.FORMATS)
def test_preprocessing_and_words_go_with_the_weights(tmp_path, to):
    stated = {"video": {"frames": 4, "size": 32}, "text": {"context": 5}}
    mmv_files.save(tmp_path / "a", CFG, drawn(), stated, words_of(30))
    read = mmv_files.open_mmv(tmp_path / "a")
    _, out = mmv_files.convert(tmp_path / "a", tmp_path / to, to)
    for one in (read, out):
        assert one.preprocess == stated
        assert words.Words.read(one.words).vocabulary == words_of(30).vocabulary
    jax.tree.map(np.testing.assert_array_equal, read.part("heads"), drawn()["heads"])


@pytest.mark.parametrize("to", mmv_files.FORMATS)
def test_a_model_is_converted_with_its_words_or_not_at_all(tmp_path, to, monkeypatch):
    mmv_files.save(tmp_path / "a", CFG, drawn(), known=words_of(30))
    monkeypatch.setattr(mmv_files.shutil, "copyfile", no_room)
    with pytest.raises(errors.CheckpointError, match=r"out: cannot be written \(no room\)"):
        mmv_files.convert(tmp_path / "a", tmp_path / "out", to)
    assert [one.name for one in tmp_path.iterdir()] == ["a"]


def test_words_of_another_table_are_not_written(tmp_path):
    with pytest.raises(errors.ConfigError, match="29 words for a model with 30 rows of words"):
        mmv_files.save(tmp_path / "a", CFG, drawn(), known=words_of(29))
    assert not (tmp_path / "a").exists()


def test_an_image_tower_goes_there_and_back_but_not_into_the_released_layout(tmp_path):
    cfg = dataclasses.replace(CFG, image=dataclasses.replace(CFG.video, shift=0.0))
    mmv_files.save(tmp_path / "ours", cfg, drawn(cfg))
    for to in ("safetensors", "orbax"):
        _, out = mmv_files.convert(tmp_path / "ours", tmp_path / to, to)
        assert out.config == cfg
        jax.tree.map(np.testing.assert_array_equal, out.params(), drawn(cfg))
    with pytest.raises(errors.ConfigError, match="no place for a tower of image"):
        mmv_files.convert(tmp_path / "ours", tmp_path / "hf", "hf")
    assert not (tmp_path / "hf").exists()


def test_the_released_names_are_haiku_s(released):
    saved = tree(released)
    assert set(saved) == {"params", "state"}
    norm = "text_audio_video/visual_module/~/TSMResNetV2/tsm_resnet_unit_1/block_0/"
    assert saved["params"][f"{norm}__cross_replica_batch_norm_2"]["offset"].shape == (1, 1, 1, 4)
    counter = saved["state"][f"{norm}__cross_replica_batch_norm_2/~/var_ema"]["counter"]
    assert counter.dtype == np.int32
    assert counter == 5


@pytest.mark.parametrize("protocol", haiku_reader.PROTOCOLS)
def test_all_protocols_and_containers_are_read(released, tmp_path, protocol):
    content = {
        part: collections.OrderedDict(
            (module, {name: np.array(array, order="F") for name, array in arrays.items()})
            for module, arrays in modules.items()
        )
        for part, modules in tree(released).items()
    }
    require_same(
        mmv_files.open_mmv(written(tmp_path / "x.pkl", content, protocol)),
        mmv_files.open_mmv(released),
    )


@pytest.fixture
def haiku(monkeypatch):
    """Modules under the names that Haiku's mappings, dill and old numpy have in a pickle."""

    def module(name, **content):
        monkeypatch.setitem(sys.modules, name, made := types.ModuleType(name))
        for key, value in content.items():
            value.__module__, value.__qualname__ = name, key
            setattr(made, key, value)
        return made

    class FlatMapping(dict):
        def __reduce__(self):
            return FlatMapping, (dict(self),)

    def _create_array(function, arguments, state, rest):
        array = function(*arguments)
        array.__setstate__(state)
        return array

    for above in ("haiku", "haiku._src", "dill"):
        module(above)
    module("haiku._src.data_structures", FlatMapping=FlatMapping)
    return FlatMapping, module("dill._dill", _create_array=_create_array)._create_array


def test_haiku_s_mappings_and_dill_s_arrays_are_read(released, tmp_path, haiku):
    mapping, create = haiku

    class Dill(pickle._Pickler):
        def save(self, obj, save_persistent_id=True):
            if type(obj) is np.ndarray:
                self.save_reduce(create, (*obj.__reduce__(), None), obj=obj)
            else:
                super().save(obj, save_persistent_id)

    content = {
        part: mapping({module: mapping(arrays) for module, arrays in modules.items()})
        for part, modules in tree(released).items()
    }
    Dill(file := io.BytesIO(), protocol=3).dump(content)
    old = file.getvalue().replace(b"numpy._core.multiarray\n", b"numpy.core.multiarray\n")
    assert b"haiku._src" in old
    assert b"dill._dill" in old
    (tmp_path / "x.pkl").write_bytes(old)
    require_same(mmv_files.open_mmv(tmp_path / "x.pkl"), mmv_files.open_mmv(released))


@pytest.mark.parametrize(
    ("kind", "interaction"),
    [("shared", "none"), ("disjoint", "none"), ("fac", "relu"), ("fac", "bnrelu")],
)
def test_the_shape_follows_from_the_arrays(kind, interaction):
    names = {route.head for ways in GRAPHS[kind].values() for route in ways.values()}
    heads = {name: HeadConfig(5, inner=(3,), norm=True) for name in names}
    cfg = dataclasses.replace(CFG, graph=GraphConfig(kind, heads, interaction))
    shapes = {place.name: place.foreign_shape for place in mmv.places(cfg)}
    assert mmv_files.config_of("x", shapes) == cfg


def test_the_shape_of_s3d_follows_from_the_arrays():
    video = S3DConfig(first_frames=3, gated_from="mixed_4b", temporal_from=None)
    cfg = dataclasses.replace(CFG, video=video)
    shapes = {place.name: place.foreign_shape for place in mmv.places(cfg)}
    assert mmv_files.config_of("x", shapes) == cfg


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def require_refused(path, said):
    with pytest.raises(errors.CheckpointError, match=said) as caught:
        mmv_files.open_mmv(path)
    assert "\n" not in str(caught.value)


def test_a_pickle_that_calls_something_is_refused_and_nothing_runs(tmp_path, released):
    ran = tmp_path / "ran"
    content = tree(released) | {"more": Calls(ran.mkdir)}
    require_refused(written(tmp_path / "x.pkl", content), "nothing in the file is run")
    content = tree(released) | {"more": Calls(print, "ran")}
    require_refused(written(tmp_path / "x.pkl", content), "holds builtins.print")
    assert not ran.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (np.array([object]), "_reconstruct|builtins|something else than numbers"),
        ({(1, 2): 3}, "neither a string nor an integer"),
        (np.ma.array([1.0]), "holds numpy.ma"),
        (np.array(["a"]), "something else than numbers"),
        ({1, 2}, "no tree of arrays needs"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(tmp_path, content, said):
    require_refused(written(tmp_path / "x.pkl", {"params": {"a": content}, "state": {}}), said)


def test_a_truncated_file_is_told_wherever_it_ends(released, tmp_path):
    whole = released.read_bytes()
    for share in (0.001, 0.3, 0.9, 0.9999):
        (tmp_path / "x.pkl").write_bytes(whole[: int(share * len(whole))])
        require_refused(tmp_path / "x.pkl", "damaged or truncated")


def test_lengths_beyond_the_file_reserve_nothing(tmp_path):
    for opcode in (pickle.BINBYTES8, pickle.BYTEARRAY8):
        (tmp_path / "x.pkl").write_bytes(b"\x80\x05" + opcode + b"\xff" * 7 + b"\x0f" + b"abc")
        require_refused(tmp_path / "x.pkl", "damaged or truncated")
    (tmp_path / "x.pkl").write_bytes(b"\x80\x03" + pickle.BINBYTES + b"\xff" * 4 + b"abc")
    require_refused(tmp_path / "x.pkl", "damaged or truncated")


def test_another_system_s_pickle_is_told(tmp_path, released):
    other = {"params": {"linear": {"w": np.ones((2, 2), np.float32)}}, "state": {}}
    require_refused(
        written(tmp_path / "x.pkl", other),
        "MMV: has no video tower and no audio tower",
    )
    require_refused(written(tmp_path / "x.pkl", {"model": {}}), "expected a dict of params and")
    require_refused(written(tmp_path / "x.pkl", [1]), "found list")
    (tmp_path / "x.pkl").write_bytes(released.read_bytes() + b"\0")
    require_refused(tmp_path / "x.pkl", "holds more behind the end of its pickle")
    (tmp_path / "x.pkl").write_bytes(released.read_bytes() * 2)
    require_refused(tmp_path / "x.pkl", "holds more behind the end of its pickle")
    (tmp_path / "x.pkl").write_bytes(b"hello")
    require_refused(tmp_path / "x.pkl", "no pickle; expected a dict of params and state, saved")
    spoilt = tree(released)
    spoilt["params"].pop("text_audio_video/~_get_pair_embedding_heads/txt_embd/final_projection")
    require_refused(written(tmp_path / "x.pkl", spoilt), "txt_embd|text_vat")
    spoilt = tree(released)
    spoilt["state"].popitem()
    require_refused(written(tmp_path / "x.pkl", spoilt), "is missing")


@pytest.mark.parametrize("opened", [mmv_files.open_mmv, lb_jax.load])
@pytest.mark.parametrize("protocol", [None, 0, 1])
def test_an_old_pickle_and_an_empty_file_are_told(tmp_path, opened, protocol):
    for content in ({"params": {}, "state": {}}, collections.OrderedDict(params={}), [1]):
        whole = b"" if protocol is None else pickle.dumps(content, protocol)
        (tmp_path / "x.pkl").write_bytes(whole)
        said = "an empty file" if protocol is None else "a pickle of protocol 0 or 1"
        with pytest.raises(errors.CheckpointError, match=f"{said}.*saved with protocol 2 to 5"):
            opened(tmp_path / "x.pkl")


def test_numbers_that_are_not_finite_are_named(tmp_path, released):
    spoilt = tree(released)
    spoilt["params"]["text_audio_video/text_module/~/text_conv1"]["b"][0] = np.nan
    found = mmv_files.open_mmv(written(tmp_path / "x.pkl", spoilt))
    with pytest.raises(errors.CheckpointError, match="text_conv1/b holds 1 value not finite"):
        found.params()


def test_the_command_converts_and_verifies(released, tmp_path, capsys):
    main.main(["convert", str(released), str(tmp_path / "out"), "--to", "safetensors", "--verify"])
    told = capsys.readouterr().out
    assert "MMV, video, audio, text, as safetensors" in told
    assert "video vat: differ by at most 0.0e+00" in told


def test_what_the_command_cannot_do_is_one_line(released, checkpoint, tmp_path):
    with pytest.raises(errors.ConfigError, match="--to=clip has no place for"):
        mmv_files.convert(released, tmp_path / "out", "clip")
    with pytest.raises(errors.CheckpointError, match="choose another folder"):
        mmv_files.convert(released, released.parent, "hf")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(errors.CheckpointError, match="holds no MMV model"):
        mmv_files.convert(released, tmp_path / "other", "hf")
    with pytest.raises(errors.CheckpointError, match="cannot be read"):
        mmv_files.open_mmv(tmp_path / "none.pkl")
    broken = shutil.copytree(checkpoint, tmp_path / "broken")
    (broken / "config.json").write_text((broken / "config.json").read_text().replace("fac", "fax"))
    with pytest.raises(errors.LbJaxError, match="unknown graph 'fax'"):
        mmv_files.open_mmv(broken)


def test_opcodes_are_those_of_trees_of_arrays(released):
    used = {opcode.name for opcode, _, _ in pickletools.genops(released.read_bytes())}
    assert used <= set(haiku_reader.OPCODES.split())

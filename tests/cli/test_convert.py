"""`lb-jax convert`: some modalities of a model, what opens the result, what is refused."""

import re

import lb_jax


def test_what_a_refusal_says_is_done(call, model_dir):
    line = f"convert {model_dir} {{tmp}}/out --to=clip"
    refused = call(line)
    assert refused.status == 2
    [only] = re.findall(r"add (--only=\S+?),? or", refused.err)
    assert "audio" not in only
    assert "video" not in only
    result = call(f"{line} {only}")
    assert (result.status, result.err) == (0, "")
    names = only.removeprefix("--only=").split(",")
    assert f"{', '.join(names)} and text, as clip" in result.out


def test_verify_compares_what_was_chosen(call, model_dir):
    result = call(f"convert {model_dir} {{tmp}}/out --to=clip --only=thermal --verify")
    assert result.status == 0
    found = re.findall(r"(\w+): embeddings differ by at most (\S+)", result.out)
    assert [name for name, _ in found] == ["thermal", "text"]
    assert max(float(difference) for _, difference in found) < 2e-6


def test_what_opens_the_result_is_told(call, model_dir):
    openers = {
        "hf": "opened by from_pretrained of LanguageBindDepth in LanguageBind's own code",
        "clip": "opened by transformers (AutoModel",
        "stablehlo": "opened by jax.export.deserialize",
    }
    for to, told in openers.items():
        result = call(f"convert {model_dir} {{tmp}}/{to} --to={to} --only=depth")
        assert (result.status, result.err) == (0, "")
        assert told in result.out


def test_only_some_of_a_checkpoint_stay(call, model_dir, tmp_path):
    result = call(f"convert {model_dir} {tmp_path}/out --to=safetensors --only=depth,audio")
    assert result.status == 0
    assert {*lb_jax.load(tmp_path / "out").modalities} == {"audio", "depth"}
    refused = call(f"convert {tmp_path}/out {tmp_path}/again --to=orbax --only=video")
    assert refused.status == 2
    assert "and no video; choose some of those it has" in refused.err

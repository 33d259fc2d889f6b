#!/usr/bin/env bash
# Expected: of a CLIP config.json with `vision_config` and the older `vision_config_dict`, the fields
# of the latter win, field by field, and an empty one changes nothing.
# What happens: the defaults of `CLIPVisionConfig` win too. What `vision_config_dict` leaves out goes
# back to ViT-B/32, whatever `vision_config` says: {"hidden_act": "gelu"} or {} beside a tower of width
# 1024 and 24 layers gives width 768 and 12 layers. Only null is the same as absent.
# Why it matters: configs of 2022 and 2023 have both sections; a loader that merges them field by
# field builds a tower that transformers does not, of other activations without any error.
# Versions: transformers 5.23.0, Python 3.11.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet transformers==5.23.0
"$work/venv/bin/python" - <<'PY'
import json, pathlib, tempfile
import transformers

print("transformers", transformers.__version__)
section = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "hidden_act": "gelu"}
found = {}
for name, winner in {"null": None, "empty": {}, "partial": {"hidden_act": "gelu"}}.items():
    folder = pathlib.Path(tempfile.mkdtemp())
    config = {"model_type": "clip", "vision_config": section, "vision_config_dict": winner}
    (folder / "config.json").write_text(json.dumps(config))
    tower = transformers.CLIPConfig.from_pretrained(folder).vision_config
    found[name] = (tower.hidden_size, tower.num_hidden_layers, tower.hidden_act)
    print(f"vision_config_dict {name}: width, layers, activation {found[name]}")
assert found["null"] == (1024, 24, "gelu")
assert found["empty"] == (768, 12, "quick_gelu")
assert found["partial"] == (768, 12, "gelu")
PY

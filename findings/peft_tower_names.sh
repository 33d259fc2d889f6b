#!/usr/bin/env bash
# Expected: a LoRA adapter saved around CLIP's text model does not load around its vision model: the
# names of the layers, or the class in `auto_mapping`, tell that they are not the same.
# What happens: since transformers 5 neither model has its own name in those of its layers (before:
# `vision_model.encoder...`, `text_model.encoder...`), so both adapters hold
# `base_model.model.encoder.layers.0.self_attn.q_proj.lora_A.weight`. Where widths agree PEFT puts
# the text tower's factors into the vision tower, without an error or a warning; `auto_mapping` is
# written and not compared.
# Why it matters: a loader has to tell the towers apart by `auto_mapping` or by sizes, and cannot by
# names; adapters saved under transformers 4 have other names than those saved under 5.
# Versions: transformers 5.23.0, peft 0.21.2, torch 2.13.0, Python 3.11.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 transformers==5.23.0 peft==0.21.2
"$work/venv/bin/python" - <<'PY'
import json, pathlib, tempfile, warnings
import peft, torch, transformers
from safetensors.torch import load_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModel

print("transformers", transformers.__version__, "peft", peft.__version__, "torch", torch.__version__)
size = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
text = CLIPTextModel(CLIPTextConfig(**size, vocab_size=100, bos_token_id=98, eos_token_id=99))
vision = CLIPVisionModel(CLIPVisionConfig(**size, image_size=32, patch_size=8))
lora = peft.LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False)
folder = pathlib.Path(tempfile.mkdtemp())
saved = peft.get_peft_model(text, lora)
saved.save_pretrained(folder)
print("name:", next(iter(load_file(folder / "adapter_model.safetensors"))))
mapping = json.loads((folder / "adapter_config.json").read_text())["auto_mapping"]
print("auto_mapping:", mapping["base_model_class"])
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    loaded = peft.PeftModel.from_pretrained(vision, folder)
told = [one for one in told if not issubclass(one.category, FutureWarning)]
pairs = [
    [value for name, value in model.named_parameters() if "lora_" in name]
    for model in (saved, loaded)
]
same = all(torch.equal(one, other) for one, other in zip(*pairs, strict=True))
print(f"factors of the text tower in the vision tower: {same}; warnings: {len(told)}")
assert mapping["base_model_class"] == "CLIPTextModel" and same and not told
PY

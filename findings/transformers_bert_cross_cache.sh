#!/usr/bin/env bash
# transformers: `generate` of a BERT decoder with cross-attention needs a cache made by hand.
#
# Expected: BertLMHeadModel with is_decoder and add_cross_attention, given `encoder_hidden_states`,
# writes with `generate` as it does when it is called: both are documented inputs.
# What happens: `generate` makes a DynamicCache, since the model alone is no encoder-decoder, and the
# layer asks it for what only EncoderDecoderCache has: AttributeError about `is_updated`. With
# use_cache=False, or a fresh EncoderDecoderCache(DynamicCache(), DynamicCache()) as past_key_values,
# it writes, both times the same tokens. Called directly with use_cache=True the model makes the
# right cache itself.
# Versions: transformers 5.23.0, torch 2.13.0.
# Why it matters here: it is the peer that our beam search is timed against (benchmarks/caption_speed.py).
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/env"
"$dir/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.23.0
cat >"$dir/look.py" <<'PY'
import sys
import torch, transformers
from transformers import DynamicCache, EncoderDecoderCache

torch.manual_seed(0)
config = transformers.BertConfig(
    vocab_size=97, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
    intermediate_size=64, is_decoder=True, add_cross_attention=True,
    bos_token_id=1, eos_token_id=2, pad_token_id=0,
)
model = transformers.BertLMHeadModel(config).eval()
seen, first = torch.randn(2, 5, 32), torch.ones(2, 1, dtype=torch.long)

def write(**cache):
    try:
        with torch.inference_mode():
            return model.generate(
                first, encoder_hidden_states=seen, num_beams=3, do_sample=False,
                min_new_tokens=6, max_new_tokens=6, **cache,
            ).tolist()
    except AttributeError as error:
        return f"{type(error).__name__}: {error}"

by_itself = write()
without = write(use_cache=False)
by_hand = write(past_key_values=EncoderDecoderCache(DynamicCache(), DynamicCache()))
with torch.inference_mode():
    called = model(first, encoder_hidden_states=seen, use_cache=True).past_key_values
print("transformers", transformers.__version__, "torch", torch.__version__)
print("usual cache:", by_itself)
print("no cache:", without)
print("cache by hand:", by_hand)
print("called directly:", type(called).__name__)
fails = isinstance(by_itself, str) and "is_updated" in by_itself
alike = without == by_hand and isinstance(without, list)
sys.exit(not (fails and alike and isinstance(called, EncoderDecoderCache)))
PY
"$dir/env/bin/python" "$dir/look.py"
echo "still so"

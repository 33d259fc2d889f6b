#!/usr/bin/env bash
# Expected: the pad token of a CLIP tokenizer says what fills a text up, and changes no token of it.
# What happens: with "pad_token": "!" (as in conversions from OpenCLIP, whose texts end in zeros, the
# id of "!") the "!" of a text becomes that token too, id 0, instead of "!</w>", id 256: a special
# token is looked for in the text before it is split. Without it the ids are those of OpenCLIP.
# Why it matters: such weights were trained with "!</w>". A caption with an exclamation mark gets
# another vector from the converted folder than from the original, and only in transformers.
# Versions: transformers 5.23.0, tokenizers 0.23.3, Python 3.11.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet transformers==5.23.0 tokenizers==0.23.3
"$work/venv/bin/python" - <<'PY'
import tokenizers, transformers

print("transformers", transformers.__version__, "tokenizers", tokenizers.__version__)
pieces = ["!", "h", "i", "!</w>", "h</w>", "i</w>", "hi</w>", "<|startoftext|>", "<|endoftext|>"]
vocabulary = {piece: token for token, piece in enumerate(pieces)}
found = {}
for pad in ("<|endoftext|>", "!"):
    tokenizer = transformers.CLIPTokenizer(
        vocab=vocabulary, merges=[("h", "i</w>")], pad_token=pad
    )
    found[pad] = tokenizer("hi!").input_ids
    print(f"pad token {pad!r}: 'hi!' is {found[pad]}, {tokenizer.convert_ids_to_tokens(found[pad])}")
assert found["<|endoftext|>"] == [7, 6, 3, 8]
assert found["!"] == [7, 6, 0, 8]
PY

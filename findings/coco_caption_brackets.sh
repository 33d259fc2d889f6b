#!/usr/bin/env bash
# Expected: the tokeniser that caption figures are made with removes the marks of its list PUNCTUATIONS,
# brackets (-LRB-, -RRB-, -LCB-, -RCB-) among them, so that "a cat (black) sits" has the words of
# "a cat black sits".
# What happens: it asks the Java tokeniser for lower case, gets -lrb- and -rrb-, and looks for them in
# the list, which has them in capitals. Brackets count as two words more, in BLEU, ROUGE-L and CIDEr.
# Runs of marks, "!!!" or "??", are tokens that the list does not have, and count as well.
# Why it matters: figures that are to be compared with published ones have to count them too.
# Versions: pycocoevalcap 1.2 (CoreNLP 3.4.1 in it), Java 17; a download of 100 MB.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
java -version 2>&1 | head -1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-deps pycocoevalcap==1.2
"$work/venv/bin/python" - 2>/dev/null <<'PY'
from pycocoevalcap.tokenizer import ptbtokenizer

texts = ["a cat (black) sits", "a cat black sits", "stop!!!", "stop!"]
given = {i: [{"caption": text}] for i, text in enumerate(texts)}
found = {i: said for i, (said,) in ptbtokenizer.PTBTokenizer().tokenize(given).items()}
for i, text in enumerate(texts):
    print(f"{text!r} has the words {found[i].split()}")
assert "-LRB-" in ptbtokenizer.PUNCTUATIONS
assert found[0] == "a cat -lrb- black -rrb- sits"
assert found[1] == "a cat black sits"
assert (found[2], found[3]) == ("stop !!!", "stop")
PY

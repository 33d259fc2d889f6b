"""Sentences to words as caption metrics count them: the rules of the Penn Treebank, then no marks.

Written from the rules, without the Java program (`PTBTokenizer` of Stanford CoreNLP 3.4.1) that
published figures were made with. On plain captions both give the same words; where they differ is
listed in docs/evaluation.md. Figures name the tokeniser they were made with: `NAME`.
"""

import re
from collections.abc import Callable

NAME = "ptb-python-1"

# Tokens that are no words. Others, such as "!!!" or "&", count, as published.
_MARKS = ("''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";")
PUNCTUATION = frozenset((*_MARKS, "-LRB-", "-RRB-", "-LCB-", "-RCB-"))
# Written as one word, counted as two.
_JOINED = {
    "cannot": "can not",
    "gonna": "gon na",
    "gotta": "got ta",
    "wanna": "wan na",
    "lemme": "lem me",
    "gimme": "gim me",
}
# Brackets are named in lower case, so that those of the list above do not remove them.
_BRACKETS = {
    "(": "-lrb-",
    ")": "-rrb-",
    "[": "-lsb-",
    "]": "-rsb-",
    "{": "-lcb-",
    "}": "-rcb-",
}
_ALIKE = str.maketrans(
    {
        "’": "'",
        "‘": "`",
        "“": "``",
        "”": "''",
        "–": "--",
        "—": " -- ",
        "…": "...",
        "½": "1/2",
        "¼": "1/4",
        "¾": "3/4",
        "\u00ad": "",
    }
)
_ABBREVIATED = (
    "mr|mrs|ms|dr|st|prof|rev|gen|col|capt|lt|sgt|jr|sr|vs|etc|inc|corp|ltd|co|ave|blvd|mt|ft"
)
_CLITIC = r"'(?:s|m|d|ll|re|ve)(?!\w)"
_LETTERS = r"[^\W\d_]"
_TOKEN = re.compile(
    rf"""
      https?://\S+ | www\.\S+                             # addresses
    | [\w.+-]+@[\w-]+(?:\.[\w-]+)+
    | </?[a-z][^<>]*>
    | (?:{_LETTERS}\.){{2,}} | (?<![\w.]){_LETTERS}\.(?!\w)  # u.s., e.g., an initial
    | (?:{_ABBREVIATED})\.(?!\w) | no\.(?=\s*\d)
    | n't(?!\w) | {_CLITIC} | 'n'(?!\w) | '\d\ds?(?!\w)
    | {_LETTERS}+(?=n't(?!\w))                           # what n't is cut from
    | y'(?=all(?!\w))
    | \d+(?:[.,:/]\d+)+                                   # 3,000  10:30  1/2
    | \.\d+
    | (?:{_LETTERS}(?!{_CLITIC})'(?={_LETTERS}))?\w+                   # t-shirt, o'clock, red/blue
      (?:[-/_.](?=\w)\w+ | (?!{_CLITIC}|n't)'(?=\w)\w+)*
    | `` | '' | \.\.\. | -- | [?!]{{2,}} | &[a-z]+; | \S
    """,
    re.VERBOSE,
)

Tokeniser = Callable[[str], list[str]]


def tokenise(text: str) -> list[str]:
    """The words of a sentence in lower case, without punctuation."""
    return [token for token in _tokens(text) if token not in PUNCTUATION]


def pretokenised(text: str) -> list[str]:
    """The words of a sentence that was tokenised before: what stands between spaces."""
    return text.split()


def _tokens(text: str) -> list[str]:
    """Every token in lower case, marks among them."""
    text = _marks(text.lower().translate(_ALIKE))
    found = [_BRACKETS.get(one, _JOINED.get(one, one)) for one in _TOKEN.findall(text)]
    return [part for one in found for part in ([one] if "://" in one else one.split())]


def _marks(text: str) -> str:
    """Double quotes, dashes and runs of points, however long, as the marks that are removed."""
    return re.sub(r"\.\.+", " ... ", re.sub(r"--+", " -- ", text.replace('"', " '' ")))

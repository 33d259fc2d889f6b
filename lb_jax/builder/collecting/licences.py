"""Names of licences: what hosts write of them, as the identifiers that SPDX has for them."""

import re

# https://creativecommons.org/licenses/by-nc/4.0/, /publicdomain/zero/1.0/, /publicdomain/mark/1.0/
DEED = re.compile(
    r"https?://(?:www\.)?creativecommons\.org/(licenses|publicdomain)/([a-z+-]+)/([0-9.]+)/?.*",
    re.IGNORECASE,
)
PUBLIC = {"zero": "CC0", "mark": "CC-PDM"}
# What sites write in words; the first is YouTube's (support.google.com/youtube/answer/2797468).
WORDS = {
    "creative commons attribution license (reuse allowed)": "CC-BY-3.0",
    "creative commons 0": "CC0-1.0",
}


def named(told: str | None) -> str:
    """The identifier of a licence; what is none of these as it is told, and "" for nothing."""
    told = (told or "").strip()
    if found := DEED.fullmatch(told):
        family, name, version = found[1].lower(), found[2].lower(), found[3]
        if family == "publicdomain":
            return f"{PUBLIC[name]}-{version}" if name in PUBLIC else told
        return f"CC-{name.upper()}-{version}"
    return WORDS.get(told.lower(), told)

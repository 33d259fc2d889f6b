"""Sounds of Freesound by its API, version 2: what is found for a term, and their previews.

A key fetches previews (Ogg or MP3 of the whole sound); originals need a login by OAuth2, which is
the user's own. The key goes in a header to the API alone, not to where previews lie. An answer is
`{"count", "next", "previous", "results": […]}`, of at most 150 sounds a page
(freesound.org/docs/api, resources and authentication; `/search/` took the place of
`/search/text/`).
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lb_jax.builder.collecting import candidates, licences, settings
from lb_jax.builder.collecting.candidates import Allowed, Candidate, Fetched
from lb_jax.builder.downloads import Client
from lb_jax.builder.hosts import Refused
from lb_jax.core import errors

KEY = "FREESOUND_API_KEY"
FIELDS = (
    *("id", "name", "tags", "description", "license", "username", "url", "duration", "created"),
    *("type", "previews"),
)
KEPT = ("description", "username", "url", "duration", "created", "type")
PAGE = 150  # most sounds of an answer
DENIED = (401, 403)


class Freesound:
    """What Freesound has for some terms.

    Args:
      terms: that are searched.
      cfg: of the API.
      client: asks.
      most: taken of what is found for a term.

    Raises:
      ConfigError: the environment has no key.
    """

    kind = "freesound"
    is_searched = True

    def __init__(self, terms: Sequence[str], cfg: settings.Freesound, client: Client, most: int):
        key = os.environ.get(KEY, "").strip()
        if not key:
            raise errors.ConfigError(
                f"freesound needs a key in the environment, {KEY}; "
                "https://freesound.org/apiv2/apply gives one."
            )
        self._terms, self._cfg, self._client, self._most = tuple(terms), cfg, client, most
        self._headers = {"Authorization": f"Token {key}"}

    def questions(self) -> Sequence[str]:
        """The terms."""
        return self._terms

    def find(self, question: str) -> Iterator[Candidate]:
        """Sounds for a term, page by page.

        Raises:
          ConfigError: the key is not taken.
          Failed, Refused: as `downloads.Client.json`.
        """
        left, page = self._most, 1
        size = min(PAGE, self._most)
        while left > 0:
            params = {
                "query": question,
                "sort": self._cfg.sort,
                "fields": ",".join(FIELDS),
                "page_size": size,
                "page": page,
            }
            if self._cfg.filter:
                params["filter"] = self._cfg.filter
            answer = self._ask(params)
            for sound in answer["results"][:left]:
                yield self._candidate(sound)
            left, page = left - len(answer["results"]), page + 1
            if not answer.get("next") or not answer["results"]:
                return

    def fetch(self, one: Candidate, stem: Path, allowed: Allowed) -> Fetched:
        """Fetches the preview of a sound."""
        allowed(one)
        return Fetched(self._client.file(one.url, stem), one)

    def kept(self, one: Candidate) -> None:
        """Nothing is left to do."""

    def _ask(self, params: Mapping[str, str | int]) -> Mapping[str, Any]:
        url = f"{self._cfg.url.rstrip('/')}/search/"
        try:
            answer = self._client.json(url, params, self._headers)
        except Refused as error:
            if error.status in DENIED:
                raise errors.ConfigError(
                    f"{url} does not take the key in {KEY} (status {error.status}); see "
                    "https://freesound.org/apiv2/apply."
                ) from error
            raise
        if not isinstance(answer, dict) or not isinstance(answer.get("results"), list):
            raise Refused(url, "answers something else than a list of sounds")
        return answer

    def _candidate(self, sound: Mapping[str, Any]) -> Candidate:
        previews = sound.get("previews")
        where = previews.get(self._cfg.preview) if isinstance(previews, dict) else None
        if not where or "id" not in sound:
            raise Refused(
                self._cfg.url, f"tells of a sound without id or {self._cfg.preview}; try another"
            )
        return Candidate(
            candidates.key(self.kind, str(sound["id"])),
            self.kind,
            str(where),
            title=candidates.plain_name(str(sound.get("name", ""))),
            tags=tuple(map(str, sound.get("tags") or ())),
            licence=licences.named(sound.get("license")),
            source=self.kind,
            known={name: sound[name] for name in KEPT if sound.get(name) is not None},
        )

"""`lb-jax serve`: a web page and an HTTP API over one model."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lb_jax.cli.arguments import Parser, add_settings, add_space, given_settings
from lb_jax.core import errors

TOKEN = "LB_JAX_TOKEN"
MIB = 1 << 20
SAMPLE_ITEMS = 3  # scenes of the page's examples
SAMPLE_SEED = 7
# `--max-NAME`: type, default, what it bounds
BOUNDS = {
    "queue": (int, 256, "files and windows of text in flight; more get 429"),
    "inputs": (int, 2048, "texts and files of a list, or of all fields of a form"),
    "characters": (int, 100_000, "characters of a text"),
    "total_characters": (int, 1_000_000, "characters of all texts of a request"),
    "upload_mib": (int, 64, "size of a request, in MiB"),
    "media_s": (float, 600.0, "duration of a file, in seconds"),
    "answer_s": (float, 120.0, "time from the body of a request to its answer, in seconds"),
}


def main(argv: Sequence[str]) -> None:
    """Serves until it is stopped."""
    parser = Parser(
        "serve",
        "A web page (similarity, search, zero-shot, captions) and an HTTP API (/v1/embeddings, "
        "/v1/search, /v1/captions, /docs) over one model and, for captions, a captioner.",
    )
    parser.add_argument(
        "--model",
        help="checkpoint, work directory of a finished run, or published weights (default: that of "
        "the store, or without one the demo's, which comes with the package)",
    )
    parser.add_argument(
        "--store", help="store of vectors to search in, made by `lb-jax index build`"
    )
    parser.add_argument(
        "--captioner",
        metavar="MODEL",
        help="VALOR model that writes captions and answers questions (default: none)",
    )
    parser.add_argument(
        "--name", help="how the API calls the model (default: the last part of its path, or its id)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="0: any free one (default: 8000)")
    parser.add_argument(
        "--token", help=f"secret that the API and the page ask for (default: ${TOKEN})"
    )
    for name, (kind, usual, what) in BOUNDS.items():
        option = f"--max-{name.replace('_', '-')}"
        parser.add_argument(option, type=kind, default=usual, help=f"{what} (default: {usual})")
    parser.add_argument("--workers", type=int, default=2, help="decoder processes (default: 2)")
    parser.add_argument("--no-page", action="store_true", help="the API alone")
    add_space(parser)
    add_settings(parser)
    given = parser.parse_args(argv)
    for name in (*(f"max_{name}" for name in BOUNDS), "workers"):
        if not getattr(given, name) > 0:  # NaN too
            option = name.replace("_", "-")
            raise errors.ConfigError(f"--{option} is {getattr(given, name)}; expected above 0.")
    if given.max_characters > BOUNDS["characters"][1]:
        raise errors.ConfigError(
            f"--max-characters is {given.max_characters}; the tokenizer takes "
            f"{BOUNDS['characters'][1]} at most."
        )
    if not 0 <= given.port <= 65_535:
        raise errors.ConfigError(f"--port is {given.port}; expected 0 to 65535.")
    if given.name is not None and not (given.name.strip() and given.name.isprintable()):
        raise errors.ConfigError(f"--name is {given.name!r}; expected a name, such as our/model.")
    token = given.token if given.token is not None else os.environ.get(TOKEN)
    if token is not None and not token.strip():
        raise errors.ConfigError("--token is empty; give a secret, or leave it out.")
    if token is not None and (token != token.strip() or not token.isprintable()):
        raise errors.ConfigError(
            "--token has blanks at its ends or characters that cannot be printed, which no header "
            "carries; leave them out."
        )

    from lb_jax.serve import limits, run

    usual = limits.Limits()
    upload = given.max_upload_mib * MIB
    bounds = dataclasses.replace(
        usual,
        queue=given.max_queue,
        inputs=given.max_inputs,
        characters=given.max_characters,
        total_characters=given.max_total_characters,
        upload_bytes=upload,
        held_bytes=max(usual.held_bytes, 2 * upload),
        media_s=given.max_media_s,
        answer_s=given.max_answer_s,
    )
    options = run.Options(
        model=given.model,
        store=given.store,
        name=given.name,
        host=given.host,
        port=given.port,
        token=token,
        limits=bounds,
        captioner=given.captioner,
        workers=given.workers,
        page=not given.no_page,
        settings=given_settings(given),
        space=given.space,
    )
    run.run(options, write_samples)


def write_samples(folder: Path) -> dict[str, Any]:
    """Media of a few drawn scenes for the page's examples.

    Returns:
      Modality -> paths, and "text" -> a sentence for each scene.
    """
    from lb_jax.demo import corpus, scene

    for one in corpus.FOLDERS:
        (folder / one).mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {"text": []}
    plan = scene.schedule(SAMPLE_SEED, SAMPLE_ITEMS)
    for index, attributes in enumerate(plan):
        _, texts, facts = corpus.write_item(folder, SAMPLE_SEED, index, attributes)
        found["text"].append(texts["polish_mplug"])
        for modality, path in facts["files"].items():
            found.setdefault(modality, []).append(folder / path)
    return found

"""The web page: similarity, search, zero-shot, captions. It calls what the API calls."""

import asyncio
import dataclasses
import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from fastapi import FastAPI
from starlette.routing import Mount

from lb_jax.core.modalities import MODALITIES, TEXT
from lb_jax.corpora import media_files
from lb_jax.media.sensors import looks
from lb_jax.search import fits
from lb_jax.serve import api, captions, drawing
from lb_jax.serve.limits import MIB, Refusal
from lb_jax.serve.service import Item, Service

FONTS = ["system-ui", "-apple-system", "Segoe UI", "sans-serif"]
MONO = ["ui-monospace", "monospace"]
TITLES = {
    "image": "Images",
    "video": "Videos",
    "audio": "Sounds",
    "depth": "Depth maps",
    "thermal": "Thermal images",
    "imu": "Motion",
}
LABELS = "a dog\na car\na telephone\nrain"
KEPT_S = 900  # uploads are removed after this time
AT_ONCE = 8  # events of the page that are worked on
WAITING = 64  # events that wait for their turn
FILES, TEXTS = 32, 128  # of a comparison
LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Compared:
    """What the heat map is drawn from.

    Attributes:
      labels: of all items, media first.
      vectors: float32 [n, e].
    """

    labels: list[drawing.Label]
    vectors: np.ndarray


def mount(
    app: FastAPI, service: Service, samples: Mapping[str, Sequence[Any]], folder: Path
) -> None:
    """Puts the page at `/`.

    Args:
      app: of the API.
      service: what answers.
      samples: modality -> paths of media for the examples, "text" -> sentences.
      folder: that the samples lie in.
    """
    gr.mount_gradio_app(
        app,
        build(service, samples),
        path="",
        footer_links=[],
        run_history=False,
        allowed_paths=[str(folder / "samples")],
        max_file_size=service.limits.upload_bytes,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        show_error=False,  # what is not meant for the user stays in the log
        theme=gr.themes.Default(font=FONTS, font_mono=MONO, primary_hue="blue"),
        css=drawing.STYLE,
    )
    mounted = app.routes[-1]
    assert isinstance(mounted, Mount)  # what gradio has just put there
    api.refuse_alike(mounted.app)


def build(service: Service, samples: Mapping[str, Sequence[Any]]) -> gr.Blocks:
    """The page.

    Args:
      service: what answers.
      samples: as for `mount`.
    """
    served = service.served
    with gr.Blocks(
        title="lb-jax", analytics_enabled=False, delete_cache=(KEPT_S, KEPT_S), fill_width=True
    ) as blocks:
        gr.Markdown(
            f"# lb-jax\n{served.name} ({served.family}): {', '.join(served.modalities)} and text "
            f"in one space of {served.width} dimensions. [API](/docs)"
        )
        with gr.Tab("Similarity"):
            _similarity(service, samples)
        # made with the page, so that less is still missing when a tab is opened
        with gr.Tab("Search", render_children=True):
            _search(service)
        with gr.Tab("Zero-shot", render_children=True):
            _zero_shot(service, samples)
        if served.captioner is not None:
            with gr.Tab("Captions", render_children=True):
                _captions(service, served.captioner)
    _refuse_damaged(blocks)
    blocks.queue(max_size=WAITING, default_concurrency_limit=AT_ONCE)
    return blocks


def _similarity(service: Service, samples: Mapping[str, Sequence[Any]]) -> None:
    modalities = [name for name in MODALITIES if name in service.served.modalities]
    gr.Markdown("Drop media and type texts; each is held against each.")
    with gr.Row():
        zones = [
            _zone(TITLES.get(name, name), name, elem_id=f"similar-{name}", many=True)
            for name in modalities
        ]
    texts = gr.Textbox(
        label="Texts, one per line",
        value="",
        lines=3,
        elem_id="similar-texts",
        placeholder="a dog barks",
    )
    with gr.Row():
        compare = gr.Button("Compare", variant="primary", elem_id="similar-go")
        sample = gr.Button("Use sample media", visible=bool(samples), elem_id="similar-samples")
    value = gr.Radio(
        [(title, key) for key, (title, _) in drawing.VALUES.items()],
        value="cosine",
        label="Value",
        elem_id="similar-value",
    )
    among = gr.Checkbox(label="Media with each other too", elem_id="similar-among")
    out = gr.HTML(apply_default_css=False, elem_id="similar-out")
    kept = gr.State()

    async def embed(value: str, among: bool, texts: str, *files: list[str] | None) -> tuple:
        named = zip(modalities, files, strict=True)
        media = [(name, Path(path)) for name, paths in named for path in paths or []]
        lines = [line.strip() for line in texts.splitlines() if line.strip()]
        if len(media) + len(lines) < 2:
            return None, drawing.bad("Give at least two things to compare.")
        items = [await _item(service, name, path) for name, path in media]
        items += [Item(TEXT, line, f"text {place + 1}") for place, line in enumerate(lines)]
        _check_counts(service, items)
        vectors = await service.embed(items)
        pictures = await asyncio.gather(*(_picture(service, item) for item in items))
        names = [path.name for _, path in media] + lines
        labels = [
            drawing.Label(name, item.modality, picture)
            for name, item, picture in zip(names, items, pictures, strict=True)
        ]
        compared = Compared(labels, vectors)
        return compared, show(value, among, compared)

    def show(value: str, among: bool, compared: Compared | None) -> Any:
        if compared is None:  # asked before the first answer, and perhaps told after it
            return gr.skip()
        return _table(service, compared, value, among=among)

    def take_samples() -> tuple:
        chosen = [[str(path) for path in samples.get(name, ())][:2] for name in modalities]
        return "\n".join(samples[TEXT]), *chosen

    _on(compare.click, _told(embed, 2), [value, among, texts, *zones], [kept, out])
    for control in (value, among):
        _on(control.change, show, [value, among, kept], [out])
    if samples:
        _on(sample.click, take_samples, [], [texts, *zones])


def _search(service: Service) -> None:
    if service.store is None:
        gr.Markdown(
            "This server has no store. Make one of your media and start the server with it:\n\n"
            "```\nlb-jax index build DIR -o STORE\nlb-jax serve --store STORE\n```"
        )
        return
    modalities = service.served.modalities
    text = gr.Textbox(
        value="",
        label="What you look for",
        placeholder="a dog barks in the rain",
        elem_id="search-text",
    )
    with gr.Row():
        given_file = _one_file(modalities, "search", "Or a file, or both")
    with gr.Accordion("Filters", open=False):
        wanted = gr.CheckboxGroup([*modalities], label="Only", elem_id="search-only")
        under = gr.Textbox(value="", label="In the folder", placeholder="/home/me/videos")
        with gr.Row():
            after = gr.Number(label="From second", value=None, min_width=120)
            before = gr.Number(label="To second", value=None, min_width=120)
        count = gr.Slider(1, service.limits.results, value=12, step=1, label="Results")
    by = gr.Radio(
        [*drawing.RANKINGS.items()],
        value="",
        label="Ranked by",
        elem_id="search-by",
        visible=service.store.has_captions,
    )
    go = gr.Button("Search", variant="primary", elem_id="search-go")
    out = gr.HTML(apply_default_css=False, elem_id="search-out")

    async def search(
        text: str,
        path: str | None,
        kind: str,
        guessed: str,
        wanted: list[str],
        under: str,
        after: float | None,
        before: float | None,
        count: float,
        by: str,
    ) -> str:
        items = [Item(TEXT, text, "the text")] if text.strip() else []
        if path:
            kind = _kind_of(modalities, path, kind, guessed)
            items.append(await _item(service, kind, Path(path)))
        if not items:
            return drawing.bad("Type what you look for, or give a file.")
        where = {
            "modalities": tuple(wanted),
            "under": under.strip() or None,
            "after_s": after,
            "before_s": before,
        }
        return drawing.cards(*await service.search(items, int(count), where, by or None))

    given = [text, *given_file, wanted, under, after, before, count, by]
    for event in (go.click, text.submit):
        _on(event, _told(search), given, [out])


def _zero_shot(service: Service, samples: Mapping[str, Sequence[Any]]) -> None:
    gr.Markdown("Which of these labels fits a file best?")
    with gr.Row():
        given_file = _one_file(service.served.modalities, "zero", "File")
    labels = gr.Textbox(
        label="Labels, one per line",
        lines=5,
        value="\n".join(samples.get(TEXT, ())) or LABELS,
        elem_id="zero-labels",
    )
    go = gr.Button("Which one?", variant="primary", elem_id="zero-go")
    out = gr.HTML(apply_default_css=False, elem_id="zero-out")

    async def choose(path: str | None, kind: str, guessed: str, labels: str) -> str:
        lines = list(dict.fromkeys(line.strip() for line in labels.splitlines() if line.strip()))
        if not path or len(lines) < 2:
            return drawing.bad("Give a file and at least two labels, one per line.")
        kind = _kind_of(service.served.modalities, path, kind, guessed)
        items = [await _item(service, kind, Path(path))]
        items += [Item(TEXT, line, f"label {place + 1}") for place, line in enumerate(lines)]
        _check_counts(service, items)
        vectors = await service.embed(items)
        unlike = fits.unlike(service.served, {kind: vectors[:1]})
        if unlike is not None:
            return drawing.bad(f"No probabilities: {unlike}.")
        logits = service.served.logits(kind, TEXT, vectors[1:] @ vectors[0])
        assert logits is not None  # of media with text there always are
        shares = np.exp(logits - logits.max())
        note = "Probability among these labels: the softmax of the logits. One of them always wins."
        return drawing.bars(lines, shares / shares.sum(), note)

    _on(go.click, _told(choose), [*given_file, labels], [out])


def _captions(service: Service, captioner: captions.Captioner) -> None:
    gr.Markdown(
        f"{captioner.name} writes a caption of a film, a sound or a picture, and answers questions "
        "about it."
    )
    with gr.Row():
        given_file = _one_file(captioner.modalities, "write", "File")
    groups = [(drawing.GROUPS[one], one) for one in captioner.groups]
    group = gr.Radio(
        [("all that it has", ""), *groups], value="", label="Written from", elem_id="write-group"
    )
    go = gr.Button("Write a caption", variant="primary", elem_id="write-go")
    caption = gr.HTML(apply_default_css=False, elem_id="write-out")
    question = gr.Textbox(
        value="", label="Question", placeholder="what is heard?", elem_id="ask-question"
    )
    ask = gr.Button("Ask", elem_id="ask-go")
    answer = gr.HTML(apply_default_css=False, elem_id="ask-out")

    async def write(
        path: str | None, kind: str, guessed: str, group: str, question: str | None = None
    ) -> str:
        if not path:
            return drawing.bad("Give a file.")
        if question is not None and not question.strip():
            return drawing.bad("Type a question.")
        kind = _kind_of(captioner.modalities, path, kind, guessed)
        item = await _item(service, kind, Path(path))
        (said,) = await service.write([item], group=group or None, question=question)
        return drawing.said(said, item.name, question)

    async def take(path: str | None, *given: str) -> Any:
        """The caption of a file that was dropped; what was written of the one before names it."""
        return await _told(write)(path, *given) if path else gr.skip()

    asked = [*given_file, group]
    _on(given_file[0].change, take, asked, [caption])
    _on(go.click, _told(write), asked, [caption])
    for event in (ask.click, question.submit):
        _on(event, _told(write), [*asked, question], [answer])


def _table(service: Service, compared: Compared, value: str, *, among: bool) -> str:
    """Media against texts; against each other where there are no texts or when asked for."""
    count = sum(label.modality != TEXT for label in compared.labels)
    rows = list(range(count)) or list(range(len(compared.labels)))
    texts = list(range(count, len(compared.labels))) if count else []
    columns = texts if texts and not among else [*texts, *rows]
    cosines = compared.vectors[rows] @ compared.vectors[columns].T
    cells = np.full(cosines.shape, np.nan)
    find: Callable[..., np.ndarray | None] = {
        "cosine": lambda one, other, cosine: cosine,
        "probability": service.served.probability,
        "logits": service.served.logits,
    }[value]
    foreign = _foreign(service, compared) if value == "probability" else {}
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            one, other = compared.labels[row].modality, compared.labels[column].modality
            shown = find(one, other, cosines[i, j])
            if shown is not None and row != column and not foreign.keys() & {row, column}:
                cells[i, j] = shown
    calibrated = service.served.calibrated
    lacking = calibrated if isinstance(calibrated, str) else "the calibration has no such pair."
    missing = {
        "cosine": "an item with itself.",
        "logits": "media with text only.",
        "probability": _named(compared, foreign) or lacking,
    }[value]
    labels = compared.labels
    return drawing.heat_map(
        [labels[row] for row in rows], [labels[one] for one in columns], value, cells, missing
    )


def _foreign(service: Service, compared: Compared) -> dict[int, str]:
    """Place of each medium that gets no probability -> why."""
    found = {}
    for place, label in enumerate(compared.labels):
        vectors = {label.modality: compared.vectors[place : place + 1]}
        if (why := fits.unlike(service.served, vectors)) is not None:
            found[place] = why
    return found


def _named(compared: Compared, foreign: Mapping[int, str]) -> str:
    """Why some media get no probability, each reason with the names of those."""
    names = {why: [] for why in foreign.values()}
    for place, why in foreign.items():
        names[why].append(compared.labels[place].name)
    return " ".join(f"{', '.join(some)}: {why}." for why, some in names.items())


def _zone(label: str, modality: str, *, elem_id: str, many: bool = False) -> gr.File:
    """A place to drop files at; it takes uploads only, and fetches nothing."""
    zone = gr.File(
        label=label,
        file_count="multiple" if many else "single",
        file_types=[*MODALITIES[modality].suffixes, ".npy"] if modality in MODALITIES else None,
        height=130,
        min_width=270,
        elem_id=elem_id,
    )
    folder = Path(tempfile.gettempdir()).resolve()  # the server's own: uploads and samples
    move = zone.async_move_resource_to_block_cache

    async def move_local(url_or_file_path: Any) -> str | None:
        if str(url_or_file_path).lower().startswith(("http:", "https:")):
            raise gr.Error("Media are taken as uploads only.")
        if not Path(url_or_file_path).resolve().is_relative_to(folder):
            raise ValueError("a path that is no upload")  # gradio checks it where it serves alone
        return await move(url_or_file_path)

    zone.async_move_resource_to_block_cache = move_local
    return zone


def _refuse_damaged(blocks: gr.Blocks) -> None:
    """What is sent to a function of the page, and is not of its kind, costs a line in the log."""
    usual = blocks.preprocess_data

    async def preprocess(*given: Any, **options: Any) -> Any:
        try:
            return await usual(*given, **options)
        except (ValueError, TypeError, LookupError, AttributeError, OSError) as error:
            LOG.warning("the page was sent what it does not take (%s)", type(error).__name__)
            raise gr.Error(
                "The page does not take what was sent; load it again.", print_exception=False
            ) from error

    blocks.preprocess_data = preprocess


def _one_file(
    modalities: Sequence[str], name: str, label: str
) -> tuple[gr.File, gr.Dropdown, gr.Textbox]:
    """A place for one file, what it is, guessed and open to correction, and which was guessed."""
    file = _zone(label, "", elem_id=f"{name}-file")
    kind = gr.Dropdown(
        [*modalities], value=modalities[0], label="It is", elem_id=f"{name}-kind", min_width=140
    )
    guessed = gr.Textbox(value="", visible="hidden")

    def guess(path: str | None) -> tuple[str, str]:
        return _guess_among(modalities, path), path or ""

    _on(file.change, guess, [file], [kind, guessed])
    return file, kind, guessed


def _kind_of(modalities: Sequence[str], path: str, kind: str, guessed: str) -> str:
    """What a file is: as shown, unless the button was faster than the guess about this file."""
    return kind if guessed == path else _guess_among(modalities, path)


def _guess_among(modalities: Sequence[str], path: str | None) -> str:
    found = guess_modality(Path(path)) if path else modalities[0]
    usual = "image" if path and "image" in modalities else modalities[0]  # a picture of any kind
    return found if found in modalities else usual


def guess_modality(path: Path) -> str:
    """What a file probably is, by its ending, and for pictures by their depth and name."""
    kinds, _ = media_files.kinds_of(path)
    if kinds and kinds[0] != "image":
        return kinds[0]
    if "thermal" in path.name.lower():
        return "thermal"
    is_unclear = path.suffix.lower() in (*media_files.ARRAYS, *looks.FORMATS) and not kinds
    return "depth" if is_unclear else "image"


async def _item(service: Service, modality: str, path: Path) -> Item:
    if path.stat().st_size > service.limits.upload_bytes:
        most = service.limits.upload_bytes // MIB
        raise Refusal("too_large", f"{path.name} is larger than {most} MiB.")
    return Item(modality, await asyncio.to_thread(path.read_bytes), path.name)


async def _picture(service: Service, item: Item) -> bytes | None:
    if item.modality in (TEXT, "audio"):
        return None
    return await service.picture(item)


def _check_counts(service: Service, items: Sequence[Item]) -> None:
    texts = sum(item.modality == TEXT for item in items)
    if texts > TEXTS or len(items) - texts > FILES:
        raise Refusal(
            "bad_request",
            f"At most {FILES} files and {TEXTS} texts at once; these are "
            f"{len(items) - texts} and {texts}.",
        )


def _told(work: Callable[..., Any], outputs: int = 1) -> Callable[..., Any]:
    """A refusal becomes a message where the result would be."""

    async def guarded(*given: Any) -> Any:
        try:
            return await work(*given)
        except Refusal as refusal:
            gr.Warning(refusal.message)
            shown = drawing.bad(refusal.message)
            return shown if outputs == 1 else (*[None] * (outputs - 1), shown)

    return guarded


def _on(event: Callable[..., Any], work: Callable[..., Any], inputs: list, outputs: list) -> None:
    event(work, inputs, outputs, api_visibility="private", show_progress="minimal")

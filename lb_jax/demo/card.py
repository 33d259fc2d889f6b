"""The card of the demo's model, `README.md` beside its weights: what it knows and what it does not.

Its digest is of weights and config alone, so the card changes neither it nor a vector.
"""

from lb_jax.core import shipped
from lb_jax.demo import scene

KNOWN = {
    "category": "objects, drawn as silhouettes (image, video, depth, thermal)",
    "colour": "colours of them (image, video)",
    "motion": "motions (video)",
    "distance": "distances (depth)",
    "temperature": "temperatures (thermal)",
    "source": "sounds, three of each object (audio)",
}


def text() -> str:
    """The card, Markdown."""
    known = "\n".join(
        f"- {len(scene.VALUES[name])} {what}: {', '.join(scene.VALUES[name])}"
        for name, what in KNOWN.items()
    )
    return f"""# The demo's model of lb_jax

A very small model (embeddings of width 64) that comes with the package, so that every command can
be tried at once and without a network. It was trained for minutes on 2,048 scenes that
`lb-jax demo corpus` draws and synthesises, and on nothing else.

## What it knows

{known}

Sentences are those of the corpus, such as "a picture of a red car". Of other words it has
never seen any: they are zero in its table of tokens and add nothing to a sentence.

## What it does not know

Photographs, films, recordings, speech, music, screenshots, documents, drawings of anything else.
They get vectors too, but these mean nothing: a picture of noise may come first for "a red car". Its
calibration holds for such scenes alone; with other media no probability is told.

## What to take for your own media

    lb-jax index build FOLDER --model {shipped.REAL}

or a model of your own: `lb-jax train`, then `lb-jax calibrate`.
"""

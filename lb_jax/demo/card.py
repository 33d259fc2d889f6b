"""The cards of the demo's models, `README.md` beside the weights: what they know and what not.

A model's digest is of weights and config alone, so its card changes neither it nor a vector.
"""

from lb_jax.core import shipped
from lb_jax.demo import films, scene

KNOWN = {
    "category": "objects, drawn as silhouettes (image, video, depth, thermal)",
    "colour": "colours of them (image, video)",
    "motion": "motions (video)",
    "distance": "distances (depth)",
    "temperature": "temperatures (thermal)",
    "source": "sounds, three of each object (audio)",
}


def text() -> str:
    """The card of the model, Markdown."""
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


def of_captioner() -> str:
    """The card of the captioner, Markdown."""
    known = "\n".join(
        f"- {len(said)} words of {kind}: {', '.join(one.split()[-1] for one in said.values())}"
        for kind, said in films.WORDS.items()
    )
    asked = "\n".join(f"- {' / '.join(questions)}" for questions in films.QUESTIONS.values())
    example = films.Film("test", "car", "red", "left", "siren").caption
    return f"""# The demo's captioner of lb_jax

A very small VALOR (decoder of width 64) that comes with the package, so that every command that
writes can be tried at once and without a network. It was trained for minutes on films that
`lb-jax demo corpus --kind films` draws and synthesises, and on nothing else. Its video tower
started from that of the demo's model.

## What it writes

One sentence, from sight and sound (tva), sight alone (tv) or sound alone (ta): "{example}".
The object that is seen and the sound know nothing of each other: any object goes with any sound.
So from sight alone it can but guess the sound, and from sound alone what is seen; it guesses, and
does not say so.

{known}

## What it answers

With one word, in these wordings:

{asked}

## What it does not know

Films, photographs, recordings, speech, music, other words and other questions. Of your own media
it writes the same sentence, with words that mean nothing.

## What to take for your own media

A released VALOR, or a model of your own: `lb-jax train --config=valor_caption`.
"""

"""`lb-jax ask FILE "QUESTION" …`."""

import json
from collections.abc import Sequence
from pathlib import Path

from lb_jax.cli import file_arguments, writer_arguments
from lb_jax.cli.arguments import Parser
from lb_jax.core import errors, names


def main(argv: Sequence[str]) -> None:
    """Prints the answers to questions about a media file, a line each."""
    parser = Parser(
        "ask",
        "Answers questions about a film, a sound or a picture, a line each. A film is looked at "
        "and listened to where it has sound.",
    )
    add = parser.add_argument
    add("file", metavar="FILE", help="film, sound or picture, or a folder of a clip's pictures")
    add("questions", metavar="QUESTION", nargs="+", help="in words, such as 'what is seen?'")
    add("--json", action="store_true", help="print one JSON document")
    writer_arguments.add_model(parser)
    writer_arguments.add_decoding(parser, beam=1)
    arguments = parser.parse_args(argv)
    file_arguments.check(arguments)
    if not Path(arguments.file).exists():
        raise errors.DataError(arguments.file, "does not exist; give a film, a sound or a picture")
    model = writer_arguments.open_model(arguments, "ask")
    from lb_jax.inference import valor_items

    options = writer_arguments.decoding(arguments)
    group = valor_items.pick(arguments.file, model.choices(arguments.group))
    answers = model.answer(arguments.file, arguments.questions, group=group, **options)
    if not arguments.json:
        print("\n".join(answers))
        return
    pairs = zip(arguments.questions, answers, strict=True)
    told = {
        "path": names.shown(arguments.file),
        "group": group,
        "model": model.digest,
        "answers": [{"question": question, "answer": answer} for question, answer in pairs],
    }
    print(json.dumps(told, indent=1, ensure_ascii=False))

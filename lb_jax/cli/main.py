"""`lb-jax <command> …`: one table of commands, each imported only when it is called."""

import importlib
import importlib.metadata
import platform
import sys
from collections.abc import Callable, Sequence

import lb_jax
from lb_jax.core import errors, names, notices, processes

# name, which is that of its module: what it does
COMMANDS = {
    "demo": "write a corpus, pretrain, bind every modality, evaluate, write report.html",
    "train": "run a config: --config=configs/X.py --workdir=DIR [--config.name=value ...]",
    "plan": "memory, FLOPs and traffic of a config's step on TPUs that are not there",
    "replay": "look again at a step of a run that was not finite",
    "evaluate": "score a model on a labelled corpus",
    "calibrate": "fit the probability of a match, kept in the checkpoint",
    "deflate": "an image tower out of the video tower of an MMV model",
    "convert": "weights in and out: safetensors, Orbax, Hugging Face, OpenCLIP, StableHLO",
    "data": "corpora: check any of them, pack it into shards",
    "corpus": "build a corpus of films with titles: filters, layout, card; a demo of it",
    "embed": "media of any number and length into a store, or into an .npz",
    "caption": "a caption of each media file, by sight and sound: into JSON lines",
    "ask": "answers to questions about a film, a sound or a picture",
    "index": "search your own media: build, search, info, check, upgrade",
    "serve": "a web page and an HTTP API over one model",
    "doctor": "what is wrong with this machine or a model, and what to do",
}

GROUPS = ("index", "data", "corpus")  # commands that have commands of their own, `SUBCOMMANDS`
# What else people type: the command that does it.
MEANT = {
    "find": "index search",
    "query": "index search",
    "add": "index build",
    "finetune": "train",
    "score": "evaluate",
    "describe": "caption",
    "question": "ask",
    "download": "convert",
    "export": "convert",
    "pack": "data convert",
    "server": "serve",
    "version": "--version",
}


def usage() -> str:
    """The help text."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name.ljust(width)}  {what}" for name, what in COMMANDS.items()]
    return (
        "usage: lb-jax COMMAND [arguments]    (lb-jax COMMAND --help tells more; "
        "--debug shows tracebacks;\n       --version)\n\n" + "\n".join(lines)
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the program; returns the exit status."""
    given = list(sys.argv[1:] if argv is None else argv)
    argv = [argument for argument in given if argument != "--debug"]
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if argv[0] in ("-V", "--version"):
        print(version())
        return 0
    name, *rest = argv
    processes.quiet_libtpu()
    names.make_printable()
    notices.print_lines()

    def call(rest: Sequence[str]) -> None:
        if name not in COMMANDS:
            raise errors.ConfigError(
                f"unknown command {name!r}.{_suggested(name)} Commands: {', '.join(COMMANDS)}."
            )
        importlib.import_module(f"lb_jax.cli.{name}").main(rest)

    return guarded(call, rest, debug=len(argv) < len(given))


def version() -> str:
    """This package, jax and Python: what a report of a fault needs first."""
    jax = importlib.metadata.version("jax")
    return f"lb-jax {lb_jax.__version__} (jax {jax}, Python {platform.python_version()})"


def _suggested(name: str) -> str:
    """The command that was meant: under its own name, another, or that of a group."""
    own = {
        group: tuple(importlib.import_module(f"lb_jax.cli.{group}").SUBCOMMANDS) for group in GROUPS
    }
    if same := [f"{group} {name}" for group in GROUPS if name in own[group]]:
        return f" Did you mean {' or '.join(map(repr, same))}?"
    inner = {one: f"{group} {one}" for group in reversed(GROUPS) for one in own[group]}
    joined = {command: command for command in inner.values()}
    known = {**inner, **joined, **MEANT, **dict(zip(COMMANDS, COMMANDS, strict=True))}
    return errors.nearest(name, known, known)


def guarded(
    command: Callable[[Sequence[str]], None], argv: Sequence[str], *, debug: bool = False
) -> int:
    """Runs a command; a user's mistake becomes one line on stderr and status 2.

    With `debug` it shows the whole traceback.
    """
    try:
        command(argv)
    except errors.LbJaxError as error:
        if debug:
            raise
        print(f"lb-jax: {' '.join(names.shown(error).split())}", file=sys.stderr)
        return error.status
    except errors.Stopped as stopped:
        print(f"lb-jax: {stopped}", file=sys.stderr)
        return 128 + stopped.signal
    except KeyboardInterrupt:
        if debug:
            raise
        print("lb-jax: interrupted; the same command goes on where it can", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Beam search of captions: ours, transformers with its cache, and PyTorch that keeps nothing.

    python benchmarks/caption_speed.py [--batch 8] [--repetitions 5] [--depth 12]

A decoder of BERT-base's size with cross-attention over 8 frames of 49 tokens and 2 clips of sound
of 129 (`--frames`, `--patches`, `--clips`) writes 20 tokens with 3 beams; float32, random weights,
one process of each, which take turns; a ratio is the median over the turns.

`ours` is `models.generation`, which runs two tokens of each beam a step: the newest word and the
mask that the model is read at. `transformers` is `generate` of a `BertLMHeadModel`: one token a
step, keys and values of words, frames and clips kept. `pytorch` runs [CLS] y1 … y(t-1) [MASK] whole
at every step, as the original does, with the head at the mask alone. Needs the extra `test` on
Python 3.11.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

WIDTH, HEADS, MLP, VOCAB, CONTEXT = 768, 12, 3072, 30522, 512
BEAMS, TOKENS, SOUND = 3, 20, 129
BEGIN, END, MASK = 101, 102, 103


def memory_of(given: argparse.Namespace) -> dict[str, np.ndarray]:
    """What is attended to: role -> float32 [b, m, d]."""
    draw = np.random.default_rng(0)
    sizes = {"video": given.frames * given.patches, "audio": given.clips * SOUND}
    return {
        role: draw.standard_normal((given.batch, size, WIDTH), np.float32)
        for role, size in sizes.items()
    }


def ours(given: argparse.Namespace) -> Callable[[], np.ndarray]:
    import jax
    from flax import nnx

    from lb_jax.models import generation
    from lb_jax.models.bert import Bert, BertConfig

    cfg = BertConfig(WIDTH, given.depth, HEADS, MLP, VOCAB, CONTEXT, cross="va_concate")
    graph, params = nnx.split(Bert(cfg, rngs=nnx.Rngs(0)))
    decoding = generation.Decoding(beams=BEAMS, longest=TOKENS, shortest=TOKENS - 1)
    memory = jax.device_put(memory_of(given))

    def write(params, memory):
        return generation.generate(nnx.merge(graph, params), memory, decoding).ids

    compiled = jax.jit(write).lower(params, memory).compile()
    return lambda: np.asarray(compiled(params, memory))


def peer(given: argparse.Namespace):
    """A decoder of transformers and what it attends to."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=VOCAB,
        hidden_size=WIDTH,
        num_hidden_layers=given.depth,
        num_attention_heads=HEADS,
        intermediate_size=MLP,
        max_position_embeddings=CONTEXT,
        is_decoder=True,
        add_cross_attention=True,
        bos_token_id=BEGIN,
        eos_token_id=END,
        pad_token_id=0,
    )
    model = transformers.BertLMHeadModel(config).eval()
    memory = torch.from_numpy(np.concatenate([*memory_of(given).values()], axis=1))
    return model, memory


def with_transformers(given: argparse.Namespace) -> Callable[[], np.ndarray]:
    import torch
    from transformers import DynamicCache, EncoderDecoderCache

    model, memory = peer(given)
    first = torch.full((given.batch, 1), BEGIN)

    def write() -> np.ndarray:
        with torch.inference_mode():
            found = model.generate(
                first,
                encoder_hidden_states=memory,
                num_beams=BEAMS,
                do_sample=False,
                min_new_tokens=TOKENS,
                max_new_tokens=TOKENS,
                use_cache=True,
                # the cache that it makes itself has no place for what is attended to
                past_key_values=EncoderDecoderCache(DynamicCache(), DynamicCache()),
            )
        return found[:, 1:].numpy()

    return write


def recomputing(given: argparse.Namespace) -> Callable[[], np.ndarray]:
    import torch

    model, memory = peer(given)
    memory = memory.repeat_interleave(BEAMS, dim=0)

    def write() -> np.ndarray:
        b = given.batch
        ids = torch.full((b, BEAMS, 1), BEGIN)
        scores = torch.full((b, BEAMS), -torch.inf)
        scores[:, 0] = 0
        with torch.inference_mode():
            for _ in range(TOKENS):
                masks = torch.full((b, BEAMS, 1), MASK)
                hidden = model.bert(
                    torch.cat([ids, masks], dim=2).flatten(0, 1),
                    encoder_hidden_states=memory,
                    use_cache=False,
                ).last_hidden_state[:, -1]
                totals = model.cls(hidden).log_softmax(-1).view(b, BEAMS, VOCAB)
                totals[..., END] = -torch.inf
                scores, chosen = (scores[..., None] + totals).flatten(1).topk(BEAMS)
                parents = ids.gather(1, (chosen // VOCAB)[..., None].expand_as(ids))
                ids = torch.cat([parents, (chosen % VOCAB)[..., None]], dim=2)
        return ids[:, 0, 1:].numpy()

    return write


SIDES = {"ours": ours, "transformers": with_transformers, "pytorch": recomputing}


def serve(given: argparse.Namespace) -> None:
    """A child: for each line that it reads, the captions of one batch; prints a line of figures."""
    write = SIDES[given.serve](given)
    for _ in sys.stdin:
        start, used = time.perf_counter(), time.process_time()
        ids = write()
        figures = [time.perf_counter() - start, time.process_time() - used]
        if ids.shape != (given.batch, TOKENS):
            raise AssertionError(f"{given.serve} wrote {ids.shape}")
        print(json.dumps(figures), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--depth", type=int, default=12)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--patches", type=int, default=49)
    parser.add_argument("--clips", type=int, default=2)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--serve", choices=SIDES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given)
        return
    children = {
        name: subprocess.Popen(
            [sys.executable, __file__, *sys.argv[1:], f"--serve={name}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in given.only
    }
    found = {name: [] for name in children}
    for turn in range(given.repetitions + 1):  # the first is not counted
        for name, child in children.items():
            child.stdin.write("\n")
            child.stdin.flush()
            line = child.stdout.readline()
            if not line:
                raise SystemExit(f"{name} ended")
            if turn:
                found[name].append(json.loads(line))
    for child in children.values():
        child.stdin.close()
        child.wait()
    tokens = given.frames * given.patches + given.clips * SOUND
    print(
        f"batch {given.batch}, {BEAMS} beams, {TOKENS} tokens, {given.depth} layers of {WIDTH}, "
        f"{tokens} tokens attended to"
    )
    print(f"{'':14}{'seconds':>9}{'of CPU':>9}{'captions/s':>12}{'ours is faster by':>20}")
    seconds = {name: np.array(rows)[:, 0] for name, rows in found.items()}
    report = {}
    for name, rows in found.items():
        median = np.median(np.array(rows), axis=0)
        ratio = float(np.median(seconds[name] / seconds[given.only[0]]))
        each = given.batch / median[0]
        print(f"{name:14}{median[0]:9.2f}{median[1]:9.2f}{each:12.2f}{ratio:20.2f}", flush=True)
        report[name] = {"seconds": median[0], "cpu_seconds": median[1], "ratio": ratio}
    print(json.dumps(report))


if __name__ == "__main__":
    main()

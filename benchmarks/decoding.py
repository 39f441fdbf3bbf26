"""A 40-token reply on the processor: the engine on GGUF exports against `transformers.generate`, in one run.

`python benchmarks/decoding.py` exports the embedded model to q8_0 and q4_1, warms the prompt cache (as it
is within a chat), and lets the engines and torch (bf16 and fp32) answer the same prompt greedily in turns
with two threads. Goals: at least 3 times the tokens per second of bf16, and 40 tokens in under 0.6 s.
Absolute times say something only on a quiet machine, so the load average is printed beside them.

`--quick` makes one round of few tokens: it shows that the script works, not a speed.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from hearten.core.chat import Sampling
from hearten.data.seeds import seed_conversations
from hearten.lm.embedded import embedded_folder, quiet_libraries
from hearten.lm.engine import Engine, EngineConfig
from hearten.lm.gguf_export import export_gguf
from hearten.lm.render import Renderer

THREADS = 2


def engine_way(path: Path, prompt: list[int], tokens: int, end: int) -> Callable[[], object]:
    engine = Engine(path, EngineConfig(context=2048, threads=THREADS))
    sampling = Sampling(temperature=0, repetition_penalty=1.0, max_tokens=tokens)
    return lambda: engine.complete(prompt, sampling, banned=[end])


def torch_way(dtype: torch.dtype, prompt: list[int], tokens: int) -> Callable[[], object]:
    model = AutoModelForCausalLM.from_pretrained(embedded_folder(), dtype=dtype).eval()
    ids = torch.tensor([prompt])

    def work() -> object:
        with torch.inference_mode():
            mask = torch.ones_like(ids)
            return model.generate(ids, attention_mask=mask, do_sample=False, min_new_tokens=tokens,
                                  max_new_tokens=tokens, pad_token_id=2)  # fmt: skip

    return work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke test: one round, few tokens")
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    tokens, repeats = (4, 1) if chosen.quick else (40, chosen.repeats)
    quiet_libraries()
    torch.set_num_threads(THREADS)
    tokenizer = AutoTokenizer.from_pretrained(embedded_folder())
    renderer = Renderer(tokenizer, None)
    talk = seed_conversations()[0]
    prompt = renderer.context(talk.turns[:7], talk.profile)
    with tempfile.TemporaryDirectory() as folder:
        model = AutoModelForCausalLM.from_pretrained(embedded_folder(), dtype=torch.float32)
        ways: dict[str, Callable[[], object]] = {}
        for kind in ("q8_0", "q4_1"):
            path = export_gguf(model, tokenizer, Path(folder) / f"{kind}.gguf", quantisation=kind)
            ways[f"engine {kind}"] = engine_way(path, prompt, tokens, renderer.end_id)
        del model
        ways["torch bf16"] = torch_way(torch.bfloat16, prompt, tokens)
        ways["torch fp32"] = torch_way(torch.float32, prompt, tokens)
        measure(ways, len(prompt), tokens, repeats)


def measure(ways: dict[str, Callable[[], object]], prompt: int, tokens: int, repeats: int) -> None:
    """Let the ways take turns, and print what each took."""
    print(f"prompt {prompt} ids, reply {tokens}, {THREADS} threads; load average {os.getloadavg()[0]:.1f}")
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(repeats + 1):  # the first round warms up, the prompt cache too
        for way, work in ways.items():
            began = time.perf_counter()
            work()
            if number:
                seconds[way].append(time.perf_counter() - began)
    medians = {way: statistics.median(values) for way, values in seconds.items()}
    print(f"{'':12} {'seconds':>8} {'tokens/s':>9} {'x bf16':>7} {'x fp32':>7}")
    for way, took in medians.items():
        against = [medians[f"torch {kind}"] / took for kind in ("bf16", "fp32")]
        print(f"{way:12} {took:8.2f} {tokens / took:9.1f} {against[0]:7.2f} {against[1]:7.2f}")
    print("goals: an engine at 3 x bf16 or more; 40 tokens in under 0.6 s on a quiet machine")


if __name__ == "__main__":
    main()

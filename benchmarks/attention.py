"""Attention as plain products against torch's fused kernel, where bf16 is native.

Shapes of the embedded model (nine query heads, three of keys and values, 64 wide) behind a mask: a row of a
rater's training, a batch of a corpus's training, and one step of forty-eight replies on a long context.
Forward alone, and forward with backward; median of several rounds.

Run: python benchmarks/attention.py [--rounds 9]
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from hearten.lm.attention import products
from hearten.lm.hardware import native_bf16

HEADS, SHARED, WIDTH = 9, 3, 64
SHAPES = {
    "a rater's row, 785 ids": (1, 785, 785),
    "a training batch, 4 rows of 1,024": (4, 1024, 1024),
    "a step of 48 replies on 1,500": (1, 48, 1500),
}


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def learned(way: Callable[[], Tensor], inputs: tuple[Tensor, ...]) -> Callable[[], object]:
    return lambda: torch.autograd.grad(way().sum(), inputs)


def measure(name: str, shape: tuple[int, int, int], rounds: int) -> None:
    batch, length, seen = shape
    query = torch.randn(batch, HEADS, length, WIDTH, dtype=torch.bfloat16, requires_grad=True)
    key, value = (
        torch.randn(batch, SHARED, seen, WIDTH, dtype=torch.bfloat16, requires_grad=True) for _ in range(2)
    )
    visible = torch.ones(length, seen).tril(seen - length).bool()
    mask = torch.zeros(1, 1, length, seen, dtype=torch.bfloat16).masked_fill(~visible, float("-inf"))
    layer = nn.Module()

    def fused() -> Tensor:
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, enable_gqa=True)

    def plain() -> Tensor:
        return products(layer, query, key, value, mask)[0]

    inputs = (query, key, value)
    both = {"fused": fused, "products": plain}
    works = {f"{way} forward": each for way, each in both.items()}
    works |= {f"{way} with backward": learned(each, inputs) for way, each in both.items()}
    for work in works.values():
        work()
    taken = {way: statistics.median([seconds(work) for _ in range(rounds)]) for way, work in works.items()}
    for kind in ("forward", "with backward"):
        theirs, ours = 1000 * taken[f"fused {kind}"], 1000 * taken[f"products {kind}"]
        print(f"{name:36} {kind:14} {theirs:8.1f} ms fused {ours:8.1f} ms products {theirs / ours:5.2f} x")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    native = "native bf16" if native_bf16() else "no native bf16: products are not used"
    print(f"{torch.get_num_threads()} threads, {native}")
    for name, shape in SHAPES.items():
        measure(name, shape, rounds)


if __name__ == "__main__":
    main()

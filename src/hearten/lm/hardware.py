"""What this machine computes with: asked by `fast_dtype` and shown by `hearten doctor`."""

import torch


def gpu_name() -> str | None:
    """The first CUDA device's name, or None."""
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None


def one_thread() -> None:
    """Let torch compute with one thread: beside the chat engine, whose threads take every core, two would
    only wait for each other.
    """
    torch.set_num_threads(1)


def native_bf16() -> bool:
    """Whether this processor multiplies bf16 natively (AVX512-BF16 or AMX)."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())

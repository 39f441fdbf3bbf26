"""Named arrays as one safetensors file: how small learned parts outside `lm` keep their numbers.

No pickle, no code in the file, and the same arrays always give the same bytes. It knows nothing of what the
numbers are for.
"""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]


def pack(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The bytes of a safetensors file with these arrays."""
    from safetensors.numpy import save

    return save(dict(arrays))


def unpack(content: bytes) -> Arrays:
    """The arrays of a safetensors file's bytes."""
    from safetensors.numpy import load

    return load(content)

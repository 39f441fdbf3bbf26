import numpy as np

from hearten.lm.arrays import pack, unpack


def test_what_was_packed_comes_back_and_the_bytes_are_the_same_each_time():
    arrays = {"b": np.arange(6, dtype=np.int8).reshape(2, 3), "a": np.array([0.5], dtype=np.float16)}
    back = unpack(pack(arrays))
    assert {name: (value.dtype, value.tolist()) for name, value in back.items()} == {
        name: (value.dtype, value.tolist()) for name, value in arrays.items()
    }
    assert pack(arrays) == pack(dict(reversed(arrays.items())))

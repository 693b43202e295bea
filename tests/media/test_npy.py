import io
import struct

import numpy as np
import pytest

from scenewise.media.npy import read_header


@pytest.mark.parametrize("array", [np.zeros((3, 0, 2), np.uint8), np.asfortranarray(np.ones((4, 5))), np.float32(7)])
def test_heads_of_every_kind(array):
    file = io.BytesIO()
    np.save(file, array)
    file.seek(0)
    shape, fortran, dtype = read_header(file)
    assert (shape, dtype) == (np.shape(array), array.dtype)
    assert fortran == (array.ndim > 1 and not array.flags.c_contiguous)
    assert file.read() == array.tobytes("A")


def test_long_heads_are_of_the_second_version():
    text = b"{'descr': '<u2', 'fortran_order': False, 'shape': (2,), }".ljust(70_000) + b"\n"  # over 2 ** 16 bytes
    file = io.BytesIO(b"\x93NUMPY\x02\x00" + struct.pack("<I", len(text)) + text + b"\x01\x00\x02\x00")
    with pytest.raises(ValueError, match="Header info length"):  # NumPy takes no head that long for harmless
        read_header(file)
    text = text.strip().ljust(200) + b"\n"
    file = io.BytesIO(b"\x93NUMPY\x02\x00" + struct.pack("<I", len(text)) + text + b"\x01\x00\x02\x00")
    assert read_header(file) == ((2,), False, np.dtype("<u2"))
    assert np.frombuffer(file.read(), "<u2").tolist() == [1, 2]


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"PK\x03\x04" + bytes(20)])
def test_other_files(content):
    with pytest.raises(ValueError, match=r"magic|EOF"):
        read_header(io.BytesIO(content))

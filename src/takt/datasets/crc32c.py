"""The checksum of TFRecord files: CRC-32C (Castagnoli), many bytes at a time."""

import numpy as np

_POLYNOMIAL = 0x82F63B78  # reflected
_MASK_DELTA = 0xA282EAD8  # of the TFRecord format
_LANE_BYTES = 1024
_SHORT = 64  # bytes; below, one at a time is quicker
_BITS = np.arange(32, dtype=np.uint32)


def crc32c(data: bytes | memoryview) -> int:
    """CRC-32C of `data`.

    The register is linear over GF(2): equal lanes of the data go through it side by side from
    zero, then neighbours are joined, the left one shifted past as many zero bytes as the right
    one is long. Leading zero bytes leave a zero register alone, so the first lane is padded.
    """
    content = np.frombuffer(data, np.uint8)
    if len(content) < _SHORT:
        register = 0xFFFFFFFF
        for byte in content.tolist():
            register = int(_TABLE[(register ^ byte) & 0xFF]) ^ (register >> 8)
        return register ^ 0xFFFFFFFF
    lanes = 1 << (-(-len(content) // _LANE_BYTES) - 1).bit_length()
    padded = np.zeros(lanes * _LANE_BYTES, np.uint8)
    start = len(padded) - len(content)
    padded[start:] = content
    # To begin with all bits set is to begin at zero with the first four bytes inverted.
    padded[start : start + 4] ^= 0xFF
    return int(_joined(_registers(padded.reshape(lanes, -1)))) ^ 0xFFFFFFFF


def masked_crc32c(data: bytes | memoryview) -> int:
    """As TFRecord stores it: rotated by 15 bits, plus a constant."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def _registers(lanes: np.ndarray) -> np.ndarray:
    """(lane,) registers after (lane, byte), each begun at zero."""
    register = np.zeros(len(lanes), np.uint32)
    for column in np.ascontiguousarray(lanes.T):
        register = _TABLE[(register ^ column) & 0xFF] ^ (register >> 8)
    return register


def _joined(register: np.ndarray) -> np.uint32:
    shift = _LANE_SHIFT
    while len(register) > 1:
        register = _applied(shift, register[0::2]) ^ register[1::2]
        shift = _applied(shift, shift)
    return register[0]


def _applied(matrix: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Product over GF(2) of `matrix`, given by the images of the 32 bits, with each value."""
    chosen = np.where(values[:, None] >> _BITS & 1, matrix, np.uint32(0))
    return np.bitwise_xor.reduce(chosen, axis=1)


def _table() -> np.ndarray:
    """Register after one byte from zero."""
    values = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        values = np.where(values & 1, values >> 1 ^ np.uint32(_POLYNOMIAL), values >> 1)
    return values


def _lane_shift() -> np.ndarray:
    """The register's change over one lane of zero bytes."""
    bits = np.uint32(1) << _BITS
    shift = _TABLE[bits & 0xFF] ^ (bits >> 8)
    for _ in range(_LANE_BYTES.bit_length() - 1):
        shift = _applied(shift, shift)
    return shift


_TABLE = _table()
_LANE_SHIFT = _lane_shift()

"""Bits of parameter sets: fixed numbers and those of Exp-Golomb."""

from __future__ import annotations


class Bits:
    """Reads a NAL unit's payload from its first bit on. Raises ValueError behind its end."""

    def __init__(self, nal: bytes) -> None:
        """`nal`: with its header; bytes that only keep start codes away are skipped."""
        self._data = nal.replace(b"\0\0\3", b"\0\0")
        self._at = 0

    def number(self, bits: int) -> int:
        """So many bits, the first is the highest."""
        end = self._at + bits
        if end > len(self._data) * 8:
            raise ValueError("a parameter set ends too early")
        first, last = self._at // 8, -(-end // 8)
        value = int.from_bytes(self._data[first:last], "big") >> (last * 8 - end)
        self._at = end
        return value & ((1 << bits) - 1)

    def flag(self) -> bool:
        """One bit."""
        return self.number(1) == 1

    def unsigned(self) -> int:
        """`ue(v)`."""
        zeros = 0
        while not self.number(1):
            zeros += 1
            if zeros > 32:
                raise ValueError("a number of a parameter set has no end")
        return (1 << zeros) - 1 + (self.number(zeros) if zeros else 0)

    def signed(self) -> int:
        """`se(v)`."""
        value = self.unsigned()
        return (value + 1) // 2 if value % 2 else -(value // 2)

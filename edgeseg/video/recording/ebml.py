"""Elements of EBML, of which Matroska is made: name, size, content (RFC 8794)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

VOID = 0xEC
UNKNOWN_SIZE = b"\x01" + 7 * b"\xff"
LONGEST_HEAD = 12
"""Of an element: four bytes of name, eight of size."""


class Element(NamedTuple):
    """Where an element lies in a file."""

    name: int
    at: int
    """Where its name begins."""
    begin: int
    """Where its content begins."""
    end: int


def elements(data: bytes, begin: int = 0, end: int | None = None) -> Iterator[Element]:
    """The elements that lie one behind the other in `data`."""
    end = len(data) if end is None else min(end, len(data))
    while begin < end and (found := read_element(data[begin : begin + LONGEST_HEAD], begin)) is not None:
        yield found
        begin = found.end


def read_element(head: bytes, at: int) -> Element | None:
    """The element that begins with `head`, which is at `at` in the file; `None` where none does."""
    if not head or not head[0]:
        return None
    name_bytes = 9 - head[0].bit_length()
    if name_bytes >= len(head) or not head[name_bytes]:
        return None
    head_bytes = name_bytes + 9 - head[name_bytes].bit_length()
    if head_bytes > len(head):
        return None
    size = int.from_bytes(head[name_bytes:head_bytes], "big") - (1 << 7 * (head_bytes - name_bytes))
    return Element(int.from_bytes(head[:name_bytes], "big"), at, at + head_bytes, at + head_bytes + size)


def element(name: int, content: bytes) -> bytes:
    """One whole element."""
    return name.to_bytes((name.bit_length() + 7) // 8, "big") + size(len(content)) + content


def size(count: int, width: int | None = None) -> bytes:
    """A size as EBML has it: the position of the first one bit says how many bytes it takes."""
    width = width or (1 if count < 127 else 4)
    return (count + (1 << 7 * width)).to_bytes(width, "big")


def unsigned(value: int) -> bytes:
    """A number in as few bytes as it needs, at least one."""
    return value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")


def void(total: int) -> bytes:
    """Room that is kept free, `total` bytes with its head."""
    return bytes([VOID]) + size(total - 2) + bytes(total - 2)

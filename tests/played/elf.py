"""Headers of programs and libraries for other processors."""

import struct


def an_elf(*, wide=True, machine=183, interpreter=b"/system/bin/linker64\0", needed=("libc.so",)):
    """Build the parts of a file that say what it is made for."""
    names = b"\0" + b"".join(each.encode() + b"\0" for each in needed)
    offsets, at = [], 1
    for each in needed:
        offsets.append(at)
        at += len(each) + 1
    head, entry = (64, 56) if wide else (52, 32)
    form = "<qQ" if wide else "<iI"
    count = 3 if interpreter else 2
    start = head + count * entry
    strings = start + len(interpreter)
    dynamic = strings + len(names)
    pairs = [(1, offset) for offset in offsets] + [(5, 0x1000 + strings), (0, 0)]
    section = b"".join(struct.pack(form, *pair) for pair in pairs)
    end = dynamic + len(section)

    def part(kind, place, address, size):
        if wide:
            return struct.pack("<IIQQQQQQ", kind, 5, place, address, address, size, size, 8)
        return struct.pack("<IIIIIIII", kind, place, address, address, size, size, 5, 4)

    parts = [part(1, 0, 0x1000, end), part(2, dynamic, 0x1000 + dynamic, len(section))]
    if interpreter:
        parts.insert(0, part(3, start, 0x1000 + start, len(interpreter)))
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1, 1]) + bytes(9)
    if wide:
        rest = struct.pack(
            "<HHIQQQIHHHHHH", 3, machine, 1, 0, head, 0, 0, head, entry, count, 0, 0, 0
        )
    else:
        rest = struct.pack(
            "<HHIIIIIHHHHHH", 3, machine, 1, 0, head, 0, 0, head, entry, count, 0, 0, 0
        )
    return ident + rest + b"".join(parts) + interpreter + names + section

"""The two protocol buffers of one benchmark: a profile of operators and the result."""

import struct


def varint(value):
    head, rest = value & 0x7F, value >> 7
    return bytes([head | 0x80]) + varint(rest) if rest else bytes([head])


def field(number, value):
    """Encode one field of a message by the type of its value."""
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def message(**fields):
    """Encode `f1=…, f2=…`; a list is a repeated field."""
    pairs = [(int(name[1:]), value) for name, value in fields.items()]
    return b"".join(
        field(number, item)
        for number, value in pairs
        for item in (value if isinstance(value, list) else [value])
    )


def operator(order, kind, name, total_us, *, count=20):
    mean = total_us // count
    stat = message(f1=mean, f2=mean, f3=mean, f6=mean, f7=mean + 1, f8=total_us, f9=count)
    return message(f1=kind, f2=stat, f3=0, f4=1, f5=name, f6=order)


ROWS = [
    operator(0, "CONV_2D", "[stem]:0", 14_030),
    operator(1, "RESHAPE", "[flat]:1", 0),
    operator(2, "ADD", "[sum]:2", 5_100),
]
INNER = message(f1="XNNPACK", f2=[operator(0, "Add (ND)", "Add (ND):0", 800)])
RUNS = message(f1=[message(f1="main", f2=0, f3=ROWS)], f2=[INNER])
LATENCY = message(f1=3.25, f2=3.125, f3=3.875, f4=0.0625, f5=3.25, f7=3.75, f8=12.5, f9=6.5)
CONV = "conv|in=1x32x32x3|out=16|k=3|s=2|act=relu|float32"
ADD = "add|in=1x16x16x16|act=none|n=2|float32"

SAMPLE = {
    "device": "phone",
    "files": {
        "profile.pb": message(f1="net", f3=RUNS),
        "result.pb": message(f2=LATENCY, f4=message(f1=1, f2=40, f3=7)),
    },
    "beside": {"keys.json": f'{{"[stem]:0": "{CONV}", "[sum]:2": "{ADD}"}}'},
    "options": {"keys": "{folder}/keys.json"},
    "entries": {CONV: 701_500, ADD: 255_000},
    "unmapped": {"[flat]:1", "Add (ND):0"},
    "networks": {"result.pb": 3_250_000},
}

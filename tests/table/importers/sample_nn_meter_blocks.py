"""A block of every kind, keys and magnitudes as in the published tables, values made up."""

import json

LATENCIES = {
    "firstconv_128_3_16_2_3": 0.4025,
    "conv_16_16_24_5_2_hard_swish_5_se": 0.5125,
    "conv_64_16_16_1_1_hard_swish_3_nose": 0.625,
    "transds_4_144_176_2_6": 0.3375,
    "transattn_11_248_hard_swish_4_ln": 13.9975,
    "transffn_10_216_5_hard_swish_bn": 8.1375,
    "mbpool_2_160_1984_6_hard_swish": 1.75,
    "transformer_8_64_2_hard_swish": 3.25,
}

SAMPLE = {
    "device": "phone",
    "files": {"phone_lut.json": json.dumps(LATENCIES, indent=1)},
    "entries": {
        "conv|in=1x128x128x3|out=16|k=3|s=2|act=hswish|float32": 402_500,
        "projconv|in=1x16x16x16|mid=80|out=24|k=5|s=2|act=hswish|se=20|float32": 512_500,
        "projconv|in=1x64x64x16|mid=16|out=16|k=3|s=1|act=hswish|se=0|float32": 625_000,
        "tokenconv|in=1x4x4x144|mid=864|out=176|k=3|s=2|act=hswish|se=216|float32": 337_500,
        "attention|in=1x11x11x248|mid=992|act=hswish|op=layer|float32": 13_997_500,
        "feedforward|in=1x10x10x216|mid=1080|act=hswish|op=batch|float32": 8_137_500,
        "tokenhead|in=1x2x2x160|mid=960|out=1984|act=hswish|float32": 1_750_000,
    },
    "unmapped": {"transformer_8_64_2_hard_swish"},
    "planted": ("8.1375", "feedforward|in=1x10x10x216|mid=1080|act=hswish|op=batch|float32"),
}

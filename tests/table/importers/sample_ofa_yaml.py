"""Two resolutions of a device: blocks of both, one of a map that they share, and the heads."""

BLOCK = "expanded_conv-input:{0}x{0}x136-output:{0}x{0}x136-expand:408-kernel:3-stride:1-idskip:1"
BLOCK += "-se:1-hs:1"
KEY = "mbconv|in=1x{0}x{0}x136|mid=408|out=136|k=3|s=1|act=hswish|se=104|skip=1|float32"


def item(key, mean, *, std="0.01", count=98):
    return f"{key}:\n  count: {count}\n  mean: {mean}\n  std: {std}\n"


FIRST = (
    item("AvgPool2D-input:5x5x1152-output:1x1x1152", "0.0085", std="0.003")
    + item("Conv-input:160x160x3-output:80x80x24", "0.4955")
    + item("Conv_1-input:5x5x192-output:5x5x1152", "0.4457", std="0.004")
    + item("Conv_3-input:1x1x8-output:1x1x8", "0.1")
    + item("Logits-input:1x1x1536-output:1000", "0.664778")
    + item(BLOCK.format(11), "1.19523")
    + item(BLOCK.format(10), "0.869")
)
SECOND = (
    item("Conv_2-input:1x1x1152-output:1x1x1536", "0.75703")
    + item(BLOCK.format(11), "1.20523")
    + item(
        "expanded_conv-input:11x11x136-output:6x6x192-expand:816-kernel:7-stride:2-idskip:0"
        "-se:0-hs:0",
        "1.739",
    )
)

SAMPLE = {
    "device": "note10",
    "files": {"160.yaml": FIRST, "176.yaml": SECOND},
    "entries": {
        "conv|in=1x160x160x3|out=24|k=3|s=2|act=hswish|float32": 495_500,
        "convpool|in=1x5x5x192|out=1152|act=hswish|float32": 454_200,
        "linear|in=1x1x1x1536|out=1000|float32": 664_778,
        "mix|in=1x1x1x1152|out=1536|act=hswish|float32": 757_030,
        KEY.format(10): 869_000,
        KEY.format(11): 1_200_230,
        "mbconv|in=1x11x11x136|mid=816|out=192|k=7|s=2|act=relu|se=0|skip=0|float32": 1_739_000,
    },
    "unmapped": {"Conv_3-input:1x1x8-output:1x1x8"},
    "planted": ("0.869", KEY.format(10)),
}

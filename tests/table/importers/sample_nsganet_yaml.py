"""Both widths in one file; a block of unknown channels has no activation and is left out."""


def item(key, mean, var="0.0001"):
    return f"{key}:\n  mean: {mean}\n  var: {var}\n"


STRANGE = "MBConv-input:9x9x17-output:9x9x17-expand:3-kernel:3-stride:1-idskip:1-se:0"

SAMPLE = {
    "device": "i7",
    "files": {
        "lut.yaml": item(
            "MBConv-input:100x100x16-output:100x100x16-expand:1-kernel:3-stride:1-idskip:1-se:0",
            "0.4595",
        )
        + item(
            "MBConv-input:25x25x32-output:13x13x48-expand:3-kernel:5-stride:2-idskip:0-se:1",
            "0.736305",
        )
        + item(
            "MBConv-input:7x7x136-output:4x4x192-expand:4-kernel:7-stride:2-idskip:0-se:1", "1.25"
        )
        + item(STRANGE, "0.5")
        + item("classifier-input:1280-output:1000", "0.31")
        + item("feature_mix_layer-input:1x1x960-output:1x1x1280", "0.12")
        + item("final_expand_layer-input:7x7x160-output:7x7x960", "0.35")
        + item("first_conv-input:200x200x3-output:100x100x16", "0.1595"),
    },
    "entries": {
        "mbconv|in=1x100x100x16|mid=16|out=16|k=3|s=1|act=relu|se=0|skip=1|float32": 459_500,
        "mbconv|in=1x25x25x32|mid=96|out=48|k=5|s=2|act=relu|se=24|skip=0|float32": 736_305,
        "mbconv|in=1x7x7x136|mid=544|out=192|k=7|s=2|act=hswish|se=136|skip=0|float32": 1_250_000,
        "linear|in=1x1x1x1280|out=1000|float32": 310_000,
        "mix|in=1x1x1x960|out=1280|act=hswish|float32": 120_000,
        "conv|in=1x7x7x160|out=960|k=1|s=1|act=hswish|float32": 350_000,
        "conv|in=1x200x200x3|out=16|k=3|s=2|act=hswish|float32": 159_500,
    },
    "unmapped": {STRANGE},
    "planted": (
        "0.736305",
        "mbconv|in=1x25x25x32|mid=96|out=48|k=5|s=2|act=relu|se=24|skip=0|float32",
    ),
}

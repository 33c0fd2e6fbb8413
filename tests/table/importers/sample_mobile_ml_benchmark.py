"""Operators and whole networks of two phones; one operation without a key, one not measured."""

HEADER = (
    "model,operation,feature,old|gpu|float,old|gpu|kernel,new|gpu|float,new|gpu|kernel",
    "model,FLOPS,size,old|gpu|float|mean,old|gpu|float|std,new|gpu|float|mean,new|gpu|float|std",
)


def row(network, operation, sizes, time, kernel, *, other="1.5", winograd=""):
    feature = ", ".join(f"'{name}': {value!r}" for name, value in sizes.items())
    return f'{network},{operation},"{{{feature}}}",{other},{kernel},{time},{winograd or kernel}'


def window(side, channels, out, kernel, stride, filters, groups="1"):
    return {
        "Input_shape": str(side),
        "Input_channel": channels,
        "Output_shape": str(out),
        "Stride": str(stride),
        "Kernel": str(kernel),
        "Filter": str(filters),
        "Group": str(groups),
        "FLOPS": "1",
    }


def silent(side, channels, out="-", kernel="-", filters="-"):
    return window(side, channels, out, kernel, "-", filters, "-")


CONV = window(32, 3, 16, 3, 2, 8)
ROWS = (
    row("net-a", "CONV_2D", CONV, "12.5", "convolution_2d_0_linked_:_relu_1"),
    row(
        "net-a",
        "CONV_2D",
        window(16, 8, 16, 3, 1, 8),
        "30.25",
        "convolution_2d_2_linked_:_add_3_linked_:_relu_4",
        winograd="convolution_winograd_4x4_6x6_2",
    ),
    row("net-a", "SOFTMAX", silent("-", 10), "2.0", "softmax_9"),
    row("net-b", "CONV_2D", CONV, "13.5", "convolution_2d_0_linked_:_relu_1"),
    row("net-b", "DEPTHWISE_CONV_2D", window(18, 8, 16, 3, 1, 1), "4.125", "depthwise_2"),
    row("net-b", "CONV_2D_GROUP", window(16, 8, 8, 3, 2, 8, 2), "5.5", "convolution_2d_grouped_3"),
    row("net-b", "CONCATENATION", silent(8, 8, 8, 2, 32), "1.75", "concat_4"),
    row("net-b", "MEAN", silent(8, 32, 32, 1), "3.5", "mean_5"),
    row("net-b", "MAX_POOL_2D", window(8, 32, 4, 2, 2, "-", "-"), "", "pooling_2d_6"),
    row("net-b", "FULLY_CONNECTED", silent("-", 32, filters=10), "6.75", "fully_connected_7"),
)
NETWORKS = (
    "net-a,1000,10,9.0,0.1,55.0,0.5",
    "net-b,2000,10,9.0,0.1,71.5,0.25",
)
OPS = "\n".join([HEADER[0], *ROWS, ""])
NETS = "\n".join([HEADER[1], *NETWORKS, ""])

SAMPLE = {
    "device": "new",
    "files": {"ops.csv": OPS, "nets.csv": NETS},
    "entries": {
        "conv|in=1x32x32x3|out=8|k=3|s=2|act=relu|float32": 13_000,
        "conv|in=1x16x16x8|out=8|k=3|s=1|act=relu|t=1|float32": 30_250,
        "dwconv|in=1x18x18x8|out=8|k=3|s=1|act=none|o=16x16|float32": 4_125,
        "conv|in=1x16x16x8|out=8|k=3|s=2|act=none|g=2|float32": 5_500,
        "concat|in=1x8x8x24|out=32|n=2|float32": 1_750,
        "gpool|in=1x8x8x32|op=avg|float32": 3_500,
        "linear|in=1x1x1x32|out=10|float32": 6_750,
    },
    "unmapped": {"net-a SOFTMAX softmax_9", "net-b MAX_POOL_2D pooling_2d_6"},
    "networks": {"net-a": 55_000, "net-b": 71_500},
    "planted": ("30.25", "conv|in=1x16x16x8|out=8|k=3|s=1|act=relu|t=1|float32"),
}

"""Keys that hold the shape; what a block's key cannot say is left out."""

GROUPED = "ConvBlock_H56_W56_Cin24_Cout24_exp1_kernel3_stride1_group2"
SAME_WIDTH = "ConvBlock_H56_W56_Cin24_Cout24_exp1_kernel3_stride1_group1"
NOTHING = "Skip_H56_W56_Cin24_Cout24_stride1"
BLOCK = "mbconv|in=1x56x56x24|mid=144|out=32|k=5|s=2|act=relu|se=0|skip=0|float32"

SAMPLE = {
    "device": "pi4",
    "files": {
        "lut.json": f"""{{
 "ConvNorm_H224_W224_Cin3_Cout16_kernel3_stride2_group1": 1410.5,
 "ConvBlock_H56_W56_Cin24_Cout32_exp6_kernel5_stride2_group1": 9651.25,
 "{GROUPED}": 5100.0,
 "{SAME_WIDTH}": 4100.0,
 "Skip_H56_W56_Cin24_Cout32_stride2": 310.0,
 "{NOTHING}": 0.1,
 "AvgP_H7_W7_Cin1984_Cout1984_kernel7_stride1": 61.0,
 "FC_Cin1984_Cout1000": 902.0
}}
"""
    },
    "entries": {
        "conv|in=1x224x224x3|out=16|k=3|s=2|act=relu|float32": 1_410_500,
        BLOCK: 9_651_250,
        "conv|in=1x56x56x24|out=32|k=1|s=2|act=relu|float32": 310_000,
        "gpool|in=1x7x7x1984|op=avg|float32": 61_000,
        "linear|in=1x1x1x1984|out=1000|float32": 902_000,
    },
    "unmapped": {GROUPED, SAME_WIDTH, NOTHING},
    "planted": ("9651.25", BLOCK),
}

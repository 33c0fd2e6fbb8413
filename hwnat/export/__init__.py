"""Files that ship: subnets written for every target, checked against PyTorch.

Writing a format is the targets' work; nothing here knows a flatbuffer from a protobuf.
"""

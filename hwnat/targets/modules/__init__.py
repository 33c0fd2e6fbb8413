"""The PyTorch side of a target: modules of operations, of operators and of benches."""

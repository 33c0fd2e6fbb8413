"""ONNX files, run by ONNX Runtime."""

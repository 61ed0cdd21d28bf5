"""ONNX files: networks as graphs, written from a forward pass and read as a Module."""

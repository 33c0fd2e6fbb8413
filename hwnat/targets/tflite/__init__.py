"""TFLite files, run by LiteRT, TensorFlow Lite or an Ethos-U."""

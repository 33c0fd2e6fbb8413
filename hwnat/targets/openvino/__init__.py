"""OpenVINO IR files, run by OpenVINO."""

"""A sample plug-in for hwnat: an importer and a search space."""

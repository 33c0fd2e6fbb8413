"""Settings for all tests."""

from hypothesis import settings

# Shared machines stall for longer than Hypothesis' deadline; what is slow shows in durations.
settings.register_profile("hwnat", deadline=None)
settings.load_profile("hwnat")

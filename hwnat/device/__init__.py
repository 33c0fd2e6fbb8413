"""What a device is, and how its state is held while models are timed."""

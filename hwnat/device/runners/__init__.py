"""Programs that time models on remote devices, and how they are installed there."""

"""What times models on a device elsewhere: programs, and how they are brought there."""

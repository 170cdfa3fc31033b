"""Fields as values: turned round, joined, masked, smoothed, found in clips, kept in files."""

"""Programs that show fanflow at work; run them from the root of the repository."""

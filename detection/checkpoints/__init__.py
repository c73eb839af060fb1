"""Checkpoints: reading and writing files, variable names, restoring, rotation and inspection."""

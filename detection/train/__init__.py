"""Training: the loop, its compiled step, update rules and schedules, checkpoints, restoring from other checkpoints."""

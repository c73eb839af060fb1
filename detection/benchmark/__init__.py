"""What a detector costs: time, memory, operations."""

"""What a task writes: records of its output topics, the lifecycle, evidence of closed blocks."""

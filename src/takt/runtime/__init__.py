"""The robot side: clocks, chunking, the executor, the policy's process. No torch."""

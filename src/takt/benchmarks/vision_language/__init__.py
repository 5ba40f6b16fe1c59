"""What a policy's backbone still sees and says: ten public benchmarks, and a toy of our own."""

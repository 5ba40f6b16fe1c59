"""What several policies share: flow matching, rotary positions, the Qwen3-VL forward pass."""

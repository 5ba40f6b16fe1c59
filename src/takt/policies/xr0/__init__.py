"""XR-0: a Qwen3-VL backbone and a diffusion transformer that reads its keys and values."""

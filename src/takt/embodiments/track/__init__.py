"""A pan-tilt pointer that follows a target round an obstacle."""

"""The pointer's world: an erratic target, an obstacle with two ways round, a scripted expert."""

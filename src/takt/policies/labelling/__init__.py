"""Models that look at images for labelling, from folders on disk: nothing is downloaded."""

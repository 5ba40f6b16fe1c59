"""Vision-language rows from robot episodes: what needs no model of its own."""

"""Coloured blocks on a table, seen from above: a toy for words, images and reaching."""

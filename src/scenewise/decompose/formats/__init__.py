"""The formats in which a decomposed video is written, one file for pictures and one for tables."""

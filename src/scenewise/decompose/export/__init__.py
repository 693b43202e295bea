"""The formats in which a decomposed video is written, and the job that writes them."""

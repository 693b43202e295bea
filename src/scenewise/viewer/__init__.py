"""A page on which a model can be looked at and played with, served to the browser of whoever started it."""

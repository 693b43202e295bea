"""Measure speed, memory and work of models, beside the least that their convolutions alone would take."""

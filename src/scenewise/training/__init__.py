"""From a recipe to a trained model: runs that can be stopped at any moment and continue exactly."""

"""The smallest experiment there is."""

import pytest
import yaml

SMALL = {
    "training": {
        "steps": 4, "batch": 2, "curriculum": [[0, 1]], "validate_every": 2, "images_every": 9, "checkpoint_every": 1,
        "device": "cpu", "validation_videos": 1, "validation_frames": 1,
    },
    "data.settings.max_balls": 2,
}  # fmt: skip

CONTENT = {
    "summary": "Nothing",
    "sizes": {
        "smoke": {
            "summary": "seconds",
            "cells": [
                {
                    "model": "provide", "data": "balls", "recipe": "provide-tiny", "settings": SMALL, "seeds": [0, 1],
                    "variants": {
                        "lds0": {"model.settings.duplicates.weight": 0},
                        "lds1": {"model.settings.duplicates.weight": 0.5},
                    },
                }
            ],
            "scoring": [{"protocol": "savi", "samples": 2, "frames": 2}, {"protocol": "lds", "samples": 2, "frames": 1}]
        }
    },
}  # fmt: skip


@pytest.fixture
def content():
    """What the file holds, to be changed and written by `table`."""
    return yaml.safe_load(yaml.safe_dump(CONTENT))


@pytest.fixture
def table(tmp_path, content):
    """Write the experiment and return its file."""

    def write(changes=None):
        file = tmp_path / "tiny.yaml"
        file.write_text(yaml.safe_dump(changes or content))
        return file

    return write

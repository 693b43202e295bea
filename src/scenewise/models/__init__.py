"""The systems, one file each, and the contract they keep."""

from scenewise.models.contract import MODELS, SceneModel

__all__ = ["MODELS", "SceneModel"]

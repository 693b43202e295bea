"""What a model found, on one page."""

from scenewise.viewer.report import FrameView, ReportBuilder

__all__ = ["FrameView", "ReportBuilder"]

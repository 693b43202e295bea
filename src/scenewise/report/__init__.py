"""What a model found in a video, on one page that opens from disk."""

from scenewise.report.builder import ReportBuilder
from scenewise.report.page import write_report

__all__ = ["ReportBuilder", "write_report"]

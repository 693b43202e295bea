"""What a model found in a video, on one page that opens from disk."""

from scenewise.report.page import ReportBuilder, write_report

__all__ = ["ReportBuilder", "write_report"]

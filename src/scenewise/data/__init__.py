"""Videos with and without ground truth: generators, readers, and the contract they keep."""

from scenewise.data.contract import SOURCES, Facts, Sample, Source

__all__ = ["SOURCES", "Facts", "Sample", "Source"]

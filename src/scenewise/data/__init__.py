"""Videos with and without ground truth: generators, readers, and the contract they keep."""

from scenewise.data.contract import DESCRIPTIONS, SOURCES, Description, Facts, Sample, Source, register_source

__all__ = ["DESCRIPTIONS", "SOURCES", "Description", "Facts", "Sample", "Source", "register_source"]

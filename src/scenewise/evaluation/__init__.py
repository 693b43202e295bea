"""Named protocols that turn decompositions and ground truth into comparable numbers."""

from scenewise.evaluation.metric import Metric, ScoredVideos
from scenewise.evaluation.protocols import PROTOCOLS, Accumulator, Protocol, Scores, default_protocols, score_all, table

__all__ = [
    "PROTOCOLS",
    "Accumulator",
    "Metric",
    "Protocol",
    "ScoredVideos",
    "Scores",
    "default_protocols",
    "score_all",
    "table",
]

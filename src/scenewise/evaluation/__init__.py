"""Named protocols that turn decompositions and ground truth into comparable numbers."""

from scenewise.evaluation.protocols import PROTOCOLS, Accumulator, Measure, Protocol, Scores, score_all, table

__all__ = ["PROTOCOLS", "Accumulator", "Measure", "Protocol", "Scores", "score_all", "table"]

"""Stage 7, measuring: reads run folders, conversations and ratings; writes scores, tables and pages.

`strategies` and `perplexity` score a run; `significance` and `compare` say whether two runs differ, and
whether they may be compared at all; `agreement` and `thresholds` are the statistics of human studies;
`toxicity` scores text locally; `judge` and `seekers` let a chat model judge and play the seeker; `report`
writes one page. Text metrics are in `text`. Every number is a `core.records.Score` and carries the
signature that makes it comparable.
"""

from hearten.evaluate.text.score import Scores, score

__all__ = ["Scores", "score"]

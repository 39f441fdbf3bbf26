"""A strategy policy of our own: which strategy a supporter would choose next, from the conversation alone.

`features` (what of a conversation is read), `members` (what every kind of predictor is to the planner),
`network`, `trees`, `words` (the kinds), `rule` (what to take when macro-F1 counts), `fitting` (training
the kinds and choosing on validation), `planner` (the trained thing: probabilities, operating points,
acceptable sets), `decoding` (any system's replies under the planner's strategies). docs/planner.md says
what it reaches.
"""

from hearten.models.planner.planner import Planner

__all__ = ["Planner"]

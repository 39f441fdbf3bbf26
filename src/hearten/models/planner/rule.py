"""Which strategy to take when macro-F1 counts: the rule that is best for beliefs that are true.

F1 of a strategy is 2 · right / (chosen + used). One more moment at which strategy k is chosen, where its
probability is p, adds 2p / (chosen + used) to it and takes F1 / (chosen + used) from it, so the best choice
at every moment is the strategy with the greatest

    (2 · p − F1) / (chosen + used),

F1, chosen and used being those that this very rule reaches (Koyejo et al. 2014; Narasimhan et al. 2015 for
several classes). They are found by repetition, from beliefs alone: right is what the beliefs say to be
right. No label is looked at, so nothing is tuned to the few moments of a rare strategy.
"""

import numpy as np

from hearten.models.planner.members import Beliefs

ROUNDS = 200
KEPT = 0.8
"""Share of the old values kept at each repetition, so that choices do not swing."""


def best_rule(beliefs: Beliefs) -> tuple[Beliefs, Beliefs]:
    """(gain, cost), (K,) each: take the greatest gain · p − cost.

    Args:
        beliefs: (N, K) calibrated probabilities of moments like those to come.
    """
    used = beliefs.sum(axis=0)
    f1, chosen = np.full(beliefs.shape[1], 0.3), used.copy()
    best, reached = (f1, chosen), -1.0
    for _ in range(ROUNDS):
        taken = np.eye(len(used))[taking(beliefs, *_rule(f1, chosen, used)).argmax(axis=1)]
        count = taken.sum(axis=0)
        found = 2 * (taken * beliefs).sum(axis=0) / _some(count + used)
        if found.mean() > reached:
            best, reached = (f1, chosen), float(found.mean())
        f1, chosen = KEPT * f1 + (1 - KEPT) * found, KEPT * chosen + (1 - KEPT) * count
    return _rule(*best, used)


def taking(beliefs: Beliefs, gain: Beliefs, cost: Beliefs) -> Beliefs:
    """(N, K) what choosing each strategy would be worth."""
    return beliefs * gain - cost


def _rule(f1: Beliefs, chosen: Beliefs, used: Beliefs) -> tuple[Beliefs, Beliefs]:
    """The rule, scaled so that the greatest gain is 1; a strategy that is never used costs more than any."""
    known, whole = used > 0, _some(chosen + used)
    gain = np.where(known, 2 / whole, 0.0)
    return gain / gain.max(), np.where(known, f1 / whole / gain.max(), 1.0)


def _some(counts: Beliefs) -> Beliefs:
    """Counts that one may divide by."""
    held: Beliefs = np.maximum(counts, 1e-9)
    return held

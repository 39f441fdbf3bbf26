"""Raters by name: a folder that `hearten align rater train` wrote, a chat model, or several joined by `+`.

`language` (a language model whose class names are scored), `embedding` (sentence vectors, the light one),
`asked` (any chat model, in words), `ensemble` (several as one), `threshold` (another's probabilities, decided
where a validation part says). All are `core.rater.Rater`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

from hearten.core.errors import UsageError
from hearten.core.jsonl import read_json
from hearten.core.rater import Rater
from hearten.core.registry import lookup
from hearten.core.runfolder import RunFolder
from hearten.models.raters.ensemble import EnsembleRater
from hearten.models.raters.threshold import ThresholdRater, with_thresholds


def open_rater(name: str) -> Rater:
    """The rater called `name`: `FOLDER`, `asked:CHAT-MODEL`, or `ONE+OTHER`.

    Raises:
        UsageError: no such folder or model, or the folder holds no rater.
    """
    parts = [part for part in name.split("+") if part]
    if len(parts) > 1:
        return ensemble([open_rater(part) for part in parts])
    if name.startswith("asked:"):
        from hearten.lm.chat import open_chat_model
        from hearten.models.raters.asked import AskedRater

        return AskedRater(open_chat_model(name.removeprefix("asked:")))
    return _open_folder(Path(name))


def _open_folder(folder: Path) -> Rater:
    from hearten.models.raters.embedding import SETTINGS, open_embedding_rater
    from hearten.models.raters.language import open_language_rater

    place = next((one for one in (RunFolder(folder).model, folder) if (one / SETTINGS).is_file()), None)
    if place is None:
        fix = "hearten align rater train makes one; asked:MODEL asks a chat model"
        raise UsageError(f"'{folder}' holds no rater", fix=fix)
    kinds: dict[str, Callable[[Path], Rater]] = {
        "language": open_language_rater,
        "embedding": open_embedding_rater,
    }
    rater = lookup(kinds, read_json(place / SETTINGS)["kind"], "kind of rater")(place)
    return with_thresholds(rater, place)


def ensemble(raters: Sequence[Rater]) -> Rater:
    """Several as one: probabilities averaged, and thresholds, on the facets for which all have one."""
    own = [rater for rater in raters if isinstance(rater, ThresholdRater)]
    whole = EnsembleRater([rater.inner if isinstance(rater, ThresholdRater) else rater for rater in raters])
    if len(own) < len(raters):
        return whole
    shared = set.intersection(*(set(rater.thresholds) for rater in own))
    return ThresholdRater(whole, {one: fmean(rater.thresholds[one] for rater in own) for one in shared})

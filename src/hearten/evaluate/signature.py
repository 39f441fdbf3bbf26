"""A signature: the choices that make a number what it is, in one line a person can read and a script compare.

After sacreBLEU: `metric:macro-f1|choice:argmax|…|hearten:0.1.0`. Two numbers compare only if theirs agree.
"""

from hearten import __version__


def signature(**parts: object) -> str:
    """`key:value` pairs joined by `|`, in the order given, hearten's version last; None is left out.

    >>> signature(metric="f1", average=None, classes=8).removesuffix(__version__)
    'metric:f1|classes:8|hearten:'
    """
    given = {**parts, "hearten": __version__}
    return "|".join(f"{key.replace('_', '-')}:{value}" for key, value in given.items() if value is not None)


def extended(signed: str, **parts: object) -> str:
    """A signature with more parts, hearten's version still last.

    >>> extended("metric:F1|hearten:0", items="abc")
    'metric:F1|items:abc|hearten:0'
    """
    known, _, version = signed.rpartition("|")
    more = [f"{key.replace('_', '-')}:{value}" for key, value in parts.items() if value is not None]
    return "|".join([known, *more, version])

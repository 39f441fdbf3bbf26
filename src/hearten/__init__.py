"""hearten: one laboratory for emotional support conversation.

Read the folders in pipeline order: `data`, `collect`, `augment`, `annotate`, `train`, `align`,
`evaluate`, `serve`. They stand on `lm`, `knowledge`, `models`, `safety` and `web`, and all of them
speak the words of `core`. Start with `hearten --help` or `make demo`.
"""

__version__ = "0.1.0"

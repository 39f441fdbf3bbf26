"""The words every stage speaks; knows nothing above it.

`conversation` (Conversation, Turn, Role), `taxonomy` (strategies and every other label table),
`records` (what one stage hands the next), `protocol` (how turns are merged, windowed and split),
`supporter` (the one interface of whoever supports), and the small things every stage needs once:
`errors`, `registry`, `config`, `jsonl`, `runfolder`, `progress`, `places`.
"""

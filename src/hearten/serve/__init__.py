"""Stage 8, talking: reads a run folder or the name of a chat model; writes a saved conversation when asked.

`terminal` is `hearten chat`; `routes` the chat page, with `speaking` (a reply while it is written), `talk` (its
branches), `store` and `sealing` (what is kept), `why` (what a person may see of a reply's details); `safety_suite` plays scripted seekers against any supporter. Whatever answers
is a `core.supporter.Supporter`, with the screens of `safety` round it unless an experiment leaves them out.
"""

"""The web foundation every stage with pages stands on; knows no stage.

`settings` (host, database, limits), `database` (SQLAlchemy on SQLite or PostgreSQL, migrated at start),
`broker` (how processes tell each other that something happened), `identity` (accounts, invitations, logins,
audit), `guard` (headers, CSRF, rate limits, who may enter), `pages` (templates and words), `routes` (log in,
accept an invitation). `hearten.app` joins them with each stage's router.
"""

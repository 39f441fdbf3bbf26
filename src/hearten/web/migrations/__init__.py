"""The database's history; alembic runs it at start (`database.Database.upgrade`)."""

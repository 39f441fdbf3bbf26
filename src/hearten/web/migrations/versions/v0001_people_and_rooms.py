"""Staff, participants, rooms and their events, votes, audit."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table."""
    _staff()
    _people()
    _rooms()


def _staff() -> None:
    op.create_table(
        "account",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String, nullable=False, unique=True),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("password", sa.String, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
    )
    op.create_table(
        "login",
        sa.Column("token_hash", sa.String, primary_key=True),
        sa.Column("subject", sa.String, nullable=False, index=True),
        sa.Column("expires", sa.Double, nullable=False),
    )
    op.create_table(
        "invitation",
        sa.Column("token_hash", sa.String, primary_key=True),
        sa.Column("study", sa.String, nullable=False),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("uses", sa.Integer, nullable=False),
        sa.Column("expires", sa.Double, nullable=False),
        sa.Column("note", sa.String, nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("who", sa.String, nullable=False),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("what", sa.String, nullable=False),
    )


def _people() -> None:
    op.create_table(
        "person",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("study", sa.String, nullable=False, index=True),
        sa.Column("pseudonym", sa.String, nullable=False, unique=True),
        sa.Column("role", sa.String),
        sa.Column("role_fixed", sa.Boolean, nullable=False),
        sa.Column("language", sa.String, nullable=False),
        sa.Column("external", sa.String),
        sa.Column("return_hash", sa.String, nullable=False, unique=True),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("consented", sa.Double),
        sa.Column("consent_version", sa.String),
        sa.Column("tasks_done", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("granted", sa.Integer, nullable=False),
        sa.Column("passed", sa.Double),
        sa.Column("survey", sa.JSON),
        sa.Column("ready", sa.Boolean, nullable=False),
        sa.Column("rounds", sa.Integer, nullable=False),
        sa.Column("email", sa.String),
        sa.Column("withdrawn", sa.Double),
    )
    op.create_table(
        "waiting",
        sa.Column("person_id", sa.Integer, sa.ForeignKey("person.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("study", sa.String, nullable=False, index=True),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("since", sa.Double, nullable=False),
        sa.Column("seen", sa.Double, nullable=False),
    )


def _rooms() -> None:
    op.create_table(
        "room",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("study", sa.String, nullable=False, index=True),
        sa.Column("seeker_id", sa.Integer, sa.ForeignKey("person.id"), nullable=False, index=True),
        sa.Column("supporter_id", sa.Integer, sa.ForeignKey("person.id"), index=True),
        sa.Column("model", sa.String),
        sa.Column("opened", sa.Double, nullable=False),
        sa.Column("ended", sa.Double),
        sa.Column("reason", sa.String),
        sa.Column("last_seq", sa.Integer, nullable=False),
        sa.Column("seeker_status", sa.String),
        sa.Column("supporter_status", sa.String),
        sa.Column("before", sa.JSON, nullable=False),
        sa.Column("seeker_after", sa.JSON),
        sa.Column("supporter_after", sa.JSON),
        sa.Column("decision", sa.String),
    )
    op.create_table(
        "event",
        sa.Column("room_id", sa.Integer, sa.ForeignKey("room.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("client_id", sa.String, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("text", sa.String),
        sa.Column("strategy", sa.String),
        sa.Column("stars", sa.Integer),
        sa.Column("data", sa.JSON),
        sa.UniqueConstraint("room_id", "role", "client_id"),
    )
    op.create_table(
        "vote",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("study", sa.String, nullable=False, index=True),
        sa.Column("item", sa.String, nullable=False),
        sa.Column("rater", sa.String, nullable=False),
        sa.Column("question", sa.String, nullable=False),
        sa.Column("value", sa.String, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.UniqueConstraint("study", "item", "rater", "question"),
    )


def downgrade() -> None:
    """Drop every table."""
    for name in ("vote", "event", "room", "waiting", "person", "audit", "invitation", "login", "account"):
        op.drop_table(name)

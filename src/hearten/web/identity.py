"""Who someone is: accounts with roles, invitation links, logins, and a record of what staff did.

Only hashes are stored: SHA-256 of the random tokens in cookies and links (256 bits, so a plain hash
suffices), Argon2id of passwords. A login belongs to a *subject*, `account:3` or a stage's own `person:17`;
this module knows accounts only. `leader` may do everything, `reviewer` reads conversations and votes.
"""

import hashlib
import hmac
import secrets
import time
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from hearten.web.database import Base

ROLES = ("leader", "reviewer")
DAY = 86_400.0
SHORTEST_PASSWORD = 10


class Account(Base):
    """A member of the study's staff."""

    __tablename__ = "account"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    role: Mapped[str]
    password: Mapped[str]
    created: Mapped[float]


class Login(Base):
    """One browser that is logged in."""

    __tablename__ = "login"
    token_hash: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(index=True)
    expires: Mapped[float]


class Invitation(Base):
    """A link that admits someone in a role; `uses` counts down."""

    __tablename__ = "invitation"
    token_hash: Mapped[str] = mapped_column(primary_key=True)
    study: Mapped[str]
    role: Mapped[str]
    uses: Mapped[int]
    expires: Mapped[float]
    note: Mapped[str]


class AuditEntry(Base):
    """What a member of staff did; never changed, never deleted."""

    __tablename__ = "audit"
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[float]
    who: Mapped[str]
    action: Mapped[str]
    what: Mapped[str]


def new_token() -> str:
    """256 random bits, safe in a URL."""
    return secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    """What is stored of a token."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def csrf_token(visit: str) -> str:
    """The form token that belongs to a browser's visit cookie."""
    return hmac.new(visit.encode("utf-8", "replace"), b"hearten form", hashlib.sha256).hexdigest()


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher()


def password_matches(stored: str, given: str) -> bool:
    """Whether `given` is the password behind the hash; takes equally long for a hash of nobody."""
    try:
        return _hasher().verify(stored or _nobody(), given) and bool(stored)
    except Argon2Error:
        return False


@cache
def _nobody() -> str:
    return _hasher().hash(new_token())


def add_account(session: Session, name: str, role: str, password: str) -> Account:
    """A new account; the caller has checked the role and that the name is free."""
    account = Account(name=name, role=role, password=_hasher().hash(password), created=time.time())
    session.add(account)
    session.flush()
    return account


def account_by_password(session: Session, name: str, password: str) -> Account | None:
    """The account these belong to, or None."""
    account = session.scalar(select(Account).where(Account.name == name))
    return account if password_matches(account.password if account else "", password) else None


def has_leader(session: Session) -> bool:
    """Whether anyone can manage this server yet."""
    return bool(session.scalar(select(func.count()).select_from(Account).where(Account.role == "leader")))


def open_login(session: Session, subject: str, days: float = 30) -> str:
    """Log `subject` in; returns the token for the cookie, which is stored nowhere else."""
    token = new_token()
    session.execute(delete(Login).where(Login.expires < time.time()))
    session.add(Login(token_hash=token_hash(token), subject=subject, expires=time.time() + days * DAY))
    return token


def subject_of(session: Session, token: str | None) -> str | None:
    """Whose cookie this is, or None."""
    if not token:
        return None
    login = session.get(Login, token_hash(token))
    return login.subject if login is not None and login.expires > time.time() else None


def close_logins(session: Session, subject: str) -> None:
    """Log a subject out everywhere."""
    session.execute(delete(Login).where(Login.subject == subject))


def invite(
    session: Session, study: str, role: str, *, uses: int = 1, days: float = 30, note: str = ""
) -> str:
    """A new invitation; returns the token for its link, which is stored nowhere else."""
    token = new_token()
    expires = time.time() + days * DAY
    session.add(
        Invitation(
            token_hash=token_hash(token), study=study, role=role, uses=uses, expires=expires, note=note
        )
    )
    return token


def invitation(session: Session, token: str) -> Invitation | None:
    """The invitation a link names, if it can still be used."""
    found = session.get(Invitation, token_hash(token))
    return found if found is not None and found.uses > 0 and found.expires > time.time() else None


def record(session: Session, who: str, action: str, what: str = "") -> None:
    """Add a line to the audit log."""
    session.add(AuditEntry(at=time.time(), who=who, action=action, what=what))

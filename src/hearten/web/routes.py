"""The pages that are nobody's stage: log in and out, accept a staff invitation, the front page, errors."""

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Path, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from hearten.web import identity
from hearten.web.guard import ACCOUNT_COOKIE, Form, account_of, fields, limit_tries
from hearten.web.identity import Account
from hearten.web.pages import page, set_cookie
from hearten.web.state import web

router = APIRouter()
Token = Annotated[str, Path(max_length=100)]


@router.get("/login")
def login_page(request: Request) -> Response:
    """Name and password of a member of staff."""
    return page(request, "web/login.html", problem="")


@router.post("/login", dependencies=[Depends(limit_tries)], openapi_extra=fields("name", "password"))
def log_in(request: Request, form: Form) -> Response:
    """Check them; the same answer whether the name or the password is wrong."""
    with web(request).database.writing() as session:
        account = identity.account_by_password(session, form.get("name", ""), form.get("password", ""))
        if account is None:
            return page(request, "web/login.html", status=403, problem="login.wrong")
        return _entered(request, session, account)


@router.post("/logout", openapi_extra=fields())
def log_out(request: Request, form: Form) -> Response:
    """Close every login of this account."""
    account = account_of(request)
    if account is not None:
        with web(request).database.writing() as session:
            identity.close_logins(session, f"account:{account.id}")
    response = RedirectResponse("/login", 303)
    response.delete_cookie(ACCOUNT_COOKIE)
    return response


@router.get("/invite/{token}", dependencies=[Depends(limit_tries)])
def invitation_page(request: Request, token: Token) -> Response:
    """Choose a name and a password for the role the link carries."""
    with web(request).database.reading() as session:
        found = _staff_invitation(session, token)
        return page(request, "web/invite.html", role=found.role, token=token, problem="")


@router.post("/invite/{token}", dependencies=[Depends(limit_tries)], openapi_extra=fields("name", "password"))
def accept_invitation(request: Request, token: Token, form: Form) -> Response:
    """Make the account and log it in."""
    name, password = form.get("name", "").strip(), form.get("password", "")
    with web(request).database.writing() as session:
        found = _staff_invitation(session, token)
        problem = _account_problem(session, name, password)
        if problem:
            return page(request, "web/invite.html", status=422, role=found.role, token=token, problem=problem)
        found.uses -= 1
        account = identity.add_account(session, name, found.role, password)
        identity.record(session, name, "joined", found.role)
        return _entered(request, session, account)


def _staff_invitation(session: Session, token: str) -> identity.Invitation:
    found = identity.invitation(session, token)
    if found is None or found.role not in identity.ROLES:
        raise HTTPException(404, "this link is not valid any more: ask for a new one")
    return found


def _account_problem(session: Session, name: str, password: str) -> str:
    if not 1 <= len(name) <= 60:
        return "invite.name"
    if not identity.SHORTEST_PASSWORD <= len(password) <= 200:
        return "invite.password"
    taken = session.scalar(select(Account.id).where(Account.name == name))
    return "invite.taken" if taken else ""


def _entered(request: Request, session: Session, account: Account) -> Response:
    token = identity.open_login(session, f"account:{account.id}", days=7)
    response = RedirectResponse("/admin", 303)
    set_cookie(request, response, ACCOUNT_COOKIE, token, days=7)
    return response

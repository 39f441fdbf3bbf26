"""A browser without a screen, and staff who log in with one: for the tests of pages."""

import re

from fastapi.testclient import TestClient

from hearten.web import identity


class Visitor:
    """A browser without a screen: keeps cookies, fills in the form token."""

    def __init__(self, app) -> None:
        self.http = TestClient(app)
        self.http.portal = app.state.portal  # one event loop for everyone, as in a server
        self.token = ""

    def get(self, path: str, status: int = 200):
        answer = self.http.get(path)
        assert answer.status_code == status, (path, answer.status_code, answer.text[-500:])
        found = re.search(r'name="csrf" value="([0-9a-f]+)"', answer.text)
        self.token = found.group(1) if found else self.token
        return answer

    def post(self, path: str, status: int = 200, **fields: str):
        answer = self.http.post(path, data={"csrf": self.token, **fields})
        assert answer.status_code == status, (path, answer.status_code, answer.text[-500:])
        return answer


def staff(app, role: str = "leader", name: str = "") -> Visitor:
    """A logged-in member of staff."""
    with app.state.web.database.writing() as session:
        token = identity.invite(session, "pilot", role)
    person = Visitor(app)
    person.get(f"/invite/{token}")
    person.http.post(
        f"/invite/{token}",
        data={"csrf": person.token, "name": name or f"{role} Kim", "password": "correct horse battery"},
        follow_redirects=False,
    )
    return person

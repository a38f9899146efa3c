"""Times two kinds of refusals that must look alike. See tests/slow/enumeration."""

import http.client
import json
import random
import secrets
import sys
import time
from urllib.parse import urlsplit

SAMPLES = 1_000
# After 10 failures in a row an account is slowed down, for everybody.
FAILURES_EACH = 5
LOW, HIGH = 0.45, 0.55


class Client:
    def __init__(self, base):
        self.connection = http.client.HTTPConnection(urlsplit(base).netloc)
        self.token = None
        self.asked = time.monotonic()

    def ask(self, method, path, body=None):
        """The status, the body and the seconds that it took."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if self.token:
            headers["Authorization"] = "Bearer " + self.token
        data = json.dumps(body) if body is not None else None
        # The server closes what is idle for 5 s.
        if time.monotonic() - self.asked > 3:
            self.connection.close()
        self.asked = time.monotonic()
        begin = time.perf_counter()
        self.connection.request(method, path, data, headers)
        answer = self.connection.getresponse()
        text = answer.read()
        took = time.perf_counter() - begin
        kept = {name.lower(): value for name, value in answer.getheaders()}
        for name in ("date", "x-request-id"):
            kept.pop(name, None)
        return (answer.status, kept, text), took

    def done(self, method, path, body=None):
        (status, _, text), _ = self.ask(method, path, body)
        assert 200 <= status < 300, (path, status, text)
        return json.loads(text) if text else None


def person(base, username):
    client = Client(base)
    account = {"name": username, "username": username, "password": "a staple of batteries"}
    client.done("POST", "/api/register/", account)
    client.token = client.done("POST", "/api/token/", account)["access"]
    return client


def auc(ones, others):
    """The chance that one of the first is larger than one of the second; ties count half."""
    ranked = sorted([(value, 0) for value in ones] + [(value, 1) for value in others])
    ranks, i = 0.0, 0
    while i < len(ranked):
        j = i
        while j < len(ranked) and ranked[j][0] == ranked[i][0]:
            j += 1
        mean = (i + j + 1) / 2
        ranks += mean * sum(1 for _, kind in ranked[i:j] if kind == 0)
        i = j
    count = len(ones)
    return (ranks - count * (count + 1) / 2) / (count * len(others))


def compare(what, client, known, unknown):
    """`known` and `unknown` give the next request of their kind."""
    for make in (known, unknown) * 20:
        client.ask(*make())
    kinds = [0, 1] * SAMPLES
    random.shuffle(kinds)
    times, answers = ([], []), set()
    for kind in kinds:
        answer, took = client.ask(*(known, unknown)[kind]())
        answers.add(repr(answer))
        times[kind].append(took)
    assert len(answers) == 1, f"{what}: the answers differ: {answers}"
    area = auc(*times)
    medians = ["%.3f ms" % (sorted(sample)[SAMPLES // 2] * 1e3) for sample in times]
    print(f"{what}: AUC {area:.3f}; medians {medians[0]} known, {medians[1]} unknown", flush=True)
    return LOW <= area <= HIGH


def compare_twice(*arguments):
    """Work of others on the machine makes noise: what lies outside is measured once more."""
    return compare(*arguments) or compare(*arguments)


def main(base):
    client = Client(base)
    count = SAMPLES // FAILURES_EACH + 20
    names = ["known%04d" % i for i in range(count)]
    for name in names:
        client.done("POST", "/api/register/",
                    {"name": name, "username": name, "password": "a staple of batteries"})
    turns = iter(names * (FAILURES_EACH + 1))

    def login(username):
        return "POST", "/api/token/", {"username": username, "password": "a wrong password"}

    alike = [compare("login", client, lambda: login(next(turns)),
                     lambda: login("u" + secrets.token_hex(4)))]

    owner, guest, member = (person(base, name) for name in ("owner", "guest", "member"))
    group = owner.done("POST", "/api/start-chat/", {})["group_name"]
    invites = f"/api/groups/{group}/invites/"
    full = owner.done("POST", invites, {"max_uses": 1})["code"]
    member.done("POST", f"/api/invites/{full}/accept/")
    expired = owner.done("POST", invites, {"expires_in": 1})["code"]
    withdrawn = owner.done("POST", invites, {})
    owner.done("DELETE", f"{invites}{withdrawn['id']}/")
    time.sleep(1.1)
    kinds = {"full": full, "expired": expired, "withdrawn": withdrawn["code"]}
    for kind, code in kinds.items():
        alike.append(compare_twice(
            f"an invite that is {kind}, shown", guest,
            lambda: ("GET", f"/api/invites/{code}/"),
            lambda: ("GET", f"/api/invites/{secrets.token_hex(16)}/")))
        alike.append(compare_twice(
            f"an invite that is {kind}, accepted", guest,
            lambda: ("POST", f"/api/invites/{code}/accept/"),
            lambda: ("POST", f"/api/invites/{secrets.token_hex(16)}/accept/")))
    if not all(alike):
        sys.exit(f"the time tells: an AUC is not within {LOW} and {HIGH}")


main(sys.argv[1])

"""Compares the times of two kinds of rejections that must be indistinguishable. See tests/slow/enumeration."""

import http.client
import json
import random
import secrets
import sys
import time
from urllib.parse import urlsplit

SAMPLES = 1_000
# After 10 failures in a row, logins to an account are delayed.
FAILURES_EACH = 5
LOW, HIGH = 0.45, 0.55


class Client:
    def __init__(self, base):
        self.connection = http.client.HTTPConnection(urlsplit(base).netloc)
        self.token = None
        self.last_request = time.monotonic()

    def request(self, method, path, body=None):
        """Returns the response (status, headers and body), and its time in seconds."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if self.token:
            headers["Authorization"] = "Bearer " + self.token
        data = json.dumps(body) if body is not None else None
        # The server closes connections that are idle for 5 s.
        if time.monotonic() - self.last_request > 3:
            self.connection.close()
        self.last_request = time.monotonic()
        begin = time.perf_counter()
        self.connection.request(method, path, data, headers)
        response = self.connection.getresponse()
        text = response.read()
        took = time.perf_counter() - begin
        headers = {name.lower(): value for name, value in response.getheaders()}
        for name in ("date", "traceparent", "x-request-id"):
            headers.pop(name, None)
        return (response.status, headers, text), took

    def request_json(self, method, path, body=None):
        (status, _, text), _ = self.request(method, path, body)
        assert 200 <= status < 300, (path, status, text)
        return json.loads(text) if text else None


def register(base, username):
    client = Client(base)
    account = {"name": username, "username": username, "password": "a staple of batteries"}
    client.request_json("POST", "/api/register/", account)
    client.token = client.request_json("POST", "/api/token/", account)["access"]
    return client


def auc(ones, others):
    """Returns the probability that a value of the first is larger than a value of the second. Ties count half."""
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
    """Compares two kinds of requests. `known` and `unknown` return the next request of their kind."""
    for make in (known, unknown) * 20:
        client.request(*make())
    kinds = [0, 1] * SAMPLES
    random.shuffle(kinds)
    times, responses = ([], []), set()
    for kind in kinds:
        response, took = client.request(*(known, unknown)[kind]())
        responses.add(repr(response))
        times[kind].append(took)
    assert len(responses) == 1, f"{what}: the responses differ: {responses}"
    area = auc(*times)
    medians = ["%.3f ms" % (sorted(sample)[SAMPLES // 2] * 1e3) for sample in times]
    print(f"{what}: AUC {area:.3f}; medians {medians[0]} known, {medians[1]} unknown", flush=True)
    return LOW <= area <= HIGH


def compare_twice(*arguments):
    """Compares once more if the first result is out of bounds, because other processes make noise."""
    return compare(*arguments) or compare(*arguments)


def main(base):
    client = Client(base)
    count = SAMPLES // FAILURES_EACH + 20
    names = ["known%04d" % i for i in range(count)]
    for name in names:
        client.request_json("POST", "/api/register/",
                    {"name": name, "username": name, "password": "a staple of batteries"})
    turns = iter(names * (FAILURES_EACH + 1))

    def login(username):
        return "POST", "/api/token/", {"username": username, "password": "a wrong password"}

    alike = [compare("login", client, lambda: login(next(turns)),
                     lambda: login("u" + secrets.token_hex(4)))]

    owner, stranger, member = (register(base, name) for name in ("owner", "stranger", "member"))
    group = owner.request_json("POST", "/api/start-chat/", {})["group_name"]
    invites = f"/api/groups/{group}/invites/"
    full = owner.request_json("POST", invites, {"max_uses": 1})["code"]
    member.request_json("POST", f"/api/invites/{full}/accept/")
    expired = owner.request_json("POST", invites, {"expires_in": 1})["code"]
    revoked = owner.request_json("POST", invites, {})
    owner.request_json("DELETE", f"{invites}{revoked['id']}/")
    time.sleep(1.1)
    kinds = {"full": full, "expired": expired, "revoked": revoked["code"]}
    for kind, code in kinds.items():
        alike.append(compare_twice(
            f"an invite that is {kind}, shown", stranger,
            lambda: ("GET", f"/api/invites/{code}/"),
            lambda: ("GET", f"/api/invites/{secrets.token_hex(16)}/")))
        alike.append(compare_twice(
            f"an invite that is {kind}, accepted", stranger,
            lambda: ("POST", f"/api/invites/{code}/accept/"),
            lambda: ("POST", f"/api/invites/{secrets.token_hex(16)}/accept/")))
    if not all(alike):
        sys.exit(f"the times are distinguishable: an AUC is not within {LOW} and {HIGH}")


main(sys.argv[1])

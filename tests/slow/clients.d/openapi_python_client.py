"""Runs the flow with the client that openapi-python-client writes. Usage: openapi_python_client.py <base> <folder>"""

import importlib, pkgutil, sys

base, folder = sys.argv[1:]
sys.path.insert(0, folder)

import httpx
import salam_client, salam_client.api
from salam_client import models

import flow

# The module of each operation, by the name of the operation.
OPERATIONS = {
    module.name.rsplit(".", 1)[1]: importlib.import_module(module.name)
    for module in pkgutil.walk_packages(salam_client.api.__path__, "salam_client.api.")
    if not module.ispkg
}


class Salam:
    def __init__(self, access):
        timeout = httpx.Timeout(10)
        if access is None:
            self.client = salam_client.Client(base_url=base, timeout=timeout)
        else:
            self.client = salam_client.AuthenticatedClient(base_url=base, token=access, timeout=timeout)

    def call(self, operation, *arguments, **options):
        answer = OPERATIONS[operation].sync_detailed(*arguments, client=self.client, **options)
        if answer.status_code not in (200, 201):
            raise RuntimeError(f"{answer.status_code} {answer.content.decode()}")
        return answer.parsed

    def register(self, name, username, password):
        return self.call("register", body=models.RegisterParams(name=name, username=username, password=password))

    def login(self, username, password):
        return self.call("token", body=models.TokenParams(username=username, password=password))

    def refresh(self, refresh):
        return self.call("token_refresh", body=models.RefreshParams(refresh=refresh))

    def me(self):
        return self.call("me")

    def sessions(self):
        return self.call("list_sessions")

    def start_chat(self, title=None):
        body = {} if title is None else {"body": models.StartChatParams(title=title)}
        return self.call("start_chat", **body)

    def groups(self):
        return self.call("list_groups")

    def send(self, group, text, key):
        return self.call("send_message", group, body=models.MessageParams(text=text), idempotency_key=key)

    def messages(self, group):
        return self.call("list_messages", group)

    def events(self, group):
        return self.call("list_events", group)

    def react(self, group, seq, emoji):
        return self.call("add_reaction", group, seq, emoji)

    def edit(self, group, seq, text):
        return self.call("edit_message", group, seq, body=models.EditParams(text=text))

    def invite(self, group, max_uses=None):
        body = {} if max_uses is None else {"body": models.InviteParams(max_uses=max_uses)}
        return self.call("create_invite", group, **body)

    def offer(self, code):
        return self.call("show_invite", code)

    def join(self, code):
        return self.call("accept_invite", code)

    def members(self, group):
        return self.call("list_members", group)


flow.run(Salam)

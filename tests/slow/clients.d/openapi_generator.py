"""Runs the flow with the client that openapi-generator writes. Usage: openapi_generator.py <base> <folder>"""

import sys

base, folder = sys.argv[1:]
sys.path.insert(0, folder)

import salam_client as generated

import flow


class Salam:
    def __init__(self, access):
        client = generated.ApiClient(generated.Configuration(host=base, access_token=access))
        client.rest_client.pool_manager.connection_pool_kw["timeout"] = 10
        self.apis = [getattr(generated, name)(client) for name in dir(generated) if name.endswith("Api")]

    def operation(self, name):
        return next(getattr(api, name) for api in self.apis if hasattr(api, name))

    def register(self, name, username, password):
        body = generated.RegisterParams(name=name, username=username, password=password)
        return self.operation("register")(body)

    def login(self, username, password):
        return self.operation("token")(generated.TokenParams(username=username, password=password))

    def refresh(self, refresh):
        return self.operation("token_refresh")(generated.RefreshParams(refresh=refresh))

    def me(self):
        return self.operation("me")()

    def sessions(self):
        return self.operation("list_sessions")()

    def start_chat(self, title=None):
        start = self.operation("start_chat")
        return start() if title is None else start(generated.StartChatParams(title=title))

    def groups(self):
        return self.operation("list_groups")()

    def send(self, group, text, key):
        return self.operation("send_message")(group, generated.MessageParams(text=text), idempotency_key=key)

    def messages(self, group):
        return self.operation("list_messages")(group)

    def events(self, group):
        return self.operation("list_events")(group)

    def react(self, group, seq, emoji):
        return self.operation("add_reaction")(group, seq, emoji)

    def edit(self, group, seq, text):
        return self.operation("edit_message")(group, seq, generated.EditParams(text=text))

    def invite(self, group, max_uses=None):
        create = self.operation("create_invite")
        return create(group) if max_uses is None else create(group, generated.InviteParams(max_uses=max_uses))

    def offer(self, code):
        return self.operation("show_invite")(code)

    def join(self, code):
        return self.operation("accept_invite")(code)

    def members(self, group):
        return self.operation("list_members")(group)


flow.run(Salam)

"""The flow that every Python client runs. Each client passes an object with the operations that `run` calls."""

import secrets, sys

PASSWORD = "a staple of batteries"
ROLES = {"owner", "admin", "member"}


def step(name, work, *arguments, **options):
    try:
        return work(*arguments, **options)
    except Exception as error:
        sys.exit(f'step "{name}" failed: {type(error).__name__}: {" ".join(str(error).split())[:400]}')


def expect(condition, text):
    if not condition:
        sys.exit(f"wrong answer: {text}")


def plain(value):
    """Returns the value of an enum, or the value itself."""
    return getattr(value, "value", value)


def run(connect):
    anyone = connect(None)

    def user():
        username = f"user.{secrets.token_hex(5)}"
        step("register", anyone.register, "Ann Lee", username, PASSWORD)
        tokens = step("login", anyone.login, username, PASSWORD)
        return username, tokens, connect(tokens.access)

    ann, _, salam = user()
    step("start chat without a body", salam.start_chat)
    group = step("start chat", salam.start_chat, "Lunch").group_name
    sent = step("send", salam.send, group, "hi", "key-1")
    again = step("send again", salam.send, group, "hi", "key-1")
    expect(sent.seq == again.seq, "the repeated message has another seq")
    history = step("list messages", salam.messages, group)
    expect(len(history.results) == 1 and not history.has_more, "the repeated message is stored twice")
    events = step("list events", salam.events, group)
    expect([plain(event.kind) for event in events.results] == ["message.created"], "the events are others")
    reacted = step("react", salam.react, group, sent.seq, "👍")
    expect(reacted.reactions[0].emoji == "👍" and reacted.reactions[0].mine, "the reaction is missing")
    edited = step("edit", salam.edit, group, sent.seq, "hi!")
    expect(edited.text == "hi!" and edited.edited_at is not None, "the message is not edited")
    opened = step("create invite without a body", salam.invite, group)
    expect(opened.max_uses is None, "the invite without a body has a limit")
    invite = step("create invite", salam.invite, group, 5)
    expect(invite.max_uses == 5, "the limit of the invite is lost")

    bob, tokens, other = user()
    offer = step("show invite", other.offer, invite.code)
    expect(offer.title == "Lunch" and offer.invited_by.username == ann, "the offer is another one")
    joined = step("join", other.join, invite.code)
    expect(plain(joined.role) == "member" and joined.last_message.text == "hi!", "the joined group is another one")
    members = step("list members", salam.members, group)
    expect(len(members.results) == 2 and {plain(member.role) for member in members.results} <= ROLES, "the members are others")
    groups = step("list groups", other.groups)
    expect(len(groups.results) == 1, "the groups are others")
    expect(type(groups.results[0]) is type(joined), "a group of a page and a group are of two classes")
    expect(step("me", other.me).username == bob, "another user")
    expect(any(session.current for session in step("list sessions", other.sessions).results), "no session is the current one")
    renewed = step("refresh", anyone.refresh, tokens.refresh)
    step("me with the new token", connect(renewed.access).me)
    print("passed")

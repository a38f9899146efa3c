# The texts of the page's scripts.

sign-in = Sign in
sign-up = Create account
have-account = Already have an account?
no-account = New here?
invited-sign = You're invited to a chat. Create an account or sign in to join.
signed-out-elsewhere = You were signed out from another device.
signed-out-expired = Your session has expired. Sign in again.

status-connecting = Connecting…
status-catching-up = Catching up…
status-missing = { $count ->
    [one] Catching up on { $count } message…
   *[other] Catching up on { $count } messages…
}
status-live = Connected
status-offline = Offline. Your messages will be sent when you're back online.
status-waiting = { $seconds ->
    [0] Offline. Reconnecting…
    [one] Offline. Reconnecting in { $seconds } second…
   *[other] Offline. Reconnecting in { $seconds } seconds…
}
status-blocked = { $seconds ->
    [0] The server is reachable, but the WebSocket connection fails. A proxy or firewall probably blocks it. Trying again…
    [one] The server is reachable, but the WebSocket connection fails. A proxy or firewall probably blocks it. Trying again in { $seconds } second…
   *[other] The server is reachable, but the WebSocket connection fails. A proxy or firewall probably blocks it. Trying again in { $seconds } seconds…
}
status-blocked-hint = For administrators: the proxy must use HTTP/1.1 and pass the headers Upgrade, Connection and Sec-WebSocket-Protocol. See the deployment guide.
status-no-socket = This page can't open a connection. Details: { $why }
status-too-many = Salam is open in too many tabs or devices. Close one.
status-closed = The server closed the connection ({ $code }). Reload the page.

untitled = New chat
names-and-more = { $names } and { $more } more
no-messages = No messages yet
preview-own = You: { $text }
preview = { $name }: { $text }
unread = { $count ->
    [one] { $count } unread message
   *[other] { $count } unread messages
}
list-comma = {", "}
loading = Loading…
beginning = This is the start of the chat.
new-messages = New
newer = { $count ->
    [one] { $count } new message
   *[other] { $count } new messages
}
jump-to-latest = Jump to latest
chat-not-found = This chat doesn't exist, or you don't have access.
too-many-chats = You're in too many chats to show them all.
lost-removed = You were removed from this chat.
lost-banned = You were banned from this chat.
lost-left = You left this chat.
lost-deleted = This chat was deleted.
lost-other = You're no longer in this chat.

# The number 1000 stands for 1000 or more.
presence = { $members ->
    [1] Just you so far
   *[other] { $members ->
        [1000] { $members }+
       *[other] { $members }
    } members{ $online ->
        [0] {""}
        [1] , no one else is online
       *[other] , { $online } online
    }
}
online = { $more ->
    [0] Online: { $names }
   *[other] Online: { $names } and { $more } more
}
typing-one = { $name } is typing…
typing-two = { $first } and { $second } are typing…
typing-many = { $count } people are typing…

system = System
deleted = This message was deleted.
in-reply = In reply to
reacted = { $more ->
    [0] { $names } reacted with { $emoji }
   *[other] { $names } and { $more } more reacted with { $emoji }
}
read-by = Read by { $names }
waiting = Waiting for connection…
sending = Sending…
sent = Sent
failed = Not sent. { $why }
editing = Editing your message
replying = Replying to { $name }: { $text }
too-long = { $count ->
    [one] { $count } character over the limit
   *[other] { $count } characters over the limit
}
delete-title = Delete this message?
delete = Delete

note-joined = { $name } joined
note-left = { $name } left
note-removed = { $actor } removed { $name }
note-banned = { $actor } banned { $name }
note-owner = { $name } is now the owner
note-admin = { $actor } made { $name } an admin
note-member = { $actor } changed { $name }'s role to member
note-renamed = { $actor } renamed the chat to “{ $title }”
note-unnamed = { $actor } removed the chat name

members = Members
role-owner = owner
role-admin = admin
role-member = member
you = you
make-admin = Make admin
make-member = Make member
make-owner = Make owner
remove = Remove
ban = Ban
unban = Unban
revoke = Revoke
leave = Leave
confirm-owner-title = Make { $name } the owner?
confirm-owner = You'll become an admin.
confirm-remove-title = Remove { $name }?
confirm-remove = They can rejoin with an invite.
confirm-ban-title = Ban { $name }?
confirm-ban = They can't rejoin unless you unban them.
confirm-leave-title = Leave { $title }?
confirm-leave = You'll need an invite to rejoin.
confirm-delete-title = Delete { $title }?
confirm-delete = The chat and all its messages will be deleted for everyone.
copy = Copy
copied = Copied
copy-failed = Couldn't copy the link. Select it and copy it yourself.
invite-by = Created by { $name }
used = { $count ->
    [0] not used yet
    [one] used once
   *[other] used { $count } times
}
uses-left = { $count ->
    [one] { $count } use left
   *[other] { $count } uses left
}
expires = expires { $when }

offer = { $name } ({ $username }) invites you to { $title }.
offer-untitled = { $name } ({ $username }) invites you to a chat.
invite-invalid = This invite is no longer valid. Ask for a new one.

last-used = last active { $when }
this-device = this browser
sign-out = Sign out
device-unknown = Unknown device
password-changed = Your password was changed.
unsent = { $count ->
    [one] { $count } message hasn't been sent yet
   *[other] { $count } messages haven't been sent yet
}
unsent-lost = If you sign out now, unsent messages are lost.

error-login = Wrong username or password.
error-username-taken = This username is taken. Choose another one.
error-rate-limited = { $seconds ->
    [0] Too many attempts. Try again in a moment.
    [one] Too many attempts. Try again in { $seconds } second.
   *[other] Too many attempts. Try again in { $seconds } seconds.
}
error-offline = Can't reach the server. Check your connection and try again.
error-unavailable = The server is busy. Try again in a moment.
error-internal = Something went wrong on the server. Try again later.
error-not-member = You're not in this chat.
error-not-found = This no longer exists, or you don't have access.
error-banned = You've been banned from this chat.
error-forbidden = You don't have permission to do this.
error-gone = This has been deleted.
error-conflict = Something has changed in the meantime. Reload the page and try again.
error-owner-leaves = Make someone else the owner first, or delete the chat.
error-deactivated = This account is deactivated, so it can't become an admin or the owner.
error-limit = You've reached the limit.
error-chat-limit = You're in too many chats. Leave one first.
error-join-limit = You can't join: this chat is full, or you're in too many chats.
error-reaction-limit = You can't add more emoji to this message.
error-too-long = This is too long.
error-invalid = That didn't work. Check what you entered and try again.
error-closed = The connection was closed. Try again.
error-unknown = Something went wrong ({ $code }). Try again.

# The rules of single fields
error-username-blank = Enter a username.
error-username-long = Usernames can have at most { $count } characters.
error-username-characters = Usernames can use letters, digits and @ . + - _
error-username-letter = A username needs at least one letter or digit.
error-username = Choose another username.
error-name-blank = Enter a name with at least one visible character.
error-name-long = Names can have at most { $count } characters.
error-name-characters = Names can't contain invisible control characters.
error-name = Choose another name.
error-password-short = Your password needs at least { $count } characters.
error-password-long = Your password can have at most { $count } characters.
error-password-common = This password is too easy to guess. Choose another one.
error-password-new-common = Your new password is too easy to guess. Choose another one.
error-password = Choose another password.
error-password-old = That's not your current password.
error-message-blank = A message needs at least one visible character.
error-message-long = A message can have at most { $count } characters.
error-reply = The message you replied to no longer exists.
error-emoji = Choose a single emoji.

# The playground
play-waiting = Sent. Waiting for the response…
play-responded = { $status }, after { $took } ms
play-no-response = No response: the network or the server is down ({ $error }).
play-stopped = Stopped: the last response says what is wrong. Fix the body and send it yourself.
play-done = All four steps are done. The two sockets are below.

play-not-connected = not connected
play-opening = opening
play-open = open
play-closing = closing
play-sent = sent:
play-received = received:
play-replay = replayed
play-opened = The socket is open.
play-dropped = Connection dropped. This page no longer receives anything from it, not even its close.
play-no-resume = A base socket can't resume: it doesn't replay what it missed. The messages are stored, and a client has to read them over HTTP.
play-resume = Reconnecting to { $address }
play-replayed = { $count ->
    [0] Nothing happened in the meantime: nothing was lost.
    [one] { $count } event was replayed: nothing was lost.
   *[other] { $count } events were replayed in order: nothing was lost.
}
play-incomplete = Some of the replayed events are missing. This is a bug: please report it.
play-reset = The missed events can't be replayed. A client now loads the messages over HTTP and continues from here.
play-duplicate = “dup”: this message was already stored as event { $seq }, and is not stored twice.
play-missed = While you were away: { $number }
play-rejected = The handshake was rejected or got no answer: browsers don't say which. Either the cookie has no valid token or belongs to another user who logged in here (log in again), or you are not in this chat, or the network is down.
play-closed = Closed: { $close }. { $code ->
    [1000] You closed it.
    [1001] The server or the page is going away.
    [1002] A frame violated the WebSocket protocol.
    [1003] A binary frame was sent: only text frames are allowed.
    [1005] No close code was given.
    [1006] The connection was lost. A client reconnects with backoff.
    [1007] A frame was not valid JSON.
    [1008] The query of the URL is invalid.
    [1009] A frame was larger than 64 KiB.
    [1011] Internal server error. A client reconnects with backoff.
    [1012] The server is restarting. A client reconnects.
    [1013] A message could not be stored, or the server is overloaded. A client reconnects with backoff.
    [4401] The session has expired: refresh the token, or log in again.
    [4403] You are not in this chat, or no longer in it.
    [4404] The chat was deleted.
    [4409] You have too many open sockets: close one first.
    [4410] The session was revoked: log in again.
    [4501] The events have new numbers: open the socket again.
    [4508] The client received frames too slowly.
    [4512] The client did not answer a ping.
    [4529] The client sent too many frames.
   *[other] This page does not know the code.
}

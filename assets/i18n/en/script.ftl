# The texts of the page's scripts.

sign-in = Sign in
sign-up = Create an account
have-account = Have you been here before?
no-account = New here?
invited-sign = You are invited to a chat. Create an account or sign in to join it.
signed-out-elsewhere = You were signed out from elsewhere.
signed-out-expired = Your session has ended. Sign in again.
the-name = Name
the-username = Username
the-password = Password

status-connecting = Connecting…
status-catching = Catching up…
status-missing = { $count ->
    [one] Catching up one message…
   *[other] Catching up { $count } messages…
}
status-live = Connected
status-offline = Offline. What you write is kept, and sent later.
status-waiting = { $seconds ->
    [0] Offline. Trying…
    [one] Offline. Trying again in one second.
   *[other] Offline. Trying again in { $seconds } seconds.
}
status-blocked = { $seconds ->
    [0] The server is reachable, but WebSocket connections do not get through. A proxy in between probably blocks them. Trying again…
    [one] The server is reachable, but WebSocket connections do not get through. A proxy in between probably blocks them. Trying again in one second.
   *[other] The server is reachable, but WebSocket connections do not get through. A proxy in between probably blocks them. Trying again in { $seconds } seconds.
}
status-blocked-hint = For the operator: the proxy must use HTTP/1.1 and pass the headers Upgrade, Connection and Sec-WebSocket-Protocol. See the deploying guide.
status-no-socket = This page cannot open a connection. { $why }
status-too-many = This is open in too many places. Close one.
status-over = The server has refused this page ({ $code }). Load it again.

untitled = New chat
others = { $names } and { $more } more
nothing-said = Nothing was said yet
you-said = You: { $text }
they-said = { $name }: { $text }
unread = { $count ->
    [one] one unread message
   *[other] { $count } unread messages
}
list-comma = {", "}
loading = Loading…
beginning = This is where the chat begins.
new-messages = New
newer = { $count ->
    [one] One new message
   *[other] { $count } new messages
}
to-end = To the end
lost-chat = You are not in this chat any more.
too-many-chats = You are in more chats than one page can follow.

here-nobody = Nobody else is here
here = { $more ->
    [0] Here: { $names }
   *[other] Here: { $names } and { $more } more
}
here-count = { $count ->
    [one] One person is here
   *[other] { $count } people are here
}
typing-one = { $name } is writing…
typing-two = { $first } and { $second } are writing…
typing-many = { $count } people are writing…

nobody = System
deleted = This message was deleted.
in-reply = In reply to
reacted = { $more ->
    [0] { $emoji } by { $names }
   *[other] { $emoji } by { $names } and { $more } more
}
read-by = Read by { $names }
waiting = Waiting for the connection
sending = Sending…
stored = Sent
failed = Not sent. { $why }
editing = Editing your message
replying = Reply to { $name }: { $text }
too-long = { $count ->
    [one] One character too many
   *[other] { $count } characters too many
}
delete-title = Delete this message?
delete-yes = Delete

note-joined = { $name } has joined.
note-left = { $name } has left.
note-kicked = { $actor } has put out { $name }.
note-banned = { $actor } has put out { $name } for good.
note-owner = { $name } owns this chat now.
note-admin = { $actor } has made { $name } an admin.
note-member = { $actor } has made { $name } a member like others.
note-titled = { $actor } calls this chat { $title }.
note-untitled = { $actor } has taken the name of this chat away.

members = Members
role-owner = owner
role-admin = admin
role-member = member
you = you
yes = Yes
make-admin = Make admin
make-member = Make member
make-owner = Make owner
kick = Put out
ban = Ban
lift-ban = Let back in
withdraw = Withdraw
sure-owner = Make them the owner? You will be an admin.
sure-kick = Put them out of this chat? They can come back by an invite.
sure-ban = Put them out, and never let them back in?
sure-leave = You leave { $title }, and come back only by an invite.
sure-delete = { $title } is deleted for everybody, with all that was said in it.
copied = Copied
invite-by = By { $name }
used = { $count ->
    [0] not used yet
    [one] used once
   *[other] used { $count } times
}
uses-left = { $count ->
    [one] for one more
   *[other] for { $count } more
}
ends = ends { $when }

offer = { $name } (@{ $username }) invites you to { $title }.
offer-untitled = { $name } (@{ $username }) invites you to a chat.
invite-over = This invite has ended, or was used up. Ask for another one.

last-used = last used { $when }
this-device = this browser
end-session = Sign out
device-unknown = Unknown device
password-changed = The password was changed.
unsent = { $count ->
    [one] One message is not sent yet
   *[other] { $count } messages are not sent yet
}
unsent-lost = Signing out now loses what is not sent.
sign-out = Sign out

fault-login = Username or password is wrong.
fault-taken = This username is taken.
fault-field = { $field }: { $what }
fault-rate = { $seconds ->
    [0] That was too fast. Wait a moment.
    [one] That was too fast. Wait one second.
   *[other] That was too fast. Wait { $seconds } seconds.
}
fault-offline = The server cannot be reached.
fault-unavailable = The server cannot do this at the moment. Try again soon.
fault-not-member = You are not in this chat.
fault-not-found = There is no such thing here, or you may not see it.
fault-banned = You were put out of this chat for good.
fault-forbidden = You may not do this here.
fault-gone = This is gone.

# The playground
play-asking = Asked; no answer yet.
play-answered = { $status }, after { $took } ms
play-no-answer = No answer came: the network or the server is away ({ $error }).
play-stopped = Stopped: the last answer says what is wrong. Mend the body, and send it yourself.
play-done = All requests are answered; the sockets are being opened.

play-away = not connected
play-opening = opening
play-open = open
play-closing = closing
play-sent = sent:
play-received = received:
play-again = told again
play-opened = The socket is open.
play-dropped = Connection dropped. From here on this page hears nothing of it, not even its end.
play-no-resume = Base mode has no resume: what was said while you were away is not told again. It is stored, and a client would have to read it over HTTP.
play-resume = Coming back to { $address }
play-replayed = { $count ->
    [0] Nothing has happened meanwhile: nothing was lost.
    [one] One event was told again; nothing was lost.
   *[other] { $count } events were told again, in order; nothing was lost.
}
play-incomplete = Events are missing among those that were told again. That must not happen: please report it.
play-reset = What you missed cannot be told again. A client loads the messages over HTTP now, and goes on from here.
play-dup = “dup”: it was stored before, as event { $seq }, and is not stored twice.
play-meanwhile = While you were away: { $number }
play-refused = The handshake was refused, or nobody answered: a browser does not tell which. It may be that the cookie holds no live token, or that of somebody else who has logged in here meanwhile (log in again), that the group is not yours, or that the network is away.
play-closed = Closed: { $close }. { $code ->
    [1000] All is well: you have closed it.
    [1001] One of the two is going away.
    [1002] A frame broke the WebSocket protocol.
    [1003] A binary frame was sent; only text is read.
    [1005] No code was given.
    [1006] Nobody said goodbye: the network. A client comes back with backoff.
    [1007] What was sent is not JSON.
    [1008] The address asks for what cannot be.
    [1009] A frame was over 64 KiB.
    [1011] Something is wrong on the server. A client comes back with backoff.
    [1012] The server restarts. A client comes back.
    [1013] A post could not be stored, or too much is asked of the server. A client comes back with backoff.
    [4401] The session is over: refresh the token, or log in again.
    [4403] You are not, or no longer, a member of the group.
    [4404] The group was deleted.
    [4409] You have as many sockets as you may have: close another one first.
    [4410] The session was ended: log in again.
    [4501] The numbers mean something else now: open it anew.
    [4508] It took nothing of what came for half a minute.
    [4512] It did not answer a ping.
    [4529] It sent more frames than are read.
   *[other] This page does not know the code.
}
copy = Copy
leave = Leave this chat
delete-chat = Delete this chat for everybody

# The texts of the page's templates.

about = Chat that keeps every message, once and in order.
needs-script = This page needs JavaScript.

field-name = Your name
field-username = Username
field-password = Password

chats = Chats
new-chat = New chat
account = Account
no-chats = You are in no chat yet.
no-chats-hint = Or open the link that somebody has sent you.
start-first = Start your first chat
choose-chat = Choose a chat
choose-chat-hint = Or start one, and invite others by a link.
chat-name = Name of the chat
chat-name-example = Lunch
start = Start

back = Back to the chats
people = People and invites
messages = Messages
being-sent = Being sent
write = Write a message
send = Send
cancel = Cancel
close = Close
save = Save
try-now = Try now
load-again = Try again
more = Show more

edited = edited
message-actions = What to do with this message
react = React
reply = Reply
edit = Edit
delete = Delete
send-again = Send again
discard = Discard

invite = Invite
invite-hint = Whoever has the link can join, for a week.
invite-uses = For
uses-one = one person
uses-ten = ten people
uses-any = everybody who has it
make-link = Make a link
invite-link = Link
invites = Invites that are open
copy = Copy
deactivated = Deactivated
banned = May not come back
leave = Leave this chat
delete-chat = Delete this chat for everybody

sessions = Where you are signed in
sessions-hint = Each sign-in has its own line until it is ended. Whoever is signed out there has to know the password to come back.
end-others = Sign out everywhere else
sign-out = Sign out
change-password = Change password
change-password-hint = This signs you out everywhere else. You stay signed in here.
password-old = Current password
password-new = New password

invitation = Invitation
join = Join this chat

language = Language
for-developers = For developers
link-api = API
link-sockets = Sockets
link-playground = Playground

# The playground
play-title = Playground
play-about = This page shows what travels between a chat client and this server: the HTTP requests and their answers, and the frames of the sockets, as they are. Four steps lead from an account to two open sockets of one group. Everything is real: the account and the group are there afterwards.
play-about-modes = A base socket brings greetings and times, and forgets. A rich socket brings each event with its number, once and in order, and after a lost connection it goes on where it was. Drop both, post something meanwhile, come back, and see the difference.
play-links = Elsewhere on this server
play-link-chat = The chat
play-link-api = The HTTP API
play-link-sockets = The frames of the sockets
play-needs-script = This page needs JavaScript: it is the client that it shows.
play-all = Do all four
play-all-hint = For the impatient: register, log in, start a chat, open the sockets.
play-send = Send
play-body = Body, JSON
play-asked = The request
play-answer = The answer

play-register-title = 1. Register
play-register-about = Makes an account. The name and the password below were made up at random; take others if you like. What is wrong with them, the answer says.
play-login-title = 2. Log in
play-login-about = Buys two tokens. The access token is good for 15 minutes: when a later step is answered with 401, come back here. (The refresh token, good for 14 days, would buy a new one without the password.)
play-login-needs = Register first.
play-cookie = With this answer the server has also set the cookie “access”, which holds the same access token. Scripts cannot read it (HttpOnly), nor the header Set-Cookie that brought it; the browser sends it along when the base socket opens.
play-chat-title = 3. Start a chat
play-chat-about = Makes a group of which you are the owner, and tells the address of its socket. The access token goes along as a Bearer; the cookie alone is not enough here, so that no foreign page can start chats in your name.
play-chat-needs = Log in first.

play-sockets-title = 4. Open the sockets
play-sockets-about = Both lead to the same group, so that what you say on one is heard on the other. → is what you send, ← what you are sent.
play-sockets-needs = Start a chat first.
play-open-both = Open both
play-base-title = Base socket
play-base-about = Asks for no subprotocol, and shows the cookie. Any JSON is answered with the time; a message with a text is also stored, and the others hear that somebody has posted.
play-rich-title = Rich socket
play-rich-about = Offers the subprotocol of the rich protocol and, as a second one, the access token. It is told every event of the group. “Open” begins with what is new; “Come back” goes on after the last event that this page has.
play-state = State:
play-kept = What this page keeps, to come back with:
play-do-open = Open
play-do-close = Close
play-do-drop = Drop my connection now
play-do-back = Come back
play-do-meanwhile = Post something meanwhile
play-do-again = Send the last one again, same cid
play-handshake = The handshake
play-frames = Frames
play-as = Send as
play-as-message = A message
play-as-send = A frame “send”
play-as-raw = JSON, as typed
play-text = Text

language-name = English

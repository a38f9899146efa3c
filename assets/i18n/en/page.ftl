# The texts of the page's templates.

about = Chat that never loses a message.
needs-script = This page needs JavaScript.

field-name = Your name
field-username = Username
field-password = Password
username-hint = Letters, digits and @ . + - _
password-hint = At least 8 characters

sidebar = Sidebar
chats = Chats
new-chat = New chat
account = Account
no-chats = You don't have any chats yet.
no-chats-hint = Got an invite link? Open it to join a chat.
start-first = Start a chat
choose-chat = Select a chat
choose-chat-hint = Or start a new one and invite people with a link.
chat-name = Chat name
chat-name-example = Lunch
create-chat = Create chat

back = Back to chats
people = People and invites
messages = Messages
sending-messages = Sending
write = Write a message
send = Send
cancel = Cancel
close = Close
save = Save
try-now = Try now
load-again = Try again
show-more = Show more

edited = edited
message-actions = Message actions
react = React
reply = Reply
edit = Edit
delete = Delete
send-again = Send again
discard = Discard

invite = Invite people
invite-hint = Anyone with the link can join. It expires in 7 days and is shown only once.
invite-uses = Who can use it
uses-one = 1 person
uses-ten = 10 people
uses-any = Anyone
create-link = Create link
invite-link = Invite link
invites = Active invites
copy = Copy
deactivated = Deactivated
banned = Banned
leave-chat = Leave chat
delete-chat = Delete chat

sessions = Where you're signed in
sessions-hint = These devices are signed in. Sign out any you don't recognize.
end-others = Sign out of all other devices
sign-out = Sign out
change-password = Change password
change-password-hint = This signs you out everywhere else. You stay signed in here.
password-old = Current password
password-new = New password

invitation = Invitation
join = Join chat

language = Language
for-developers = For developers
link-api = API
link-sockets = Sockets
link-playground = Playground

# The playground
play-title = Playground
play-about = See what a chat client and this server send each other: HTTP requests, responses and WebSocket frames. Four steps take you from a new account to two open sockets in one chat. It's all real: the account and the chat stay after you leave.
play-about-modes = A base socket delivers greetings and the time, and keeps no history. A rich socket delivers every event with its number, exactly once and in order, and resumes after a lost connection. To see the difference, drop both connections, post a message, and reconnect.
play-links = More on this server
play-link-chat = Chat
play-link-api = HTTP API
play-link-sockets = WebSocket frames
play-needs-script = This page needs JavaScript: it runs a chat client in your browser.
play-all = Run all four steps
play-all-hint = Registers, logs in, starts a chat and opens the sockets.
play-send = Send
play-body = JSON body
play-request = Request
play-response = Response

play-register-title = 1. Register
play-register-about = Creates an account. The name and the password below are random; change them if you like. If the server rejects them, the response says what is wrong.
play-login-title = 2. Log in
play-login-about = Gets two tokens. The access token is valid for 15 minutes: if a later step returns 401, log in again. The refresh token is valid for 14 days and gets a new access token without the password.
play-login-needs = Register first.
play-cookie = The response also sets the cookie “access”, which holds the same access token. Scripts can't read the cookie (HttpOnly) or its Set-Cookie header. The browser sends the cookie when the base socket opens.
play-chat-title = 3. Start a chat
play-chat-about = Creates a chat that you own (a group in the API) and returns its WebSocket URL. The request sends the access token as a Bearer token. The cookie alone isn't enough here, so that other sites can't start chats in your name.
play-chat-needs = Log in first.

play-sockets-title = 4. Open the sockets
play-sockets-about = Both sockets belong to the same chat: a message sent on one arrives on the other. → marks what you send, ← what you receive.
play-sockets-needs = Start a chat first.
play-open-both = Open both
play-base-title = Base socket
play-base-about = Requests no subprotocol and sends the cookie. The server answers any JSON with the time. It also stores a message that has a text, and notifies the other members.
play-rich-title = Rich socket
play-rich-about = Offers the rich subprotocol and, as a second one, the access token. Receives every event of the chat. “Open” starts with new events; “Reconnect” resumes after the last event that this page received.
play-state = State:
play-position = Position to resume from:
play-do-open = Open
play-do-close = Close
play-do-drop = Drop connection
play-do-reconnect = Reconnect
play-do-post = Post a message over HTTP
play-do-resend = Resend last message (same cid)
play-handshake = Handshake
play-frames = Frames
play-as = Send as
play-as-message = Message
play-as-send = “send” frame
play-as-raw = Raw JSON
play-text = Text

language-name = English

//! The floor of the kernel: one thread that asks epoll, and writes once to each socket for all that a
//! round has brought its group.

use std::{
    collections::HashMap,
    io::{ErrorKind, Read},
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use mio::{Events, Interest, Poll, Token, net::TcpListener};
use salam_benches::Result;

use super::{
    ANSWER,
    socket::{Socket, put, unmask},
};

const LISTENER: Token = Token(usize::MAX);
const AT_ONCE: usize = 64 * 1024;
const A_LONG_TIME: Duration = Duration::from_secs(3600);

#[derive(Default)]
struct Group {
    members: Vec<usize>,
    /// Frames of this round.
    said: Vec<u8>,
}

struct Server {
    poll: Poll,
    listener: TcpListener,
    /// By their tokens; places of those that ended are not used again.
    sockets: Vec<Option<Socket>>,
    names: HashMap<Vec<u8>, usize>,
    groups: Vec<Group>,
    /// Groups in which something was said in this round.
    stirred: Vec<usize>,
}

pub fn serve(port: u16) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut listener = TcpListener::bind(address)?;
    let poll = Poll::new()?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut server = Server {
        poll,
        listener,
        sockets: Vec::new(),
        names: HashMap::new(),
        groups: Vec::new(),
        stirred: Vec::new(),
    };
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; AT_ONCE];
    loop {
        server.poll.poll(&mut events, Some(A_LONG_TIME))?;
        for event in &events {
            if event.token() == LISTENER {
                server.accept()?;
            } else if server.attend(event.token().0, &mut buffer).is_err() {
                server.close(event.token().0);
            }
        }
        server.tell();
    }
}

impl Server {
    fn accept(&mut self) -> Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            stream.set_nodelay(true)?;
            let token = Token(self.sockets.len());
            let both = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, token, both)?;
            self.sockets.push(Some(Socket::new(stream)));
        }
    }

    /// Takes what a socket has said; an error ends it.
    fn attend(&mut self, number: usize, buffer: &mut [u8]) -> Result<()> {
        let Some(Some(socket)) = self.sockets.get_mut(number) else {
            return Ok(());
        };
        socket.write(&[])?;
        loop {
            let read = match socket.stream.read(buffer) {
                Ok(0) => return Err("closed".into()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            };
            socket
                .inbox
                .extend_from_slice(buffer.get(..read).unwrap_or_default());
            if read < buffer.len() {
                break;
            }
        }
        let mut inbox = std::mem::take(&mut socket.inbox);
        let used = if socket.open {
            self.hear(number, &mut inbox)?
        } else {
            self.open(number, &inbox)?
        };
        if let Some(Some(socket)) = self.sockets.get_mut(number) {
            socket.inbox = inbox.get(used..).unwrap_or_default().to_vec();
        }
        Ok(())
    }

    /// The upgrade, once its request is whole; how many bytes that had.
    fn open(&mut self, number: usize, request: &[u8]) -> Result<usize> {
        if !request.ends_with(b"\r\n\r\n") {
            return Ok(0);
        }
        let text = std::str::from_utf8(request)?;
        let key = text
            .lines()
            .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
        let key = tungstenite::handshake::derive_accept_key(key.unwrap_or_default().as_bytes());
        let path = text.split(' ').nth(1).unwrap_or_default();
        let group = path
            .strip_prefix("/fan?")
            .map(|name| self.enter(name.as_bytes(), number));
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {key}\r\n\r\n"
        );
        if let Some(Some(socket)) = self.sockets.get_mut(number) {
            (socket.group, socket.open) = (group, true);
            socket.write(answer.as_bytes())?;
        }
        Ok(request.len())
    }

    fn enter(&mut self, name: &[u8], number: usize) -> usize {
        let next = self.groups.len();
        let index = *self.names.entry(name.to_vec()).or_insert(next);
        if index == next {
            self.groups.push(Group::default());
        }
        if let Some(group) = self.groups.get_mut(index) {
            group.members.push(number);
        }
        index
    }

    /// Texts go to the group, or are answered; how many bytes were whole frames.
    fn hear(&mut self, number: usize, inbox: &mut [u8]) -> Result<usize> {
        let mut used = 0;
        let mut answers = Vec::new();
        let Some(Some(socket)) = self.sockets.get_mut(number) else {
            return Ok(0);
        };
        while let Some((text, length)) = unmask(inbox.get_mut(used..).unwrap_or_default())? {
            used += length;
            match socket
                .group
                .and_then(|group| Some((group, self.groups.get_mut(group)?)))
            {
                None => put(&mut answers, ANSWER.as_bytes()),
                Some((index, group)) => {
                    if group.said.is_empty() {
                        self.stirred.push(index);
                    }
                    put(&mut group.said, text);
                }
            }
        }
        socket.write(&answers)?;
        Ok(used)
    }

    /// Tells each group what was said in this round.
    fn tell(&mut self) {
        for index in std::mem::take(&mut self.stirred) {
            let Some(group) = self.groups.get_mut(index) else {
                continue;
            };
            for &member in &group.members {
                if let Some(Some(socket)) = self.sockets.get_mut(member) {
                    // One that is over is told so by the next event.
                    let _ = socket.write(&group.said);
                }
            }
            group.said.clear();
        }
    }

    fn close(&mut self, number: usize) {
        let socket = self.sockets.get_mut(number).and_then(Option::take);
        let group = socket.and_then(|socket| socket.group);
        if let Some(group) = group.and_then(|group| self.groups.get_mut(group)) {
            group.members.retain(|&member| member != number);
        }
    }
}

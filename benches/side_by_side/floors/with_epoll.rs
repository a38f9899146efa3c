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
    REPLY_TEXT,
    socket::{BaselineSocket, append_text_frame, read_masked_text},
};

const LISTENER: Token = Token(usize::MAX);
const READ_BUFFER_BYTES: usize = 64 * 1024;
const POLL_TIMEOUT: Duration = Duration::from_secs(3600);

#[derive(Default)]
struct EpollGroup {
    members: Vec<usize>,
    /// Frames of this round.
    pending_frames: Vec<u8>,
}

struct EpollServer {
    poll: Poll,
    listener: TcpListener,
    /// By their tokens; places of those that ended are not used again.
    sockets: Vec<Option<BaselineSocket>>,
    names: HashMap<Vec<u8>, usize>,
    groups: Vec<EpollGroup>,
    /// Groups in which something was said in this round.
    groups_with_frames: Vec<usize>,
}

pub fn serve(port: u16) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut listener = TcpListener::bind(address)?;
    let poll = Poll::new()?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut server = EpollServer {
        poll,
        listener,
        sockets: Vec::new(),
        names: HashMap::new(),
        groups: Vec::new(),
        groups_with_frames: Vec::new(),
    };
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; READ_BUFFER_BYTES];
    loop {
        server.poll.poll(&mut events, Some(POLL_TIMEOUT))?;
        for event in &events {
            if event.token() == LISTENER {
                server.accept()?;
            } else if server.read_socket(event.token().0, &mut buffer).is_err() {
                server.close(event.token().0);
            }
        }
        server.flush_groups();
    }
}

impl EpollServer {
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
            self.sockets.push(Some(BaselineSocket::new(stream)));
        }
    }

    /// Takes what a socket has said; an error ends it.
    fn read_socket(&mut self, number: usize, buffer: &mut [u8]) -> Result<()> {
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
        let used = if socket.is_open {
            self.process_frames(number, &mut inbox)?
        } else {
            self.upgrade(number, &inbox)?
        };
        if let Some(Some(socket)) = self.sockets.get_mut(number) {
            socket.inbox = inbox.get(used..).unwrap_or_default().to_vec();
        }
        Ok(())
    }

    /// The upgrade, once its request is whole; how many bytes that had.
    fn upgrade(&mut self, number: usize, request: &[u8]) -> Result<usize> {
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
            .map(|name| self.join_group(name.as_bytes(), number));
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {key}\r\n\r\n"
        );
        if let Some(Some(socket)) = self.sockets.get_mut(number) {
            (socket.group, socket.is_open) = (group, true);
            socket.write(answer.as_bytes())?;
        }
        Ok(request.len())
    }

    fn join_group(&mut self, name: &[u8], number: usize) -> usize {
        let next = self.groups.len();
        let index = *self.names.entry(name.to_vec()).or_insert(next);
        if index == next {
            self.groups.push(EpollGroup::default());
        }
        if let Some(group) = self.groups.get_mut(index) {
            group.members.push(number);
        }
        index
    }

    /// Texts go to the group, or are answered; how many bytes were whole frames.
    fn process_frames(&mut self, number: usize, inbox: &mut [u8]) -> Result<usize> {
        let mut used = 0;
        let mut answers = Vec::new();
        let Some(Some(socket)) = self.sockets.get_mut(number) else {
            return Ok(0);
        };
        while let Some((text, length)) =
            read_masked_text(inbox.get_mut(used..).unwrap_or_default())?
        {
            used += length;
            match socket
                .group
                .and_then(|group| Some((group, self.groups.get_mut(group)?)))
            {
                None => append_text_frame(&mut answers, REPLY_TEXT.as_bytes()),
                Some((index, group)) => {
                    if group.pending_frames.is_empty() {
                        self.groups_with_frames.push(index);
                    }
                    append_text_frame(&mut group.pending_frames, text);
                }
            }
        }
        socket.write(&answers)?;
        Ok(used)
    }

    /// Tells each group what was said in this round.
    fn flush_groups(&mut self) {
        for index in std::mem::take(&mut self.groups_with_frames) {
            let Some(group) = self.groups.get_mut(index) else {
                continue;
            };
            for &member in &group.members {
                if let Some(Some(socket)) = self.sockets.get_mut(member) {
                    // One that is over is told so by the next event.
                    let _ = socket.write(&group.pending_frames);
                }
            }
            group.pending_frames.clear();
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

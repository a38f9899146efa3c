//! The epoll baseline: one thread, which writes once to each socket for all texts that a poll
//! brought to its group.

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
    /// The frames of the current poll.
    pending_frames: Vec<u8>,
}

struct EpollServer {
    poll: Poll,
    listener: TcpListener,
    /// The sockets by their tokens. Indices of closed sockets are not reused.
    sockets: Vec<Option<BaselineSocket>>,
    names: HashMap<Vec<u8>, usize>,
    groups: Vec<EpollGroup>,
    /// The groups that received texts in the current poll.
    groups_with_frames: Vec<usize>,
}

/// Serves until the process is killed.
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
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll
                .registry()
                .register(&mut stream, token, interest)?;
            self.sockets.push(Some(BaselineSocket::new(stream)));
        }
    }

    /// Reads from a socket and processes its bytes. An error closes the socket.
    fn read_socket(&mut self, index: usize, buffer: &mut [u8]) -> Result<()> {
        let Some(Some(socket)) = self.sockets.get_mut(index) else {
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
            self.process_frames(index, &mut inbox)?
        } else {
            self.upgrade(index, &inbox)?
        };
        if let Some(Some(socket)) = self.sockets.get_mut(index) {
            socket.inbox = inbox.get(used..).unwrap_or_default().to_vec();
        }
        Ok(())
    }

    /// Processes the upgrade request once it is complete. Returns its length, or 0.
    fn upgrade(&mut self, index: usize, request: &[u8]) -> Result<usize> {
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
            .map(|name| self.join_group(name.as_bytes(), index));
        let response = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {key}\r\n\r\n"
        );
        if let Some(Some(socket)) = self.sockets.get_mut(index) {
            (socket.group, socket.is_open) = (group, true);
            socket.write(response.as_bytes())?;
        }
        Ok(request.len())
    }

    fn join_group(&mut self, name: &[u8], socket_index: usize) -> usize {
        let next = self.groups.len();
        let index = *self.names.entry(name.to_vec()).or_insert(next);
        if index == next {
            self.groups.push(EpollGroup::default());
        }
        if let Some(group) = self.groups.get_mut(index) {
            group.members.push(socket_index);
        }
        index
    }

    /// Queues texts for their group, or replies to them. Returns the length of all complete frames.
    fn process_frames(&mut self, index: usize, inbox: &mut [u8]) -> Result<usize> {
        let mut used = 0;
        let mut replies = Vec::new();
        let Some(Some(socket)) = self.sockets.get_mut(index) else {
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
                None => append_text_frame(&mut replies, REPLY_TEXT.as_bytes()),
                Some((group_index, group)) => {
                    if group.pending_frames.is_empty() {
                        self.groups_with_frames.push(group_index);
                    }
                    append_text_frame(&mut group.pending_frames, text);
                }
            }
        }
        socket.write(&replies)?;
        Ok(used)
    }

    /// Writes the texts of the current poll to all sockets of their groups.
    fn flush_groups(&mut self) {
        for index in std::mem::take(&mut self.groups_with_frames) {
            let Some(group) = self.groups.get_mut(index) else {
                continue;
            };
            for &member in &group.members {
                if let Some(Some(socket)) = self.sockets.get_mut(member) {
                    // A socket that is closed gets an event of its own in the next poll.
                    let _ = socket.write(&group.pending_frames);
                }
            }
            group.pending_frames.clear();
        }
    }

    fn close(&mut self, index: usize) {
        let socket = self.sockets.get_mut(index).and_then(Option::take);
        let group = socket.and_then(|socket| socket.group);
        if let Some(group) = group.and_then(|group| self.groups.get_mut(group)) {
            group.members.retain(|&member| member != index);
        }
    }
}

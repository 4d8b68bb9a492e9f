//! Stands between a store and its server, and loses connections when it is told to.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::{Arc, Mutex},
    thread,
};

/// What happens to the next COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It passes, as all else does.
    Passes,
    /// It does not reach the server, and the connection is lost.
    IsLost,
    /// It reaches the server, and the connection is lost before the answer.
    AnswerIsLost,
}

/// A port of this machine behind which is the server.
pub(crate) struct Proxy {
    port: u16,
    fate: Arc<Mutex<Fate>>,
}

impl Proxy {
    pub(crate) fn new(server: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let fate = Arc::new(Mutex::new(Fate::Passes));
        let fates = Arc::clone(&fate);
        thread::spawn(move || {
            for client in listener.incoming() {
                pass(client.unwrap(), UnixStream::connect(&server).unwrap(), &fates);
            }
        });
        Self { port, fate }
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    pub(crate) fn next_commit(&self, fate: Fate) {
        *self.fate.lock().unwrap() = fate;
    }

    /// Whether the fate was met.
    pub(crate) fn is_done(&self) -> bool {
        *self.fate.lock().unwrap() == Fate::Passes
    }
}

fn pass(client: TcpStream, server: UnixStream, fates: &Arc<Mutex<Fate>>) {
    let swallows = Arc::new(Mutex::new(false));
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (fates, swallowed) = (Arc::clone(fates), Arc::clone(&swallows));
    thread::spawn(move || {
        let mut buffer = [0; 65536];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let message = &buffer[..length];
            if message.windows(7).any(|window| window == b"COMMIT\0") {
                match std::mem::replace(&mut *fates.lock().unwrap(), Fate::Passes) {
                    Fate::Passes => {}
                    Fate::IsLost => break,
                    Fate::AnswerIsLost => *swallowed.lock().unwrap() = true,
                }
            }
            if to.write_all(message).is_err() {
                break;
            }
        }
        // Both may be gone already.
        drop((from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both)));
    });
    thread::spawn(move || {
        let (mut from, mut to) = (server, client);
        let mut buffer = [0; 65536];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            if *swallows.lock().unwrap() || to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        drop((from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both)));
    });
}

//! A line between workers and the emulator that is cut, delayed, stalled, or goes deaf on one side.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It passes on what is said.
    Flows,
    /// It is closed, both ways.
    Cut,
    /// What the server says is lost from now on; what the client says is not.
    LosesReplies,
    /// What the client says is lost from now on; what the server says is not.
    LosesRequests,
    /// The client hears that the server has nothing more to say; what the client says is passed on.
    HalfClosed,
}

/// The proxy. It ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    host: String,
    line: Arc<Line>,
    accepting: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Line {
    /// The longest that a piece of what is said is held back, in milliseconds.
    delay: AtomicU64,
    stalled: AtomicBool,
    refuses: AtomicBool,
    numbers: AtomicU64,
    connections: Mutex<HashMap<u64, watch::Sender<Fate>>>,
}

impl Proxy {
    /// A line to this server, on a port of its own.
    ///
    /// # Errors
    ///
    /// When no port is free.
    pub async fn start(server: String) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let host = listener.local_addr()?.to_string();
        let line = Arc::new(Line::default());
        let accepting = tokio::spawn(accept(listener, server, line.clone()));
        Ok(Self {
            host,
            line,
            accepting,
        })
    }

    /// Its address, as in `127.0.0.1:8080`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Gives each connection this fate with a probability. Returns how many it met.
    pub fn strike(&self, fate: Fate, rng: &mut fastrand::Rng, probability: f64) -> u64 {
        let mut met = 0;
        for connection in self.line.connections().values() {
            if rng.f64() < probability && connection.send(fate).is_ok() {
                met += 1;
            }
        }
        met
    }

    /// From now on pieces are held back for up to this long.
    pub fn delay(&self, longest: Duration) {
        let millis = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        self.line.delay.store(millis, Relaxed);
    }

    /// Whether nothing passes, though nothing is closed.
    pub fn stall(&self, stalled: bool) {
        self.line.stalled.store(stalled, Relaxed);
    }

    /// Whether new connections are closed at once.
    pub fn refuse(&self, refuses: bool) {
        self.line.refuses.store(refuses, Relaxed);
    }

    /// Treats everybody well from now on. What has gone deaf stays so.
    pub fn calm(&self) {
        self.delay(Duration::ZERO);
        self.stall(false);
        self.refuse(false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        for connection in self.line.connections().values() {
            // It may have ended by itself.
            let _ = connection.send(Fate::Cut);
        }
    }
}

impl Line {
    fn connections(&self) -> MutexGuard<'_, HashMap<u64, watch::Sender<Fate>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds back what was said.
    async fn hold_back(&self) {
        let delay = self.delay.load(Relaxed);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(fastrand::u64(0..=delay))).await;
        }
        while self.stalled.load(Relaxed) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn accept(listener: TcpListener, server: String, line: Arc<Line>) {
    while let Ok((client, _)) = listener.accept().await {
        if line.refuses.load(Relaxed) {
            continue;
        }
        let (line, server) = (line.clone(), server.clone());
        tokio::spawn(async move {
            // A server that is frozen still accepts; one that is gone ends the connection.
            if let Ok(server) = TcpStream::connect(server).await {
                connect(client, server, &line).await;
            }
        });
    }
}

async fn connect(client: TcpStream, server: TcpStream, line: &Line) {
    // Held back pieces are held back by us only.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let number = line.numbers.fetch_add(1, Relaxed);
    let (sender, fate) = watch::channel(Fate::Flows);
    line.connections().insert(number, sender);
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let requests = pass_on(from_client, to_server, fate.clone(), Fate::LosesRequests, line);
    let replies = pass_on(from_server, to_client, fate.clone(), Fate::LosesReplies, line);
    tokio::select! {
        ((), ()) = async { tokio::join!(requests, replies) } => {}
        () = is_cut(fate) => {}
    }
    line.connections().remove(&number);
}

async fn is_cut(mut fate: watch::Receiver<Fate>) {
    // The sender lives as long as the connection.
    let _ = fate.wait_for(|fate| *fate == Fate::Cut).await;
}

async fn is_half_closed(fate: &mut watch::Receiver<Fate>) {
    let _ = fate.wait_for(|fate| *fate == Fate::HalfClosed).await;
}

/// Passes on one direction, until it ends or its fate is to lose what is said.
async fn pass_on(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut fate: watch::Receiver<Fate>,
    deaf: Fate,
    line: &Line,
) {
    let mut piece = vec![0; 16 * 1024];
    let is_reply = deaf == Fate::LosesReplies;
    loop {
        let read = tokio::select! {
            read = from.read(&mut piece) => read,
            () = is_half_closed(&mut fate), if is_reply => break,
        };
        let Ok(length @ 1..) = read else { break };
        line.hold_back().await;
        if *fate.borrow() != deaf && to.write_all(&piece[..length]).await.is_err() {
            break;
        }
    }
    // The other side is told that nothing more follows.
    let _ = to.shutdown().await;
    if is_reply {
        // What the server still says is read, and lost.
        while let Ok(1..) = from.read(&mut piece).await {}
    }
}

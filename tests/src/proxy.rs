//! A TCP proxy in front of the Firestore emulator that injects faults into connections.

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

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// Both directions work.
    Healthy,
    /// The connection is closed in both directions.
    Cut,
    /// All further bytes from the server are dropped.
    LosesReplies,
    /// All further bytes from the client are dropped.
    LosesRequests,
    /// The client reads the end of the stream. Its own bytes still reach the server.
    HalfClosed,
}

/// The proxy. It stops when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    host: String,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The longest delay of a chunk, in milliseconds.
    delay: AtomicU64,
    stalled: AtomicBool,
    refuses: AtomicBool,
    next_number: AtomicU64,
    connections: Mutex<HashMap<u64, watch::Sender<ConnectionState>>>,
}

impl Proxy {
    /// Starts a proxy of this server on a free port.
    ///
    /// # Errors
    ///
    /// Returns an error if no port is free.
    pub async fn start(server: String) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let host = listener.local_addr()?.to_string();
        let shared = Arc::new(Shared::default());
        let accepting = tokio::spawn(accept(listener, server, shared.clone()));
        Ok(Self {
            host,
            shared,
            accepting,
        })
    }

    /// Returns the proxy's address, for example `127.0.0.1:8080`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Sets the state of each open connection with this probability. Returns the number of changed connections.
    pub fn disturb(&self, state: ConnectionState, rng: &mut fastrand::Rng, probability: f64) -> u64 {
        let mut changed = 0;
        for connection in self.shared.connections().values() {
            if rng.f64() < probability && connection.send(state).is_ok() {
                changed += 1;
            }
        }
        changed
    }

    /// Delays every chunk by a random time of at most `longest`.
    pub fn delay(&self, longest: Duration) {
        let millis = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        self.shared.delay.store(millis, Relaxed);
    }

    /// Sets whether all chunks are held back. Connections stay open.
    pub fn stall(&self, stalled: bool) {
        self.shared.stalled.store(stalled, Relaxed);
    }

    /// Sets whether new connections are closed at once.
    pub fn refuse(&self, refuses: bool) {
        self.shared.refuses.store(refuses, Relaxed);
    }

    /// Ends all faults, except for the states of connections that [`disturb`](Self::disturb) has changed.
    pub fn heal(&self) {
        self.delay(Duration::ZERO);
        self.stall(false);
        self.refuse(false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        for connection in self.shared.connections().values() {
            // The connection may have ended already.
            let _ = connection.send(ConnectionState::Cut);
        }
    }
}

impl Shared {
    fn connections(&self) -> MutexGuard<'_, HashMap<u64, watch::Sender<ConnectionState>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds back a chunk while the proxy delays or stalls.
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

async fn accept(listener: TcpListener, server: String, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        if shared.refuses.load(Relaxed) {
            continue;
        }
        let (shared, server) = (shared.clone(), server.clone());
        tokio::spawn(async move {
            // A frozen server still accepts. If there is no server, the client's connection is closed.
            if let Ok(server) = TcpStream::connect(server).await {
                forward(client, server, &shared).await;
            }
        });
    }
}

/// Forwards both directions of a connection until it ends or is cut.
async fn forward(client: TcpStream, server: TcpStream, shared: &Shared) {
    // Only the proxy's own faults may delay a chunk.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let number = shared.next_number.fetch_add(1, Relaxed);
    let (sender, state) = watch::channel(ConnectionState::Healthy);
    shared.connections().insert(number, sender);
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let requests = copy(
        from_client,
        to_server,
        state.clone(),
        ConnectionState::LosesRequests,
        shared,
    );
    let replies = copy(
        from_server,
        to_client,
        state.clone(),
        ConnectionState::LosesReplies,
        shared,
    );
    tokio::select! {
        ((), ()) = async { tokio::join!(requests, replies) } => {}
        () = until_state(state, ConnectionState::Cut) => {}
    }
    shared.connections().remove(&number);
}

async fn until_state(mut state: watch::Receiver<ConnectionState>, expected: ConnectionState) {
    // The sender outlives the connection.
    let _ = state.wait_for(|state| *state == expected).await;
}

/// Copies one direction until it ends. Drops its chunks while the connection is in the state `dropping`.
async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    state: watch::Receiver<ConnectionState>,
    dropping: ConnectionState,
    shared: &Shared,
) {
    let mut chunk = vec![0; 16 * 1024];
    let is_reply = dropping == ConnectionState::LosesReplies;
    loop {
        let read = tokio::select! {
            read = from.read(&mut chunk) => read,
            () = until_state(state.clone(), ConnectionState::HalfClosed), if is_reply => break,
        };
        let Ok(length @ 1..) = read else { break };
        shared.hold_back().await;
        if *state.borrow() != dropping && to.write_all(&chunk[..length]).await.is_err() {
            break;
        }
    }
    // The receiver reads the end of the stream.
    let _ = to.shutdown().await;
    if is_reply {
        // Further replies are read and dropped, so that the server does not block.
        while let Ok(1..) = from.read(&mut chunk).await {}
    }
}

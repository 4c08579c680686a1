//! The broker over TCP: sockets, frames and waiting around [`Broker::handle`]. Edge code: it owns the runtime's tasks, and the
//! only clock it knows is handed in.
//!
//! ```text
//!  accept --> connection (a task each, on a worker):  frame --shape--> decode --> Broker::handle --> encode --> write
//!                                                                       | Parked, or a Fetch without enough: wait
//!  ticker --> Broker::tick
//! ```
//!
//! A connection serves one request at a time, so that responses leave in the order of the requests, as clients rely on.
//! Whatever is wrong with a request closes its connection alone.

mod admission;
mod authentication;
mod busy;
mod connection;
mod fetch;
mod frame;
mod listen;
mod responses;
mod send;
pub mod shape;
mod workers;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, available_parallelism};
use std::time::Duration;

use streams_core::time::Clock;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::{Listener, NetworkConfig};
use crate::handler::Broker;
use admission::{Admission, Refused};
use connection::Connection;
use listen::next_stream;
pub use listen::{BindError, BoundListener, bind};
use workers::Workers;

/// How often what depends on time is driven, see [`Broker::tick`].
const TICK_INTERVAL: Duration = Duration::from_millis(100);
/// How long to wait after a failed accept: the process is out of file descriptors, and one may be closed meanwhile.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What the connections of a server share.
#[derive(Debug)]
struct Shared {
    broker: Arc<Broker>,
    clock: Arc<dyn Clock>,
    admission: Arc<Admission>,
}

impl Shared {
    fn network(&self) -> &NetworkConfig {
        &self.broker.config().network
    }

    /// With what administrators changed since the start.
    fn live_network(&self) -> NetworkConfig {
        self.broker.live_config().network.clone()
    }
}

/// Serves `broker` on its listeners until `shutdown` becomes true, then closes the connections and returns. The broker stays
/// open: closing it is its owner's.
///
/// Connections are served by threads of their own, as many as the machine runs at a time.
///
/// # Errors
/// If those threads cannot be started.
pub async fn serve(
    broker: Arc<Broker>,
    clock: Arc<dyn Clock>,
    listeners: Vec<BoundListener>,
    shutdown: watch::Receiver<bool>,
) -> io::Result<()> {
    let workers = Arc::new(Workers::start(available_parallelism()?)?);
    let shared = Arc::new(Shared {
        admission: Admission::new(broker.config().quota_window),
        broker,
        clock,
    });
    let ticker = tokio::spawn(tick(shared.clone()));
    let syncer = shared
        .broker
        .config()
        .log
        .group_commit
        .then(|| start_syncer(&shared));
    let cancelled = Arc::new(AtomicBool::new(false));
    let cleaner = tokio::spawn(clean(shared.clone(), cancelled.clone()));
    let mut accepting = JoinSet::new();
    for bound in listeners {
        accepting.spawn(accept(bound, shared.clone(), workers.clone(), shutdown.clone()));
    }
    while accepting.join_next().await.is_some() {}
    if let Some(workers) = Arc::into_inner(workers) {
        workers.stop().await;
    }
    ticker.abort();
    if let Some((stop, thread)) = syncer {
        stop.store(true, Ordering::Relaxed);
        let _ = tokio::task::spawn_blocking(move || thread.join()).await;
    }
    // What is being compacted ends by itself before the logs are closed.
    cancelled.store(true, Ordering::Relaxed);
    if cleaner.await.is_err() {
        tracing::error!("compaction panicked; logs were not compacted since");
    }
    Ok(())
}

async fn accept(
    bound: BoundListener,
    shared: Arc<Shared>,
    workers: Arc<Workers>,
    mut shutdown: watch::Receiver<bool>,
) {
    let listener = Arc::new(bound.listener);
    let mut connections = JoinSet::new();
    // Outlives each round, so that no connection is lost between being accepted and being let in.
    let name: Arc<str> = listener.name.as_str().into();
    let mut next = pin!(next_connection(&bound.socket, &name, &shared));
    loop {
        tokio::select! {
            () = stopped(&mut shutdown) => break,
            (stream, peer) = &mut next => {
                let worker = workers.next();
                if let Err(error) = welcome(stream, peer, &listener, &shared, worker, &mut connections) {
                    tracing::warn!(%peer, %error, "a connection could not be served");
                }
                next.set(next_connection(&bound.socket, &name, &shared));
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
    connections.shutdown().await;
}

/// The next connection, when there is room for it.
async fn next_connection(socket: &TcpListener, name: &Arc<str>, shared: &Shared) -> (TcpStream, SocketAddr) {
    loop {
        match next_stream(socket).await {
            Ok(accepted) => {
                let network = shared.live_network();
                let wait = shared.admission.arrived(&network, name, shared.clock.now_ms());
                tokio::time::sleep(wait).await;
                shared
                    .admission
                    .wait_for_room(|| shared.live_network(), name)
                    .await;
                return accepted;
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// Serves a connection, unless its address has too many.
fn welcome(
    stream: TcpStream,
    peer: SocketAddr,
    listener: &Arc<Listener>,
    shared: &Arc<Shared>,
    worker: &Handle,
    connections: &mut JoinSet<()>,
) -> io::Result<()> {
    let name: Arc<str> = listener.name.as_str().into();
    let (network, cluster) = (shared.live_network(), shared.broker.cluster().current());
    let now_ms = shared.clock.now_ms();
    match shared
        .admission
        .admit(&network, cluster.limits(), &name, peer.ip(), now_ms)
    {
        Ok(place) => {
            // From the runtime that accepted it to the worker's.
            let stream = stream.into_std()?;
            let (listener, shared) = (listener.clone(), shared.clone());
            let served = async move {
                match TcpStream::from_std(stream) {
                    Ok(stream) => {
                        let connection = Connection::new(stream, peer, listener, shared);
                        serve_connection(connection, peer).await;
                    }
                    Err(error) => tracing::warn!(%peer, %error, "a connection could not be served"),
                }
                drop(place);
            };
            connections.spawn_on(served, worker);
        }
        Err(Refused::TooMany) => {
            tracing::warn!(%peer, "connection refused: max.connections.per.ip is reached");
        }
        Err(Refused::TooFast(wait)) => {
            tracing::debug!(%peer, "connection refused: connection_creation_rate is reached");
            if let Some(held_back) = shared.admission.hold_back() {
                connections.spawn(async move {
                    tokio::time::sleep(wait).await;
                    drop((stream, held_back));
                });
            }
        }
    }
    Ok(())
}

/// Returns when the server is to stop, or when nobody is left who could say so.
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}

async fn serve_connection(connection: Connection, peer: SocketAddr) {
    tracing::debug!(%peer, "connected");
    match connection.run().await {
        Ok(()) => tracing::debug!(%peer, "disconnected"),
        Err(error) if error.is_disconnect() => tracing::debug!(%peer, %error, "disconnected"),
        Err(error) => tracing::warn!(%peer, %error, "connection closed"),
    }
}

async fn tick(shared: Arc<Shared>) {
    let mut interval = tokio::time::interval(TICK_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let shared = shared.clone();
        // Retention and compaction read and write files: not on a thread that serves connections.
        let errors = tokio::task::spawn_blocking(move || shared.broker.tick(shared.clock.now_ms())).await;
        for error in errors.into_iter().flatten() {
            tracing::error!(%error, "maintenance failed");
        }
    }
}

/// Compacts, on a thread that may be busy for long.
async fn clean(shared: Arc<Shared>, cancelled: Arc<AtomicBool>) {
    if shared.broker.config().cleaner_interval_ms <= 0 {
        return;
    }
    let mut waited_ms = 0;
    while !cancelled.load(Ordering::Relaxed) {
        tokio::time::sleep(TICK_INTERVAL).await;
        waited_ms += TICK_INTERVAL.as_millis() as i64;
        // Looked at each time: administrators may change it.
        if waited_ms < shared.broker.live_config().cleaner_interval_ms {
            continue;
        }
        waited_ms = 0;
        let (shared, cancelled) = (shared.clone(), cancelled.clone());
        let compact = move || shared.broker.compact(shared.clock.now_ms(), &cancelled);
        for error in tokio::task::spawn_blocking(compact).await.into_iter().flatten() {
            tracing::error!(%error, "compaction failed");
        }
    }
}

/// The thread of group commit: it spends its life waiting for the disk.
fn start_syncer(shared: &Arc<Shared>) -> (Arc<AtomicBool>, JoinHandle<()>) {
    let stop = Arc::new(AtomicBool::new(false));
    let (broker, stopped) = (shared.broker.clone(), stop.clone());
    let thread = std::thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            for error in broker.topics().sync_round(TICK_INTERVAL) {
                tracing::error!(%error, "a log could not be synced");
            }
        }
    });
    (stop, thread)
}

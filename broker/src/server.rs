//! The broker over TCP: sockets, frames and waiting around [`Broker::handle`]. Edge code: it owns the runtime's tasks, and the
//! only clock it knows is handed in.
//!
//! ```text
//!  accept --> connection (a task each):  frame --shape--> decode --> Broker::handle --> encode --> write
//!                                                                       | Parked, or a Fetch without enough: wait
//!  ticker --> Broker::tick
//! ```
//!
//! A connection serves one request at a time, so that responses leave in the order of the requests, as clients rely on.
//! Whatever is wrong with a request closes its connection alone.

mod authentication;
mod connection;
mod fetch;
mod frame;
mod send;
pub mod shape;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use streams_core::time::Clock;
use tokio::net::{TcpListener, TcpSocket, lookup_host};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::config::{Listener, NetworkConfig};
use crate::handler::Broker;
use connection::Connection;

/// How often what depends on time is driven, see [`Broker::tick`].
const TICK_INTERVAL: Duration = Duration::from_millis(100);
/// How long to wait after a failed accept: the process is out of file descriptors, and one may be closed meanwhile.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What the connections of a server share.
#[derive(Debug)]
struct Shared {
    broker: Arc<Broker>,
    clock: Arc<dyn Clock>,
    connections_by_host: Mutex<HashMap<IpAddr, usize>>,
}

impl Shared {
    fn network(&self) -> &NetworkConfig {
        &self.broker.config().network
    }
}

/// A listener of the configuration, with the socket that was opened for it.
#[derive(Debug)]
pub struct BoundListener {
    /// What it is, with the port that was really taken.
    pub listener: Listener,
    /// Where it listens.
    pub address: SocketAddr,
    socket: TcpListener,
}

/// Opens the sockets of `listeners`. A port of 0 takes a free one; clients are then told that one, unless something else is
/// advertised.
///
/// # Errors
/// An address that cannot be listened on.
pub async fn bind(listeners: &[Listener], backlog: u32) -> Result<Vec<BoundListener>, BindError> {
    let mut bound = Vec::new();
    for listener in listeners {
        let host = match listener.host.as_str() {
            "" => "0.0.0.0",
            host => host,
        };
        let failed = |source| BindError {
            name: listener.name.clone(),
            address: format!("{host}:{}", listener.port),
            source,
        };
        let resolved = lookup_host((host, listener.port)).await.map_err(failed)?.next();
        let address = resolved.ok_or_else(|| failed(io::ErrorKind::AddrNotAvailable.into()))?;
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }
        .map_err(failed)?;
        socket.set_reuseaddr(true).map_err(failed)?;
        socket.bind(address).map_err(failed)?;
        let socket = socket.listen(backlog).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let mut listener = listener.clone();
        if listener.advertised_port == 0 || listener.advertised_port == listener.port {
            listener.advertised_port = address.port();
        }
        listener.port = address.port();
        bound.push(BoundListener {
            listener,
            address,
            socket,
        });
    }
    Ok(bound)
}

/// A listener could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} (listener {name}): {source}")]
pub struct BindError {
    name: String,
    address: String,
    source: io::Error,
}

/// Serves `broker` on its listeners until `shutdown` becomes true, then closes the connections and returns. The broker stays
/// open: closing it is its owner's.
pub async fn serve(
    broker: Arc<Broker>,
    clock: Arc<dyn Clock>,
    listeners: Vec<BoundListener>,
    shutdown: watch::Receiver<bool>,
) {
    let shared = Arc::new(Shared {
        broker,
        clock,
        connections_by_host: Mutex::default(),
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
    let slots = Arc::new(Semaphore::new(
        shared.network().max_connections.min(Semaphore::MAX_PERMITS),
    ));
    let mut accepting = JoinSet::new();
    for bound in listeners {
        accepting.spawn(accept(bound, shared.clone(), slots.clone(), shutdown.clone()));
    }
    while accepting.join_next().await.is_some() {}
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
}

async fn accept(
    bound: BoundListener,
    shared: Arc<Shared>,
    slots: Arc<Semaphore>,
    mut shutdown: watch::Receiver<bool>,
) {
    let listener = Arc::new(bound.listener);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stopped(&mut shutdown) => break,
            accepted = bound.socket.accept() => match accepted {
                Ok((stream, peer)) => match admit(&shared, &slots, peer.ip()) {
                    Ok(place) => {
                        let connection = Connection::new(stream, peer, listener.clone(), shared.clone());
                        connections.spawn(async move {
                            serve_connection(connection, peer).await;
                            drop(place);
                        });
                    }
                    Err(limit) => tracing::warn!(%peer, "connection refused: {limit} is reached"),
                },
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
    connections.shutdown().await;
}

/// Returns when the server is to stop, or when nobody is left who could say so.
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}

/// A connection's place among those allowed; given back when dropped.
struct Place {
    _slot: OwnedSemaphorePermit,
    shared: Arc<Shared>,
    host: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_host = lock_hosts(&self.shared);
        if let Some(count) = by_host.get_mut(&self.host) {
            *count -= 1;
            if *count == 0 {
                by_host.remove(&self.host);
            }
        }
    }
}

/// A place for a connection from `host`, or the name of the limit that is reached.
fn admit(shared: &Arc<Shared>, slots: &Arc<Semaphore>, host: IpAddr) -> Result<Place, &'static str> {
    let slot = slots.clone().try_acquire_owned().map_err(|_| "max.connections")?;
    let network = shared.network();
    let overridden = network.max_connections_per_ip_overrides.get(&host.to_string());
    let limit = *overridden.unwrap_or(&network.max_connections_per_ip);
    let mut by_host = lock_hosts(shared);
    if by_host.get(&host).copied().unwrap_or(0) >= limit {
        return Err("max.connections.per.ip");
    }
    *by_host.entry(host).or_default() += 1;
    drop(by_host);
    Ok(Place {
        _slot: slot,
        shared: shared.clone(),
        host,
    })
}

fn lock_hosts(shared: &Shared) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
    // The counts are whole whatever their holder did.
    shared
        .connections_by_host
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
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
    let interval_ms = shared.broker.config().cleaner_interval_ms;
    let Ok(interval_ms @ 1..) = u64::try_from(interval_ms) else {
        return;
    };
    let mut waited_ms = 0;
    while !cancelled.load(Ordering::Relaxed) {
        tokio::time::sleep(TICK_INTERVAL).await;
        waited_ms += TICK_INTERVAL.as_millis() as u64;
        if waited_ms < interval_ms {
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

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

mod connection;
mod fetch;
mod frame;
pub mod shape;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use streams_core::time::Clock;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::handler::Broker;
use connection::Connection;

/// How often what depends on time is driven, see [`Broker::tick`].
const TICK_INTERVAL: Duration = Duration::from_millis(100);
/// How long to wait after a failed accept: the process is out of file descriptors, and one may be closed meanwhile.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Settings of the sockets, with Kafka's names and defaults.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// `socket.request.max.bytes`: the largest request. 100 MiB.
    pub max_request_bytes: usize,
    /// `max.connections`: more are closed at once. 10,000, so that file descriptors are left for the logs.
    pub max_connections: usize,
    /// `connections.max.idle.ms`: connections without a request for so long are closed. 10 minutes.
    pub max_idle: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            max_request_bytes: 100 * 1024 * 1024,
            max_connections: 10_000,
            max_idle: Duration::from_secs(600),
        }
    }
}

/// What the connections of a server share.
#[derive(Debug)]
struct Shared {
    broker: Arc<Broker>,
    clock: Arc<dyn Clock>,
    config: ServerConfig,
}

/// Serves `broker` on `listener` until `shutdown` becomes true, then closes the connections and returns. The broker stays
/// open: closing it is its owner's.
pub async fn serve(
    broker: Arc<Broker>,
    clock: Arc<dyn Clock>,
    listener: TcpListener,
    config: ServerConfig,
    mut shutdown: watch::Receiver<bool>,
) {
    let slots = Arc::new(Semaphore::new(config.max_connections));
    let shared = Arc::new(Shared {
        broker,
        clock,
        config,
    });
    let mut connections = JoinSet::new();
    let ticker = tokio::spawn(tick(shared.clone()));
    loop {
        tokio::select! {
            _ = shutdown.wait_for(|stop| *stop) => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => match slots.clone().try_acquire_owned() {
                    Ok(slot) => {
                        let shared = shared.clone();
                        connections.spawn(async move {
                            serve_connection(stream, peer, shared).await;
                            drop(slot);
                        });
                    }
                    Err(_) => tracing::warn!(%peer, limit = shared.config.max_connections,
                        "connection refused: max.connections are open"),
                },
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
    ticker.abort();
    connections.shutdown().await;
}

async fn serve_connection(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>) {
    tracing::debug!(%peer, "connected");
    match Connection::new(stream, peer, shared).run().await {
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

//! Opening the sockets of listeners, and taking connections from them.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};

use crate::config::Listener;

/// Where Linux tells the name of this machine.
const HOST_NAME_FILE: &str = "/proc/sys/kernel/hostname";

/// A listener of the configuration, with the socket that was opened for it.
#[derive(Debug)]
pub struct BoundListener {
    /// What it is, with the port that was really taken.
    pub listener: Listener,
    /// Where it listens.
    pub address: SocketAddr,
    pub(super) socket: TcpListener,
}

/// Opens the sockets of `listeners`. One without a host listens on every address, of IPv6 too where there is any. A port of 0
/// takes a free one; clients are then told that one, unless something else is advertised.
///
/// # Errors
/// An address that cannot be listened on.
pub async fn bind(listeners: &[Listener], backlog: u32) -> Result<Vec<BoundListener>, BindError> {
    let mut bound = Vec::new();
    for listener in listeners {
        let failed = |source| BindError {
            name: listener.name.clone(),
            address: match listener.host.as_str() {
                "" => format!("port {} of every address", listener.port),
                host => format!("{host}:{}", listener.port),
            },
            source,
        };
        let socket = if listener.host.is_empty() {
            open_everywhere(listener.port, backlog)
        } else {
            let resolved = lookup_host((listener.host.as_str(), listener.port)).await;
            let address = resolved.map_err(failed)?.next();
            open(
                address.ok_or_else(|| failed(io::ErrorKind::AddrNotAvailable.into()))?,
                backlog,
            )
        };
        let socket = socket.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let mut listener = listener.clone();
        if listener.advertises_machine
            && let Some(name) = machine_name().await
        {
            listener.advertised_host = name;
        }
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

/// One socket for IPv6 and IPv4; only for IPv4 where there is no IPv6.
fn open_everywhere(port: u16, backlog: u32) -> io::Result<TcpListener> {
    match open((Ipv6Addr::UNSPECIFIED, port).into(), backlog) {
        Err(error) if !is_about_port(&error) => open((Ipv4Addr::UNSPECIFIED, port).into(), backlog),
        opened => opened,
    }
}

/// Whether another family of addresses would not help.
fn is_about_port(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied
    )
}

fn open(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if address.is_ipv6() && address.ip().is_unspecified() {
        // Some systems have it otherwise.
        SockRef::from(&socket).set_only_v6(false)?;
    }
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(backlog)
}

/// The name of this machine, if others can find it by that.
async fn machine_name() -> Option<String> {
    let name = tokio::task::spawn_blocking(|| std::fs::read_to_string(HOST_NAME_FILE)).await;
    let name = name.ok()?.ok()?.trim().to_owned();
    let found = lookup_host((name.as_str(), 0)).await.ok()?.next();
    found.map(|_| name)
}

/// The next connection, with the address as rules and limits name it: a client of IPv4 has an address of IPv4 on a socket of
/// IPv6 too.
pub(super) async fn next_stream(socket: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = socket.accept().await?;
    Ok((stream, SocketAddr::new(peer.ip().to_canonical(), peer.port())))
}

/// A listener could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} (listener {name}): {source}")]
pub struct BindError {
    name: String,
    address: String,
    source: io::Error,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NetworkConfig;

    #[tokio::test]
    async fn a_listener_without_a_host_listens_on_every_address_of_both_families() {
        let mut listeners = NetworkConfig::default().listeners;
        (listeners[0].port, listeners[0].advertised_port) = (0, 0);
        let bound = bind(&listeners, 5).await.unwrap().remove(0);
        let told = machine_name().await.unwrap_or("localhost".to_owned());
        assert_eq!(bound.listener.advertised_host, told);
        assert_eq!(bound.listener.advertised_port, bound.address.port());
        let mut clients = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, bound.address.port()))];
        if std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
            clients.push((Ipv6Addr::LOCALHOST, bound.address.port()).into());
        }
        for address in clients {
            let _client = TcpStream::connect(address).await.unwrap();
            let (_, peer) = next_stream(&bound.socket).await.unwrap();
            assert_eq!(peer.ip(), address.ip());
        }
        let mut taken = listeners.clone();
        taken[0].port = bound.address.port();
        let error = bind(&taken, 5).await.unwrap_err().to_string();
        assert!(error.contains("of every address (listener PLAINTEXT)"), "{error}");
    }

    #[tokio::test]
    async fn what_is_advertised_is_told_as_it_is_written() {
        let mut listeners = NetworkConfig::default().listeners;
        listeners[0].port = 0;
        listeners[0].advertises_machine = false;
        listeners[0].advertised_host = "broker.example".to_owned();
        let bound = bind(&listeners, 5).await.unwrap().remove(0);
        assert_eq!(bound.listener.advertised_host, "broker.example");
    }
}

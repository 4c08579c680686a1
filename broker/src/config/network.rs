//! What a server lets in: the settings of sockets and connections.

use std::collections::BTreeMap;

use super::listener::{Listener, ListenerOverrides, SecurityProtocol};

/// Settings of the server around a broker. A broker in process has none of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkConfig {
    /// `listeners` with `advertised.listeners`: at least one.
    pub listeners: Vec<Listener>,
    /// What listeners have of their own, by name in small letters.
    pub listener_overrides: BTreeMap<String, ListenerOverrides>,
    /// `socket.request.max.bytes`: a larger request closes its connection. 100 MiB.
    pub request_max_bytes: usize,
    /// `socket.send.buffer.bytes`; None leaves it to the system. 100 KiB.
    pub send_buffer_bytes: Option<usize>,
    /// `socket.receive.buffer.bytes`; None leaves it to the system. 100 KiB.
    pub receive_buffer_bytes: Option<usize>,
    /// `socket.listen.backlog.size`. 50.
    pub listen_backlog: u32,
    /// `max.connections`. No limit.
    pub max_connections: usize,
    /// `max.connections.per.ip`. No limit.
    pub max_connections_per_ip: usize,
    /// `max.connections.per.ip.overrides`: limits of single hosts.
    pub max_connections_per_ip_overrides: BTreeMap<String, usize>,
    /// `max.connection.creation.rate`: new connections a second. No limit.
    pub max_connection_creation_rate: u32,
    /// `connections.max.idle.ms`; negative is for ever. 10 minutes.
    pub connections_max_idle_ms: i64,
    /// `connections.max.reauth.ms`: how long an authentication is good for; 0 for ever.
    pub connections_max_reauth_ms: i64,
    /// `connection.failed.authentication.delay.ms`. 100 ms.
    pub failed_authentication_delay_ms: i64,
    /// `sasl.server.max.receive.size`: largest token. 512 KiB.
    pub sasl_max_receive_bytes: usize,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            listeners: vec![Listener {
                name: "PLAINTEXT".to_owned(),
                protocol: SecurityProtocol::Plaintext,
                host: String::new(),
                port: 9092,
                advertised_host: "localhost".to_owned(),
                advertised_port: 9092,
                advertises_machine: true,
            }],
            listener_overrides: BTreeMap::new(),
            request_max_bytes: 100 * 1024 * 1024,
            send_buffer_bytes: Some(100 * 1024),
            receive_buffer_bytes: Some(100 * 1024),
            listen_backlog: 50,
            max_connections: i32::MAX as usize,
            max_connections_per_ip: i32::MAX as usize,
            max_connections_per_ip_overrides: BTreeMap::new(),
            max_connection_creation_rate: i32::MAX as u32,
            connections_max_idle_ms: 600_000,
            connections_max_reauth_ms: 0,
            failed_authentication_delay_ms: 100,
            sasl_max_receive_bytes: 512 * 1024,
        }
    }
}

impl NetworkConfig {
    /// Most connections of one listener at a time. No limit, but for that of all together.
    pub fn max_connections_of(&self, listener: &str) -> usize {
        let own = self.overrides_of(listener).and_then(|own| own.max_connections);
        own.unwrap_or(i32::MAX as usize)
    }

    /// Most new connections of one listener a second. No limit, but for that of all together.
    pub fn max_connection_creation_rate_of(&self, listener: &str) -> u32 {
        let own = self
            .overrides_of(listener)
            .and_then(|own| own.max_connection_creation_rate);
        own.unwrap_or(i32::MAX as u32)
    }

    /// How long an authentication on a listener is good for, in milliseconds; 0 for ever.
    pub fn connections_max_reauth_ms_of(&self, listener: &str) -> i64 {
        let own = self
            .overrides_of(listener)
            .and_then(|own| own.connections_max_reauth_ms);
        own.unwrap_or(self.connections_max_reauth_ms)
    }

    fn overrides_of(&self, listener: &str) -> Option<&ListenerOverrides> {
        self.listener_overrides.get(&listener.to_ascii_lowercase())
    }
}

//! Authentication as the server asks for it: sessions of this broker's mechanisms and users.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};

use super::{Broker, text};
use crate::cluster::ClusterState;
use crate::config::SecurityConfig;
use crate::ids::Ids;
use crate::sasl::scram::{ScramCredential, ScramMechanism};
use crate::sasl::{Answer, Credentials, SaslSession};

/// The users of one listener.
struct Users<'a> {
    security: &'a SecurityConfig,
    cluster: &'a ClusterState,
    listener: &'a str,
}

impl Credentials for Users<'_> {
    fn plain_password(&self, user: &str) -> Option<String> {
        self.security
            .plain_password(self.listener, user)
            .map(str::to_owned)
    }

    fn scram(&self, mechanism: ScramMechanism, user: &str) -> Option<ScramCredential> {
        self.cluster.users.get(user)?.get(&mechanism).cloned()
    }
}

impl Broker {
    /// The authentication of a new connection to a listener with SASL.
    pub fn sasl_session(&self, listener: &str) -> SaslSession {
        let lifetime_ms = self.config.network.connections_max_reauth_ms_of(listener);
        SaslSession::new(self.config.security.mechanisms(listener), lifetime_ms)
    }

    /// Serves SaslHandshake on such a connection.
    pub fn sasl_handshake(
        &self,
        session: &mut SaslSession,
        version: i16,
        request: &SaslHandshakeRequest,
    ) -> Answer<SaslHandshakeResponse> {
        let mut ids = self.ids.clone();
        let nonce = format!("{}{}", ids.next_id().simple(), ids.next_id().simple());
        session.handshake(version, request, &nonce)
    }

    /// Serves SaslAuthenticate on such a connection.
    pub fn sasl_authenticate(
        &self,
        session: &mut SaslSession,
        listener: &str,
        request: &SaslAuthenticateRequest,
        now_ms: i64,
    ) -> Answer<SaslAuthenticateResponse> {
        let cluster = self.cluster.current();
        session.authenticate(request, &self.users(&cluster, listener), now_ms)
    }

    /// Takes a bare token on such a connection, after a SaslHandshake of version 0.
    ///
    /// # Errors
    /// Why the connection must be closed.
    pub fn sasl_token(
        &self,
        session: &mut SaslSession,
        listener: &str,
        token: &[u8],
        now_ms: i64,
    ) -> Result<bytes::Bytes, String> {
        let cluster = self.cluster.current();
        session.token(token, &self.users(&cluster, listener), now_ms)
    }

    fn users<'a>(&'a self, cluster: &'a ClusterState, listener: &'a str) -> Users<'a> {
        Users {
            security: &self.config.security,
            cluster,
            listener,
        }
    }
}

/// A SaslHandshake where there is nothing to authenticate.
pub(super) fn handshake_out_of_place() -> SaslHandshakeResponse {
    SaslHandshakeResponse::default().with_error_code(ResponseError::IllegalSaslState.code())
}

/// A SaslAuthenticate where there is nothing to authenticate.
pub(super) fn authenticate_out_of_place() -> SaslAuthenticateResponse {
    let message = "nobody authenticates on this listener";
    SaslAuthenticateResponse::default()
        .with_error_code(ResponseError::IllegalSaslState.code())
        .with_error_message(Some(text(message)))
}

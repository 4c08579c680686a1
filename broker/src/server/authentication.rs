//! How a client authenticates on a connection: the tokens of its [`SaslSession`](crate::sasl::SaslSession), sent and received.

use std::time::Duration;

use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};

use super::connection::{Connection, ConnectionError};
use crate::handler::Response;

impl Connection {
    pub(super) async fn shake_hands(
        &mut self,
        correlation_id: i32,
        version: i16,
        request: &SaslHandshakeRequest,
    ) -> Result<(), ConnectionError> {
        let Some(sasl) = &mut self.sasl else {
            return Ok(());
        };
        let answer = self.shared.broker.sasl_handshake(sasl, version, request);
        self.respond(correlation_id, version, &Response::SaslHandshake(answer.response))
            .await?;
        if answer.closes {
            let mechanism = request.mechanism.to_string();
            return Err(ConnectionError::Authentication(format!(
                "the mechanism {mechanism} is not possible here"
            )));
        }
        Ok(())
    }

    pub(super) async fn authenticate(
        &mut self,
        correlation_id: i32,
        version: i16,
        request: &SaslAuthenticateRequest,
    ) -> Result<(), ConnectionError> {
        let Some(sasl) = &mut self.sasl else {
            return Ok(());
        };
        let (broker, now_ms) = (&self.shared.broker, self.shared.clock.now_ms());
        let answer = broker.sasl_authenticate(sasl, &self.listener_name, request, now_ms);
        if let Some(principal) = sasl.principal() {
            self.principal = principal.clone();
        }
        let reason = answer.response.error_message.as_ref().map(ToString::to_string);
        if answer.closes {
            self.hold_back().await;
        }
        self.respond(
            correlation_id,
            version,
            &Response::SaslAuthenticate(answer.response),
        )
        .await?;
        if answer.closes {
            return Err(ConnectionError::Authentication(reason.unwrap_or_default()));
        }
        Ok(())
    }

    /// Serves a token without a request around it, as after a SaslHandshake of version 0.
    pub(super) async fn take_bare_token(&mut self, token: &[u8]) -> Result<(), ConnectionError> {
        let Some(sasl) = &mut self.sasl else {
            return Ok(());
        };
        let (broker, now_ms) = (&self.shared.broker, self.shared.clock.now_ms());
        let answer = broker.sasl_token(sasl, &self.listener_name, token, now_ms);
        if let Some(principal) = sasl.principal() {
            self.principal = principal.clone();
        }
        let answer = match answer {
            Ok(answer) => answer,
            Err(reason) => {
                self.hold_back().await;
                return Err(ConnectionError::Authentication(reason));
            }
        };
        self.responses.push_bare(&answer);
        self.send_responses().await
    }

    /// Who failed to authenticate waits, so that passwords cannot be tried quickly.
    async fn hold_back(&self) {
        let delay_ms = self.shared.network().failed_authentication_delay_ms;
        tokio::time::sleep(Duration::from_millis(u64::try_from(delay_ms).unwrap_or(0))).await;
    }
}

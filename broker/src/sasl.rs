//! Authentication of one connection (SASL): what may be sent when, and as whom the client is known at the end. Values only:
//! tokens and credentials in, answers out; the server sends them.
//!
//! ```text
//!  Start --SaslHandshake--> Exchange(mechanism) --tokens--> Authenticated --SaslHandshake (again)--> Exchange ...
//!                                  | wrong credentials
//!                                  v
//!                                Failed: the answer is held back for a moment, then the connection closes
//! ```

mod plain;
pub mod scram;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use kafka_protocol::protocol::StrBytes;

use crate::handler::Principal;
use scram::{ScramCredential, ScramExchange, ScramMechanism};

const SASL_HANDSHAKE_KEY: i16 = 17;
const API_VERSIONS_KEY: i16 = 18;
const SASL_AUTHENTICATE_KEY: i16 = 36;
/// First version of SaslHandshake after which tokens come in SaslAuthenticate; before, they come bare.
const WRAPPED_TOKENS_VERSION: i16 = 1;

/// Where credentials are looked up.
pub trait Credentials {
    /// The password of a user of PLAIN.
    fn plain_password(&self, user: &str) -> Option<String>;
    /// The credential of a user of SCRAM.
    fn scram(&self, mechanism: ScramMechanism, user: &str) -> Option<ScramCredential>;
}

/// What a client is told, and whether it was the last it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// The response.
    pub response: T,
    /// The connection closes behind it; the response of who failed is held back first.
    pub closes: bool,
}

/// The authentication of one connection.
#[derive(Debug)]
pub struct SaslSession {
    mechanisms: Vec<String>,
    /// How long an authentication is good for; 0 for ever.
    lifetime_ms: i64,
    state: State,
    /// As whom, with which mechanism the connection was authenticated first: nobody else may take it over.
    identity: Option<(Principal, String)>,
    expires_ms: Option<i64>,
}

#[derive(Debug)]
enum State {
    Start,
    Exchange { mechanism: Mechanism, bare: bool },
    Authenticated,
    Failed,
}

#[derive(Debug)]
enum Mechanism {
    Plain,
    Scram(Box<ScramExchange>),
}

impl Mechanism {
    fn name(&self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Scram(exchange) => exchange.mechanism().name(),
        }
    }
}

/// What a token led to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Continue(Vec<u8>),
    Done(String, Vec<u8>),
}

impl SaslSession {
    /// A connection that nobody has authenticated on, where these mechanisms are possible.
    pub fn new(mechanisms: &[String], lifetime_ms: i64) -> Self {
        Self {
            mechanisms: mechanisms.to_vec(),
            lifetime_ms,
            state: State::Start,
            identity: None,
            expires_ms: None,
        }
    }

    /// As whom the client is known, once it is.
    pub fn principal(&self) -> Option<&Principal> {
        match self.state {
            State::Authenticated => self.identity.as_ref().map(|(principal, _)| principal),
            _ => None,
        }
    }

    /// Whether a request of this API may be served now. If not, the connection closes.
    pub fn allows(&self, api_key: i16, now_ms: i64) -> bool {
        let is_sasl = matches!(api_key, SASL_HANDSHAKE_KEY | SASL_AUTHENTICATE_KEY);
        match self.state {
            State::Start | State::Exchange { .. } => is_sasl || api_key == API_VERSIONS_KEY,
            State::Authenticated => is_sasl || self.expires_ms.is_none_or(|expires_ms| now_ms < expires_ms),
            State::Failed => false,
        }
    }

    /// Whether the next frame is a bare token and no request.
    pub fn expects_bare_token(&self) -> bool {
        matches!(self.state, State::Exchange { bare: true, .. })
    }

    /// Serves SaslHandshake. `nonce` is text that nobody can foresee.
    pub fn handshake(
        &mut self,
        version: i16,
        request: &SaslHandshakeRequest,
        nonce: &str,
    ) -> Answer<SaslHandshakeResponse> {
        let offered = self
            .mechanisms
            .iter()
            .map(|name| StrBytes::from_string(name.clone()));
        let response = SaslHandshakeResponse::default().with_mechanisms(offered.collect());
        let refused = |error: ResponseError| Answer {
            response: response.clone().with_error_code(error.code()),
            closes: true,
        };
        if !matches!(self.state, State::Start | State::Authenticated) {
            self.state = State::Failed;
            return refused(ResponseError::IllegalSaslState);
        }
        let name = request.mechanism.as_str();
        let is_other = matches!(&self.identity, Some((_, mechanism)) if mechanism != name);
        let mechanism = match ScramMechanism::from_name(name) {
            Some(mechanism) => Some(Mechanism::Scram(Box::new(ScramExchange::new(mechanism, nonce)))),
            None => (name == "PLAIN").then_some(Mechanism::Plain),
        };
        match mechanism.filter(|_| !is_other && self.mechanisms.iter().any(|offered| offered == name)) {
            Some(mechanism) => {
                let bare = version < WRAPPED_TOKENS_VERSION;
                self.state = State::Exchange { mechanism, bare };
                Answer {
                    response,
                    closes: false,
                }
            }
            None => {
                self.state = State::Failed;
                refused(ResponseError::UnsupportedSaslMechanism)
            }
        }
    }

    /// Serves SaslAuthenticate.
    pub fn authenticate(
        &mut self,
        request: &SaslAuthenticateRequest,
        credentials: &impl Credentials,
        now_ms: i64,
    ) -> Answer<SaslAuthenticateResponse> {
        if !matches!(self.state, State::Exchange { bare: false, .. }) {
            self.state = State::Failed;
            let message = "SaslAuthenticate comes behind SaslHandshake";
            return refused(ResponseError::IllegalSaslState, message.to_owned());
        }
        match self.token(&request.auth_bytes, credentials, now_ms) {
            Ok(token) => Answer {
                response: SaslAuthenticateResponse::default()
                    .with_auth_bytes(token)
                    .with_session_lifetime_ms(self.expires_ms.map_or(0, |_| self.lifetime_ms)),
                closes: false,
            },
            Err(message) => refused(ResponseError::SaslAuthenticationFailed, message),
        }
    }

    /// Takes the client's next token; answers the server's, or why the client is not who it says. After
    /// [`expects_bare_token`](Self::expects_bare_token) the connection closes without an answer then.
    ///
    /// # Errors
    /// What the client is told.
    pub fn token(
        &mut self,
        token: &[u8],
        credentials: &impl Credentials,
        now_ms: i64,
    ) -> Result<Bytes, String> {
        let State::Exchange { mechanism, .. } = &mut self.state else {
            return Err("no authentication is under way".to_owned());
        };
        let name = mechanism.name();
        let step = match mechanism {
            Mechanism::Plain => plain::check(token, |user| credentials.plain_password(user)),
            Mechanism::Scram(exchange) => {
                exchange.step(token, |mechanism, user| credentials.scram(mechanism, user))
            }
        };
        match step {
            Ok(Step::Continue(answer)) => Ok(answer.into()),
            Ok(Step::Done(user, answer)) => {
                let principal = Principal::user(&user);
                if matches!(&self.identity, Some((first, _)) if *first != principal) {
                    self.state = State::Failed;
                    return Err("a connection cannot be authenticated again as somebody else".to_owned());
                }
                self.identity = Some((principal, name.to_owned()));
                self.expires_ms = (self.lifetime_ms > 0).then(|| now_ms.saturating_add(self.lifetime_ms));
                self.state = State::Authenticated;
                Ok(answer.into())
            }
            Err(reason) => {
                self.state = State::Failed;
                Err(format!(
                    "Authentication failed with SASL mechanism {name}: {reason}"
                ))
            }
        }
    }
}

fn refused(error: ResponseError, message: String) -> Answer<SaslAuthenticateResponse> {
    Answer {
        response: SaslAuthenticateResponse::default()
            .with_error_code(error.code())
            .with_error_message(Some(StrBytes::from_string(message))),
        closes: true,
    }
}

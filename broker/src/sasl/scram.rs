//! SCRAM (RFC 5802, RFC 7677), the server's side, without channel binding: the server keeps neither password nor what could be
//! used in its stead, and each side proves to the other that it knows it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

use super::Step;

/// Fewest rounds of hashing a password may have.
pub const MIN_ITERATIONS: i32 = 4096;
/// Most rounds of hashing a password may have.
pub const MAX_ITERATIONS: i32 = 16_384;
/// Longest token that is looked at.
const MAX_TOKEN_BYTES: usize = 4096;

/// The hash a mechanism uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ScramMechanism {
    /// SCRAM-SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    Sha256,
    /// SCRAM-SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    Sha512,
}

impl ScramMechanism {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        }
    }

    /// The mechanism of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Sha256, Self::Sha512]
            .into_iter()
            .find(|mechanism| mechanism.name() == name)
    }

    /// Its number in requests.
    pub fn code(self) -> i8 {
        match self {
            Self::Sha256 => 1,
            Self::Sha512 => 2,
        }
    }

    /// The mechanism with this number.
    pub fn from_code(code: i8) -> Option<Self> {
        [Self::Sha256, Self::Sha512]
            .into_iter()
            .find(|mechanism| mechanism.code() == code)
    }

    fn hash(self, data: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(data).to_vec(),
            Self::Sha512 => Sha512::digest(data).to_vec(),
        }
    }

    pub(super) fn hmac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        fn of<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> Vec<u8> {
            let mut mac = <M as KeyInit>::new_from_slice(key).expect("an HMAC takes keys of any length");
            mac.update(data);
            mac.finalize().into_bytes().to_vec()
        }
        match self {
            Self::Sha256 => of::<Hmac<Sha256>>(key, data),
            Self::Sha512 => of::<Hmac<Sha512>>(key, data),
        }
    }
}

/// What is kept of a user's password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScramCredential {
    /// What the password was salted with.
    #[serde(with = "base64_text")]
    pub salt: Vec<u8>,
    /// Proves that a client knows the password.
    #[serde(with = "base64_text")]
    pub stored_key: Vec<u8>,
    /// Proves to a client that the server knows it.
    #[serde(with = "base64_text")]
    pub server_key: Vec<u8>,
    /// Rounds of hashing.
    pub iterations: i32,
}

/// Keys are not for logs.
impl std::fmt::Debug for ScramCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScramCredential")
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

impl ScramCredential {
    /// What is to be kept of a password that a client has salted and hashed.
    pub fn new(mechanism: ScramMechanism, salt: &[u8], iterations: i32, salted_password: &[u8]) -> Self {
        let client_key = mechanism.hmac(salted_password, b"Client Key");
        Self {
            salt: salt.to_vec(),
            stored_key: mechanism.hash(&client_key),
            server_key: mechanism.hmac(salted_password, b"Server Key"),
            iterations,
        }
    }
}

/// Keys as text, for people who look into the file.
mod base64_text {
    use base64::Engine as _;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::BASE64;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        BASE64
            .decode(String::deserialize(deserializer)?)
            .map_err(D::Error::custom)
    }
}

/// One exchange of tokens.
#[derive(Debug)]
pub(super) struct ScramExchange {
    mechanism: ScramMechanism,
    server_nonce: String,
    begun: Option<Begun>,
}

#[derive(Debug)]
struct Begun {
    user: String,
    credential: ScramCredential,
    gs2_header: String,
    nonce: String,
    /// The client's first message without its header, and the server's first.
    messages: String,
}

impl ScramExchange {
    pub(super) fn new(mechanism: ScramMechanism, nonce: &str) -> Self {
        Self {
            mechanism,
            server_nonce: nonce.to_owned(),
            begun: None,
        }
    }

    pub(super) fn mechanism(&self) -> ScramMechanism {
        self.mechanism
    }

    /// Takes the client's next token.
    pub(super) fn step(
        &mut self,
        token: &[u8],
        credential_of: impl Fn(ScramMechanism, &str) -> Option<ScramCredential>,
    ) -> Result<Step, String> {
        let text = std::str::from_utf8(token)
            .ok()
            .filter(|text| text.len() <= MAX_TOKEN_BYTES)
            .ok_or("the token is too long or no text")?;
        match &self.begun {
            None => self.first(text, credential_of),
            Some(begun) => begun.last(self.mechanism, text),
        }
    }

    fn first(
        &mut self,
        text: &str,
        credential_of: impl Fn(ScramMechanism, &str) -> Option<ScramCredential>,
    ) -> Result<Step, String> {
        let malformed = || "the first token is not n,,n=USER,r=NONCE".to_owned();
        let mut parts = text.splitn(3, ',');
        let (binding, authorization, bare) = match (parts.next(), parts.next(), parts.next()) {
            (Some(binding), Some(authorization), Some(bare)) => (binding, authorization, bare),
            _ => return Err(malformed()),
        };
        if !matches!(binding, "n" | "y") {
            return Err("channel binding is not possible without TLS".to_owned());
        }
        let mut attributes = bare.split(',');
        let user = attributes
            .next()
            .and_then(|user| user.strip_prefix("n="))
            .and_then(unescaped)
            .ok_or_else(malformed)?;
        let nonce = attributes
            .next()
            .and_then(|nonce| nonce.strip_prefix("r="))
            .filter(|nonce| !nonce.is_empty())
            .ok_or_else(malformed)?;
        if attributes.any(|extension| extension == "tokenauth=true") {
            return Err("there are no delegation tokens".to_owned());
        }
        let authorization_id = authorization.strip_prefix("a=").map(unescaped);
        if !matches!(&authorization_id, None | Some(Some(_)))
            || authorization_id.flatten().is_some_and(|id| id != user)
        {
            return Err("a user cannot act as another one".to_owned());
        }
        let credential = credential_of(self.mechanism, &user).ok_or("invalid user credentials")?;
        let nonce = format!("{nonce}{}", self.server_nonce);
        let salt = BASE64.encode(&credential.salt);
        let answer = format!("r={nonce},s={salt},i={}", credential.iterations);
        self.begun = Some(Begun {
            user,
            credential,
            gs2_header: format!("{binding},{authorization},"),
            nonce,
            messages: format!("{bare},{answer}"),
        });
        Ok(Step::Continue(answer.into_bytes()))
    }
}

impl Begun {
    fn last(&self, mechanism: ScramMechanism, text: &str) -> Result<Step, String> {
        let malformed = || "the last token is not c=BINDING,r=NONCE,p=PROOF".to_owned();
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or_else(malformed)?;
        let mut attributes = without_proof.split(',');
        let binding = attributes
            .next()
            .and_then(|binding| binding.strip_prefix("c="))
            .and_then(|binding| BASE64.decode(binding).ok())
            .ok_or_else(malformed)?;
        let nonce = attributes
            .next()
            .and_then(|nonce| nonce.strip_prefix("r="))
            .ok_or_else(malformed)?;
        let mut proof = BASE64.decode(proof).map_err(|_| malformed())?;
        if binding != self.gs2_header.as_bytes() {
            return Err("the tokens do not belong together".to_owned());
        }
        // As Apache Kafka since CVE-2024-56128: a nonce that merely ends like ours will not do.
        if nonce != self.nonce {
            return Err(
                "the nonce is not the server's; clients of before 2024 may do that: use a later one"
                    .to_owned(),
            );
        }
        let message = format!("{},{without_proof}", self.messages);
        let signature = mechanism.hmac(&self.credential.stored_key, message.as_bytes());
        if proof.len() != signature.len() {
            return Err(malformed());
        }
        // What the client proves it with is its key, hidden under the signature.
        proof
            .iter_mut()
            .zip(&signature)
            .for_each(|(byte, mask)| *byte ^= mask);
        if !bool::from(mechanism.hash(&proof).ct_eq(&self.credential.stored_key)) {
            return Err("invalid user credentials".to_owned());
        }
        let verifier = mechanism.hmac(&self.credential.server_key, message.as_bytes());
        let answer = format!("v={}", BASE64.encode(verifier));
        Ok(Step::Done(self.user.clone(), answer.into_bytes()))
    }
}

/// A name in which `=2C` stands for a comma and `=3D` for an equals sign; no other `=` may occur.
fn unescaped(name: &str) -> Option<String> {
    let mut pieces = name.split('=');
    let mut plain = pieces.next()?.to_owned();
    for piece in pieces {
        let (character, rest) = match (piece.strip_prefix("2C"), piece.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return None,
        };
        plain.push(character);
        plain.push_str(rest);
    }
    (!plain.is_empty()).then_some(plain)
}

//! PLAIN (RFC 4616): user and password in one token, as they are.

use subtle::ConstantTimeEq;

use super::Step;

/// Checks a token of PLAIN; the error is for the client.
pub(super) fn check(token: &[u8], password_of: impl Fn(&str) -> Option<String>) -> Result<Step, String> {
    let malformed = || "the token is not [authorization id] NUL user NUL password".to_owned();
    let text = std::str::from_utf8(token).map_err(|_| malformed())?;
    let parts: Vec<&str> = text.split('\0').collect();
    let &[authorization_id, user, password] = parts.as_slice() else {
        return Err(malformed());
    };
    if user.is_empty() || password.is_empty() {
        return Err("user or password is empty".to_owned());
    }
    if !authorization_id.is_empty() && authorization_id != user {
        return Err("a user cannot act as another one".to_owned());
    }
    let known = password_of(user);
    // Compared in any case, so that the time does not tell which users there are.
    let expected = known.as_deref().unwrap_or_default();
    let is_right = bool::from(expected.as_bytes().ct_eq(password.as_bytes())) && known.is_some();
    if is_right {
        Ok(Step::Done(user.to_owned(), Vec::new()))
    } else {
        Err("invalid user or password".to_owned())
    }
}

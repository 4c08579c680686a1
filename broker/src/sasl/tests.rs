//! The exchanges of the RFCs, word by word, and everything a client may do wrong on the way.

use super::*;

struct Users;

/// The rounds of PBKDF2 that a client does.
fn salted(mechanism: ScramMechanism, password: &str, salt: &[u8], iterations: i32) -> Vec<u8> {
    let mut round = mechanism.hmac(password.as_bytes(), &[salt, &[0, 0, 0, 1]].concat());
    let mut result = round.clone();
    for _ in 1..iterations {
        round = mechanism.hmac(password.as_bytes(), &round);
        result
            .iter_mut()
            .zip(&round)
            .for_each(|(byte, other)| *byte ^= other);
    }
    result
}

impl Credentials for Users {
    fn plain_password(&self, user: &str) -> Option<String> {
        (user == "alice").then(|| "alice-secret".to_owned())
    }

    fn scram(&self, mechanism: ScramMechanism, user: &str) -> Option<ScramCredential> {
        use base64::Engine as _;
        let salt = base64::engine::general_purpose::STANDARD
            .decode("W22ZaJ0SNY7soEsUEjb6gQ==")
            .unwrap();
        let salted = salted(mechanism, "pencil", &salt, 4096);
        (user == "user").then(|| ScramCredential::new(mechanism, &salt, 4096, &salted))
    }
}

const NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";

fn session(lifetime_ms: i64) -> SaslSession {
    let mechanisms = ["PLAIN", "SCRAM-SHA-256"].map(str::to_owned);
    SaslSession::new(&mechanisms, lifetime_ms)
}

fn handshake(session: &mut SaslSession, mechanism: &'static str) -> i16 {
    let request = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism));
    let answer = session.handshake(1, &request, NONCE);
    assert_eq!(answer.closes, answer.response.error_code != 0);
    answer.response.error_code
}

fn send(session: &mut SaslSession, token: &'static str) -> Result<String, (i16, String)> {
    let request = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from_static(token.as_bytes()));
    let answer = session.authenticate(&request, &Users, 0);
    assert_eq!(answer.closes, answer.response.error_code != 0);
    match answer.response.error_code {
        0 => Ok(String::from_utf8(answer.response.auth_bytes.to_vec()).unwrap()),
        code => Err((code, answer.response.error_message.unwrap().to_string())),
    }
}

#[test]
fn the_example_of_rfc_7677_authenticates() {
    let mut session = session(0);
    assert_eq!(handshake(&mut session, "SCRAM-SHA-256"), 0);
    assert_eq!(
        send(&mut session, "n,,n=user,r=rOprNGfwEbeRWgbNEkqO").unwrap(),
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    );
    assert_eq!(session.principal(), None);
    assert_eq!(
        send(
            &mut session,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        )
        .unwrap(),
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    );
    assert_eq!(session.principal().unwrap().as_str(), "User:user");
}

#[test]
fn wrong_proofs_and_tokens_are_refused_and_end_the_session() {
    let first = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    let whole = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    for last in [
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVR=",
        "c=eSws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        "c=biws,r=rOprNGfwEbeRWgbNEkqO,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=AAAA",
        "",
    ] {
        let mut session = session(0);
        handshake(&mut session, "SCRAM-SHA-256");
        assert!(send(&mut session, first).unwrap().starts_with(whole));
        assert_eq!(send(&mut session, last).unwrap_err().0, 58, "{last}");
        assert!(session.principal().is_none() && !session.allows(18, 0));
    }
    for first in [
        "n,,n=nobody,r=x",
        "p=tls-unique,,n=user,r=x",
        "n,a=other,n=user,r=x",
        "n,,n=us=er,r=x",
        "n,,n=user,r=",
        "n,,n=user,r=x,tokenauth=true",
        "garbage",
    ] {
        let mut session = session(0);
        handshake(&mut session, "SCRAM-SHA-256");
        assert_eq!(send(&mut session, first).unwrap_err().0, 58, "{first}");
    }
}

#[test]
fn plain_takes_the_right_password_of_a_user_that_there_is() {
    let cases = [
        ("\0alice\0alice-secret", true),
        ("alice\0alice\0alice-secret", true),
        ("bob\0alice\0alice-secret", false),
        ("\0alice\0wrong", false),
        ("\0alice\0", false),
        ("\0bob\0alice-secret", false),
        ("alice\0alice-secret", false),
        ("\0alice\0alice-secret\0more", false),
    ];
    for (token, right) in cases {
        let mut session = session(0);
        assert_eq!(handshake(&mut session, "PLAIN"), 0);
        assert_eq!(send(&mut session, token).is_ok(), right, "{token:?}");
        assert_eq!(session.principal().is_some(), right, "{token:?}");
    }
}

#[test]
fn nothing_else_is_served_before_and_nothing_out_of_order() {
    let mut session = session(0);
    assert!(session.allows(18, 0) && session.allows(17, 0) && !session.allows(3, 0));
    assert_eq!(send(&mut session, "\0alice\0alice-secret").unwrap_err().0, 34);
    let mut session = self::session(0);
    assert_eq!(handshake(&mut session, "GSSAPI"), 33);
    assert!(!session.allows(17, 0));
    let mut session = self::session(0);
    assert_eq!(
        handshake(&mut session, "SCRAM-SHA-512"),
        33,
        "known, but not enabled"
    );
    let mut session = self::session(0);
    handshake(&mut session, "PLAIN");
    assert_eq!(handshake(&mut session, "PLAIN"), 34);
}

#[test]
fn tokens_come_bare_after_a_handshake_of_version_zero() {
    let mut session = session(0);
    let request = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str("PLAIN"));
    assert!(!session.handshake(0, &request, NONCE).closes);
    assert!(session.expects_bare_token());
    assert!(
        session
            .token(b"\0alice\0alice-secret", &Users, 0)
            .unwrap()
            .is_empty()
    );
    assert!(!session.expects_bare_token() && session.allows(3, 0));
}

#[test]
fn a_session_ends_with_its_time_unless_the_same_user_comes_again() {
    let mut session = session(1000);
    handshake(&mut session, "PLAIN");
    send(&mut session, "\0alice\0alice-secret").unwrap();
    assert!(session.allows(3, 999) && !session.allows(3, 1000) && session.allows(17, 1000));
    assert_eq!(handshake(&mut session, "SCRAM-SHA-256"), 33, "another mechanism");
    let mut session = self::session(1000);
    handshake(&mut session, "SCRAM-SHA-256");
    send(&mut session, "n,,n=user,r=rOprNGfwEbeRWgbNEkqO").unwrap();
    send(&mut session, "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").unwrap();
    assert_eq!(handshake(&mut session, "SCRAM-SHA-256"), 0);
    assert!(!session.allows(3, 0), "not while it authenticates again");
}

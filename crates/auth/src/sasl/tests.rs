//! Conversations, word by word.

use super::*;
use std::collections::BTreeMap;

fn scram(username: &str, password: &str) -> Credentials {
    Credentials::Scram {
        hash: ScramHash::Sha256,
        username: username.into(),
        password: password.into(),
        is_delegation_token: false,
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                            s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

#[test]
fn scram_is_that_of_rfc_7677() {
    let (mut talk, first) = Conversation::begin(&scram("user", "pencil"), NONCE.into()).unwrap();
    assert_eq!(text(first), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    let last = talk.answer(SERVER_FIRST.as_bytes()).unwrap().unwrap();
    assert_eq!(
        text(last),
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
         p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    );
    assert!(!talk.is_done());
    let verifier = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
    assert_eq!(talk.answer(verifier).unwrap(), None);
    assert!(talk.is_done());
    assert!(talk.answer(b"").is_err());
}

#[test]
fn names_are_escaped_and_delegation_tokens_say_what_they_are() {
    let mut credentials = scram("a=b,c", "p");
    let (_, first) = Conversation::begin(&credentials, "x".into()).unwrap();
    assert_eq!(text(first), "n,,n=a=3Db=2Cc,r=x");
    if let Credentials::Scram { is_delegation_token, .. } = &mut credentials {
        *is_delegation_token = true;
    }
    let (_, first) = Conversation::begin(&credentials, "x".into()).unwrap();
    assert_eq!(text(first), "n,,n=a=3Db=2Cc,r=x,tokenauth=true");
}

#[test]
fn a_broker_that_does_not_know_the_password_is_not_trusted() {
    let (mut talk, _) = Conversation::begin(&scram("user", "pencil"), NONCE.into()).unwrap();
    talk.answer(SERVER_FIRST.as_bytes()).unwrap();
    let forged = format!("v={}", STANDARD.encode([7; 32]));
    assert_eq!(talk.answer(forged.as_bytes()), Err(AuthError::ServerSignature));
}

#[test]
fn broken_messages_of_scram_are_refused() {
    let check = |challenge: &str, expected: &str| {
        let (mut talk, _) = Conversation::begin(&scram("user", "pencil"), NONCE.into()).unwrap();
        let error = talk.answer(challenge.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{challenge}: {error}");
    };
    check("", "no nonce");
    check("e=unknown-user", "refused: unknown-user");
    check("r=other,s=W22Z,i=4096", "does not go on");
    check("r=rOprNGfwEbeRWgbNEkqO,s=W22Z,i=4096", "does not go on");
    check("r=rOprNGfwEbeRWgbNEkqOx,s=,i=4096", "no salt");
    check("r=rOprNGfwEbeRWgbNEkqOx,s=W22Z", "no iterations");
    check("r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=4095", "not between");
    check("r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=4000000000", "not between");
    // Cut at any place before the last digit, it is an error and no panic.
    for end in 0..SERVER_FIRST.len() - 1 {
        let (mut talk, _) = Conversation::begin(&scram("user", "pencil"), NONCE.into()).unwrap();
        assert!(talk.answer(&SERVER_FIRST.as_bytes()[..end]).is_err());
    }
}

#[test]
fn plain_says_it_all_at_once() {
    let credentials = Credentials::Plain { username: "tim".into(), password: "tanstaaf".into() };
    let (mut talk, first) = Conversation::begin(&credentials, String::new()).unwrap();
    assert_eq!(text(first), "\0tim\0tanstaaf");
    assert_eq!(talk.answer(b"").unwrap(), None);
    assert!(talk.is_done());
    assert!(!format!("{credentials:?}{talk:?}").contains("tanstaaf"));
}

#[test]
fn a_token_is_shown_and_a_refusal_acknowledged() {
    let token = Token {
        value: "abc.def.".into(),
        extensions: BTreeMap::from([("traceId".to_owned(), "1 2".to_owned())]),
    };
    let credentials = Credentials::OAuthBearer(token);
    let (mut talk, first) = Conversation::begin(&credentials, String::new()).unwrap();
    assert_eq!(text(first), "n,,\u{1}auth=Bearer abc.def.\u{1}traceId=1 2\u{1}\u{1}");
    assert_eq!(talk.answer(b"").unwrap(), None);
    assert!(talk.is_done());
    let (mut talk, _) = Conversation::begin(&credentials, String::new()).unwrap();
    assert_eq!(talk.answer(br#"{"status":"invalid_token"}"#).unwrap(), Some(vec![1]));
    assert!(!talk.is_done());
    for (value, key) in [("", "a"), ("a b", "a"), ("a\u{1}", "a"), ("ok", "auth"), ("ok", "a1")] {
        let extensions = BTreeMap::from([(key.to_owned(), String::new())]);
        let credentials = Credentials::OAuthBearer(Token { value: value.into(), extensions });
        assert!(Conversation::begin(&credentials, String::new()).is_err(), "{value:?} {key}");
    }
}

#[test]
fn mechanisms_have_names() {
    for name in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] {
        assert_eq!(name.parse::<Mechanism>().unwrap().name(), name);
    }
    let error = "GSSAPI".parse::<Mechanism>().unwrap_err().to_string();
    assert!(error.contains("no mechanism GSSAPI"), "{error}");
}

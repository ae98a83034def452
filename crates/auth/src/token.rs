//! Tokens of OAUTHBEARER: what a client has to show, and tokens that nobody signed.

use crate::error::AuthError;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;

/// What a client shows to be let in.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The token, as it goes over the wire.
    pub value: String,
    /// What is sent beside it (KIP-342).
    pub extensions: BTreeMap<String, String>,
}

/// Without the token itself.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("extensions", &self.extensions).finish_non_exhaustive()
    }
}

/// How long a token lasts whose options do not say: Kafka's default.
const UNSECURED_LIFETIME_S: i64 = 3600;

const STRING_CLAIM: &str = "unsecuredLoginStringClaim_";
const NUMBER_CLAIM: &str = "unsecuredLoginNumberClaim_";
const LIST_CLAIM: &str = "unsecuredLoginListClaim_";
const EXTENSION: &str = "unsecuredLoginExtension_";

/// Makes a token without a signature out of the options of a login module, as Kafka does when no
/// other way to get a token is configured. Brokers take such tokens in development only. `now_ms`
/// is in ms since 1970.
///
/// # Errors
/// [`AuthError::Token`] when an option is of no use, or none names the subject.
pub fn unsecured(options: &BTreeMap<String, String>, now_ms: i64) -> Result<Token, AuthError> {
    let of = |prefix: &'static str| {
        options.iter().filter_map(move |(key, value)| Some((key.strip_prefix(prefix)?, value)))
    };
    let bad = |key: &str| AuthError::Token(format!("option {key} is no number"));
    let mut claims = Map::new();
    let now_s = now_ms.div_euclid(1000);
    let lifetime_s = match options.get("unsecuredLoginLifetimeSeconds") {
        Some(text) => text.parse().map_err(|_| bad("unsecuredLoginLifetimeSeconds"))?,
        None => UNSECURED_LIFETIME_S,
    };
    claims.insert("iat".to_owned(), now_s.into());
    claims.insert("exp".to_owned(), now_s.saturating_add(lifetime_s).into());
    for (name, value) in of(STRING_CLAIM) {
        claims.insert(name.to_owned(), value.as_str().into());
    }
    for (name, value) in of(NUMBER_CLAIM) {
        let number: f64 = value.parse().map_err(|_| bad(&format!("{NUMBER_CLAIM}{name}")))?;
        claims.insert(name.to_owned(), number.into());
    }
    for (name, value) in of(LIST_CLAIM) {
        // The first character says what is between the items.
        let mut chars = value.chars();
        let items: Vec<Value> = match chars.next() {
            Some(separator) => chars.as_str().split(separator).map(Value::from).collect(),
            None => Vec::new(),
        };
        claims.insert(name.to_owned(), items.into());
    }
    let subject = options.get("unsecuredLoginPrincipalClaimName").map_or("sub", String::as_str);
    if !claims.contains_key(subject) {
        return Err(AuthError::Token(format!(
            "sasl.jaas.config names no subject: give it {STRING_CLAIM}{subject}=\"…\""
        )));
    }
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = serde_json::json!({ "alg": "none" });
    Ok(Token {
        value: format!("{}.{}.", part(&header), part(&Value::Object(claims))),
        extensions: of(EXTENSION).map(|(key, value)| (key.to_owned(), value.clone())).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn an_unsecured_token_has_the_claims_of_the_options() {
        let options = options(&[
            ("unsecuredLoginStringClaim_sub", "alice"),
            ("unsecuredLoginNumberClaim_level", "2"),
            ("unsecuredLoginListClaim_scope", "|a|b"),
            ("unsecuredLoginExtension_traceId", "123"),
            ("unsecuredLoginLifetimeSeconds", "60"),
        ]);
        let token = unsecured(&options, 1_000_500).unwrap();
        let parts: Vec<&str> = token.value.split('.').collect();
        let json = |part: &str| -> Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        assert_eq!(json(parts[0]), serde_json::json!({"alg": "none"}));
        assert_eq!(
            json(parts[1]),
            serde_json::json!({
                "sub": "alice", "level": 2.0, "scope": ["a", "b"], "iat": 1000, "exp": 1060
            })
        );
        assert_eq!(parts[2], "");
        assert_eq!(token.extensions["traceId"], "123");
        assert!(!format!("{token:?}").contains(&token.value));
    }

    #[test]
    fn options_of_no_use_are_named() {
        let check = |pairs: &[(&str, &str)], expected: &str| {
            let error = unsecured(&options(pairs), 0).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(&[], "unsecuredLoginStringClaim_sub");
        check(&[("unsecuredLoginLifetimeSeconds", "long")], "unsecuredLoginLifetimeSeconds");
        check(&[("unsecuredLoginNumberClaim_n", "x")], "unsecuredLoginNumberClaim_n");
    }
}

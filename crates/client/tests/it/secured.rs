//! Logging in, against brokers that say what a test wants.

use crate::fake::{FakeCluster, Reply, run};
use afluente_auth::token::Token;
use afluente_client::metadata::TopicsAsked;
use afluente_client::security::TokenSource;
use afluente_client::{Client, ClientConfig, Error, Target};
use afluente_env::Env;
use afluente_protocol::api_key::ApiKey;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::list_groups_request::ListGroupsRequest;
use afluente_protocol::messages::list_groups_response::ListGroupsResponse;
use afluente_protocol::messages::sasl_authenticate_request::SaslAuthenticateRequest;
use afluente_protocol::messages::sasl_authenticate_response::SaslAuthenticateResponse;
use afluente_protocol::messages::sasl_handshake_request::SaslHandshakeRequest;
use afluente_protocol::messages::sasl_handshake_response::SaslHandshakeResponse;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const PLAIN: &[(&str, &str)] = &[
    ("security.protocol", "SASL_PLAINTEXT"),
    ("sasl.mechanism", "PLAIN"),
    ("sasl.jaas.config", "C required username=\"alice\" password=\"secret\";"),
];

/// A broker that has `PLAIN` and `OAUTHBEARER`, and lets everybody in for `lifetime_ms`.
async fn cluster(lifetime_ms: i64) -> FakeCluster {
    let cluster = FakeCluster::start(1).await;
    cluster.on::<SaslHandshakeRequest>(|request, _| {
        let mechanisms = vec!["PLAIN".to_owned(), "OAUTHBEARER".to_owned()];
        let code = match mechanisms.contains(&request.mechanism) {
            true => ErrorCode::None,
            false => ErrorCode::UnsupportedSaslMechanism,
        };
        Reply::Answer(SaslHandshakeResponse { error_code: code.code(), mechanisms })
    });
    cluster.on::<SaslAuthenticateRequest>(move |_, _| {
        Reply::Answer(SaslAuthenticateResponse {
            session_lifetime_ms: lifetime_ms,
            ..Default::default()
        })
    });
    cluster.on::<ListGroupsRequest>(|_, _| Reply::Answer(ListGroupsResponse::default()));
    cluster
}

async fn refresh(client: &Client) -> Result<(), Error> {
    client.refresh(&TopicsAsked::None, client.deadline()).await.map(|_| ())
}

#[test]
fn a_client_logs_in_before_it_asks_anything_else() {
    run(async {
        let cluster = cluster(0).await;
        refresh(&cluster.client(PLAIN)).await.unwrap();
        let keys: Vec<ApiKey> = cluster.all_seen().iter().map(|seen| seen.key).collect();
        let expected = [
            ApiKey::ApiVersions,
            ApiKey::SaslHandshake,
            ApiKey::SaslAuthenticate,
            ApiKey::Metadata,
        ];
        assert_eq!(keys, expected);
        let message =
            cluster.seen(ApiKey::SaslAuthenticate)[0].request::<SaslAuthenticateRequest>();
        assert_eq!(&*message.auth_bytes, b"\0alice\0secret");
    });
}

#[test]
fn the_keys_of_librdkafka_name_the_user_too() {
    run(async {
        let cluster = cluster(0).await;
        let client = cluster.client(&[
            ("security.protocol", "sasl_plaintext"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", "bob"),
            ("sasl.password", "builder"),
        ]);
        refresh(&client).await.unwrap();
        let message =
            cluster.seen(ApiKey::SaslAuthenticate)[0].request::<SaslAuthenticateRequest>();
        assert_eq!(&*message.auth_bytes, b"\0bob\0builder");
    });
}

#[test]
fn a_refusal_fails_the_call_at_once_in_the_words_of_the_broker() {
    run(async {
        let cluster = cluster(0).await;
        cluster.on::<SaslAuthenticateRequest>(|_, _| {
            Reply::AnswerAndClose(SaslAuthenticateResponse {
                error_code: ErrorCode::SaslAuthenticationFailed.code(),
                error_message: Some("Authentication failed: Invalid username or password".into()),
                ..Default::default()
            })
        });
        let error = refresh(&cluster.client(PLAIN)).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "could not authenticate to {} by PLAIN: Authentication failed: Invalid username or \
                 password",
                cluster.address(1)
            )
        );
        assert_eq!(error.error_code(), Some(ErrorCode::SaslAuthenticationFailed));
        assert!(!error.is_retriable());
        assert_eq!(cluster.seen(ApiKey::SaslAuthenticate).len(), 1);
    });
}

#[test]
fn a_mechanism_that_the_broker_lacks_is_told_with_those_that_it_has() {
    run(async {
        let cluster = cluster(0).await;
        let mut properties = PLAIN.to_vec();
        properties[1] = ("sasl.mechanism", "SCRAM-SHA-512");
        let error = refresh(&cluster.client(&properties)).await.unwrap_err();
        assert!(error.to_string().contains("it has PLAIN, OAUTHBEARER"), "{error}");
    });
}

#[test]
fn a_session_is_renewed_on_its_connection_before_it_ends() {
    run(async {
        let cluster = cluster(50).await;
        let client = cluster.client(PLAIN);
        let mut sent = 0;
        while cluster.seen(ApiKey::SaslHandshake).len() < 4 {
            let request = ListGroupsRequest::default();
            client.send_once(&Target::Broker(1), &request, client.deadline()).await.map_or_else(
                |error| assert!(matches!(error, Error::UnknownBroker { .. }), "{error}"),
                |_| sent += 1,
            );
            refresh(&client).await.unwrap();
        }
        assert!(sent > 0);
        let of = |connection| {
            let seen = cluster.all_seen();
            let keys = seen.iter().filter(move |seen| seen.connection == connection);
            keys.map(|seen| seen.key).collect::<Vec<_>>()
        };
        let last = cluster.seen(ApiKey::SaslHandshake).pop().unwrap();
        let keys = of(last.connection);
        let handshakes: Vec<usize> =
            (0..keys.len()).filter(|&at| keys[at] == ApiKey::SaslHandshake).collect();
        assert!(handshakes.len() > 1, "it was the same connection: {keys:?}");
        for at in handshakes {
            if let Some(next) = keys.get(at + 1) {
                assert_eq!(*next, ApiKey::SaslAuthenticate, "nothing comes between");
            }
        }
    });
}

#[derive(Default)]
struct Numbered(AtomicUsize);

impl TokenSource for Numbered {
    fn token(&self) -> Pin<Box<dyn Future<Output = Result<Token, String>> + Send + '_>> {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            match number {
                2.. => Err("the well is dry".to_owned()),
                _ => Ok(Token { value: format!("t{number}"), extensions: Default::default() }),
            }
        })
    }
}

#[test]
fn each_connection_asks_for_a_token_of_its_own() {
    run(async {
        let cluster = cluster(0).await;
        let mut config = cluster.client_config(&[
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanism", "OAUTHBEARER"),
        ]);
        config.token_source = Some(Arc::new(Numbered::default()));
        for number in 0..2 {
            let client = Client::new(Env::real(), config.clone()).unwrap();
            refresh(&client).await.unwrap();
            let seen = cluster.seen(ApiKey::SaslAuthenticate).pop().unwrap();
            let message = seen.request::<SaslAuthenticateRequest>().auth_bytes;
            let expected = format!("n,,\u{1}auth=Bearer t{number}\u{1}\u{1}");
            assert_eq!(message, expected.as_bytes());
        }
        let client = Client::new(Env::real(), config).unwrap();
        let error = refresh(&client).await.unwrap_err().to_string();
        assert!(error.ends_with("by OAUTHBEARER: the well is dry"), "{error}");
    });
}

#[test]
fn settings_that_cannot_work_are_named_when_the_client_is_made() {
    let check = |properties: &[(&str, &str)], expected: &str| {
        let base = [("bootstrap.servers", "localhost:1")];
        let config = ClientConfig::from_properties(base.iter().chain(properties).copied());
        let error = Client::new(Env::real(), config.unwrap()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("wonderland"), "{error}");
    };
    let sasl = ("security.protocol", "SASL_SSL");
    let plaintext = ("security.protocol", "SASL_PLAINTEXT");
    check(&[plaintext], "Kerberos (GSSAPI)");
    check(&[plaintext, ("sasl.mechanism", "PLAIN")], "sasl.jaas.config must be given");
    let jaas = ("sasl.jaas.config", "C required password=\"wonderland\"");
    check(&[plaintext, ("sasl.mechanism", "PLAIN"), jaas], "the semicolon at the end is missing");
    let jaas = ("sasl.jaas.config", "C required password=\"wonderland\";");
    check(&[plaintext, ("sasl.mechanism", "SCRAM-SHA-256"), jaas], "username");
    check(&[plaintext, ("sasl.mechanism", "OAUTHBEARER")], "unsecuredLoginStringClaim_sub");
    check(&[sasl, ("ssl.truststore.location", "/nowhere.pem")], "ssl.truststore.location");
    check(&[sasl, ("ssl.truststore.certificates", "none")], "no certificate in PEM");
    check(&[sasl, ("ssl.keystore.key", "none")], "ssl.keystore.certificate.chain must be given");
    check(&[sasl, ("ssl.endpoint.identification.algorithm", "ldaps")], "https, or empty");
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes, expected) in [
        ("trust.jks", &[0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2][..], "a Java key store (JKS)"),
        ("trust.p12", &[0x30, 0x82, 1, 2][..], "PKCS #12"),
    ] {
        let path = dir.path().join(name);
        write(&path, bytes);
        check(&[sasl, ("ssl.truststore.location", path.to_str().unwrap())], expected);
        check(&[sasl, ("ssl.truststore.location", path.to_str().unwrap())], "keytool -exportcert");
    }
}

#[allow(clippy::disallowed_methods, reason = "a test writes a file for the client to read")]
fn write(path: &std::path::Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
}

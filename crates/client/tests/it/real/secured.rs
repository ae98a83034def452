//! TLS and SASL against Apache Kafka.

use crate::fake::run;
use afluente_auth::scram::ScramHash;
use afluente_client::admin::offsets::{IsolationLevel, OffsetSpec};
use afluente_client::admin::security::{ScramChange, ScramMechanism};
use afluente_client::admin::tokens::{NewToken, Principal};
use afluente_client::connection::{Connection, ConnectionOptions};
use afluente_client::consumer::{Consumer, ConsumerConfig};
use afluente_client::producer::{Producer, ProducerConfig, Record};
use afluente_client::security::Security;
use afluente_client::{Admin, Client, ClientConfig, Error};
use afluente_env::Env;
use afluente_harness::broker::Broker;
use afluente_harness::java::{Jars, Java};
use afluente_protocol::messages::list_groups_request::ListGroupsRequest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

/// How long a session of SASL_PLAINTEXT lasts.
const SESSION: Duration = Duration::from_millis(1_500);

/// Apache Kafka with a listener of each kind, and the certificates around it.
struct Secured {
    broker: Broker,
    dir: TempDir,
}

#[allow(clippy::disallowed_methods, reason = "a test writes files for the broker to read")]
fn write(dir: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// Writes `NAME.pem`, whom to trust, and `NAME-broker.pem` and `NAME-client.pem`, signed by it.
fn authority(dir: &TempDir, name: &str) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    write(dir, &format!("{name}.pem"), &params.self_signed(&key).unwrap().pem());
    let issuer = Issuer::new(params, key);
    for (holder, host) in [("broker", "127.0.0.1"), ("client", "client")] {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        let chain = params.signed_by(&key, &issuer).unwrap().pem();
        write(dir, &format!("{name}-{holder}.pem"), &format!("{}{chain}", key.serialize_pem()));
    }
}

impl Secured {
    fn start(java: Java) -> Self {
        let dir = tempfile::tempdir().unwrap();
        authority(&dir, "good");
        authority(&dir, "other");
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let (trusted, own) = (path("good.pem"), path("good-broker.pem"));
        let reauth_ms = SESSION.as_millis().to_string();
        let plain = "org.apache.kafka.common.security.plain.PlainLoginModule required \
                     user_alice=\"alice-secret\";";
        let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
        let oauth = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required \
                     unsecuredLoginStringClaim_sub=\"broker\";";
        let mut overrides: Vec<(String, &str)> = vec![
            ("ssl.keystore.type".into(), "PEM"),
            ("ssl.keystore.location".into(), &own),
            ("ssl.truststore.type".into(), "PEM"),
            ("ssl.truststore.location".into(), &trusted),
            ("listener.name.ssl.ssl.client.auth".into(), "required"),
            ("listener.name.sasl_plaintext.connections.max.reauth.ms".into(), &reauth_ms),
            ("delegation.token.secret.key".into(), "of the broker"),
            ("sasl.enabled.mechanisms".into(), "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER"),
        ];
        for listener in ["sasl_plaintext", "sasl_ssl"] {
            for (mechanism, module) in [
                ("plain", plain),
                ("scram-sha-256", scram),
                ("scram-sha-512", scram),
                ("oauthbearer", oauth),
            ] {
                let key = format!("listener.name.{listener}.{mechanism}.sasl.jaas.config");
                overrides.push((key, module));
            }
        }
        let overrides: Vec<(&str, &str)> =
            overrides.iter().map(|(key, value)| (key.as_str(), *value)).collect();
        let protocols = ["SSL", "SASL_PLAINTEXT", "SASL_SSL"];
        let broker = Broker::start_with_listeners(java, &protocols, &overrides).unwrap();
        Self { broker, dir }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// Properties of a client of the listener for `protocol` that trusts the right authority.
    fn properties(&self, protocol: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut properties = vec![
            ("bootstrap.servers".to_owned(), self.broker.listener(protocol)),
            ("security.protocol".to_owned(), protocol.to_owned()),
            ("ssl.truststore.type".to_owned(), "PEM".to_owned()),
            ("ssl.truststore.location".to_owned(), self.path("good.pem")),
        ];
        properties.extend(more.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())));
        properties
    }

    fn admin(&self, protocol: &str, more: &[(&str, &str)]) -> Admin {
        let config = ClientConfig::from_properties(self.properties(protocol, more)).unwrap();
        Admin::new(Client::new(Env::real(), config).unwrap())
    }
}

fn login(mechanism: &str, options: &str) -> [(&'static str, String); 2] {
    let jaas = format!("org.apache.kafka.Module required {options};");
    [("sasl.mechanism", mechanism.to_owned()), ("sasl.jaas.config", jaas)]
}

fn as_strs<'a>(pairs: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    pairs.iter().map(|(key, value)| (*key, value.as_str())).collect()
}

async fn add_scram_users(secured: &Secured) {
    let config =
        ClientConfig::from_properties([("bootstrap.servers", secured.broker.bootstrap())]).unwrap();
    let admin = Admin::new(Client::new(Env::real(), config).unwrap());
    for (mechanism, hash) in
        [(ScramMechanism::Sha256, ScramHash::Sha256), (ScramMechanism::Sha512, ScramHash::Sha512)]
    {
        let salted_password = hash.salted_password(b"carol, secret", b"salt", 4096).into();
        let change = ScramChange::Upsert {
            user: "carol=c".into(),
            mechanism,
            iterations: 4096,
            salt: bytes(b"salt"),
            salted_password,
        };
        admin.alter_scram_credentials([change]).await.unwrap()["carol=c"].as_ref().unwrap();
    }
}

fn bytes(text: &[u8]) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(text)
}

const CAROL: &str = "username=\"carol=c\" password=\"carol, secret\"";
const ALICE: &str = "username='alice' password='alice-secret'";
const DAVE: &str = "unsecuredLoginStringClaim_sub=\"dave\"";

async fn every_mechanism_lets_in(secured: &Secured) {
    for protocol in ["SASL_PLAINTEXT", "SASL_SSL"] {
        for (mechanism, options) in [
            ("PLAIN", ALICE),
            ("SCRAM-SHA-256", CAROL),
            ("SCRAM-SHA-512", CAROL),
            ("OAUTHBEARER", DAVE),
        ] {
            let admin = secured.admin(protocol, &as_strs(&login(mechanism, options)));
            let cluster = admin.describe_cluster(false).await;
            let cluster = cluster.unwrap_or_else(|e| panic!("{protocol} {mechanism}: {e}"));
            assert_eq!(cluster.brokers.len(), 1);
        }
    }
}

async fn a_delegation_token_lets_in(secured: &Secured) {
    let admin = secured.admin("SASL_SSL", &as_strs(&login("SCRAM-SHA-256", CAROL)));
    let token = admin.create_delegation_token(&NewToken::default()).await.unwrap();
    assert_eq!(token.owner, Principal::user("carol=c"));
    // The broker hears of it from its controller.
    loop {
        let tokens = admin.describe_delegation_tokens(None).await.unwrap();
        if tokens.iter().any(|found| found.id == token.id && found.hmac == token.hmac) {
            break;
        }
    }
    let password = STANDARD.encode(&token.hmac);
    let options = format!("username={:?} password={password:?} tokenauth=true", token.id);
    let by_token = secured.admin("SASL_SSL", &as_strs(&login("SCRAM-SHA-512", &options)));
    by_token.describe_cluster(false).await.unwrap();
    let longer = Some(Duration::from_secs(3600));
    assert!(admin.renew_delegation_token(token.hmac.clone(), longer).await.unwrap() > 0);
    admin.expire_delegation_token(token.hmac, None).await.unwrap();
}

async fn refused(secured: &Secured, protocol: &str, more: &[(&str, &str)], expected: &str) {
    let error = secured.admin(protocol, more).describe_cluster(false).await.unwrap_err();
    assert!(matches!(error, Error::Authentication { .. }), "{error:?}");
    assert!(error.to_string().contains(expected), "{error}");
}

async fn who_is_not_trusted_is_told_why(secured: &Secured) {
    let wrong = login("PLAIN", "username=alice password=guessed");
    let expected = "by PLAIN: Authentication failed: Invalid username or password";
    refused(secured, "SASL_SSL", &as_strs(&wrong), expected).await;
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
        for options in ["username=\"carol=c\" password=guessed", "username=nobody password=p"] {
            let wrong = login(mechanism, options);
            refused(secured, "SASL_PLAINTEXT", &as_strs(&wrong), "invalid credentials").await;
        }
    }
    let expired = format!("{DAVE} unsecuredLoginLifetimeSeconds=\"-3600\"");
    let wrong = login("OAUTHBEARER", &expired);
    refused(secured, "SASL_SSL", &as_strs(&wrong), "by OAUTHBEARER").await;

    let login = login("PLAIN", ALICE);
    let mut other = as_strs(&login);
    let path = secured.path("other.pem");
    other.push(("ssl.truststore.location", &path));
    refused(secured, "SASL_SSL", &other, "ssl.truststore.location has to hold").await;
    // The listener for TLS asks for a certificate, and for one that it trusts.
    refused(secured, "SSL", &[], "ssl.keystore.location").await;
    let stranger = secured.path("other-client.pem");
    let identity = [("ssl.keystore.location", stranger.as_str())];
    refused(secured, "SSL", &identity, "does not accept the client's certificate").await;
}

async fn records_go_through_tls(secured: &Secured) {
    let identity = secured.path("good-client.pem");
    let properties = secured.properties(
        "SSL",
        &[
            ("ssl.keystore.location", identity.as_str()),
            ("ssl.keystore.type", "PEM"),
            ("ssl.enabled.protocols", "TLSv1.3"),
            ("compression.type", "lz4"),
        ],
    );
    let config = ProducerConfig::from_properties(properties.iter().cloned()).unwrap();
    let producer = Producer::new(Env::real(), config).unwrap();
    let value = vec![b'v'; 10_000];
    for _ in 0..2_000 {
        let _flushed =
            producer.send(Record::to("over-tls").partition(0).value(&value)).await.unwrap();
    }
    producer.flush().await;
    assert_eq!(producer.metrics().records_failed, 0);
    let settings = [("auto.offset.reset", "earliest"), ("ssl.enabled.protocols", "TLSv1.2")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
    let config = ConsumerConfig::from_properties(properties.into_iter().chain(settings)).unwrap();
    let consumer = Consumer::new(Env::real(), config).unwrap();
    consumer.assign([("over-tls", 0)]).unwrap();
    let mut seen = 0;
    while seen < 2_000 {
        let records = consumer.poll(Duration::from_secs(1)).await.unwrap();
        assert!(records.iter().all(|record| record.value == Some(&*value)));
        seen += records.count();
    }
    let admin = Admin::new(producer.client().clone());
    let ends = admin
        .list_offsets([(("over-tls", 0).into(), OffsetSpec::Latest)], IsolationLevel::default())
        .await
        .unwrap();
    assert_eq!(ends.values().next().unwrap().as_ref().unwrap().offset, 2_000);
}

async fn sessions_are_renewed(secured: &Secured) {
    let env = Env::real();
    let login = login("SCRAM-SHA-256", CAROL);
    let properties = secured.properties("SASL_PLAINTEXT", &as_strs(&login));
    let config = ClientConfig::from_properties(properties).unwrap();
    let options = ConnectionOptions {
        client_id: "renewing".into(),
        in_flight_max: 5,
        idle_max: None,
        setup_timeout: Duration::from_secs(10),
        security: Security::read(&env, &config).unwrap(),
    };
    let address = &config.bootstrap_servers[0];
    let connection = Connection::make(&env, address, &options).await.unwrap();
    // A broker closes a connection that goes on asking behind the end of its session.
    let until = env.clock.now() + SESSION * 3;
    while env.clock.now() < until {
        let request = ListGroupsRequest::default();
        let timeout = Duration::from_secs(10);
        connection.submit(&request, 4, timeout).await.unwrap().await.unwrap();
        env.clock.sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn apache_kafka_is_reached_by_tls_and_sasl() {
    for jars in [Jars::Kafka, Jars::Kafka39] {
        let Some(java) = Java::or_skip(jars, "TLS and SASL against Apache Kafka") else { continue };
        let secured = Secured::start(java);
        run(async {
            add_scram_users(&secured).await;
            every_mechanism_lets_in(&secured).await;
            a_delegation_token_lets_in(&secured).await;
            who_is_not_trusted_is_told_why(&secured).await;
            records_go_through_tls(&secured).await;
            sessions_are_renewed(&secured).await;
        });
    }
}

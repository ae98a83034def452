//! Handshakes in memory, between the settings of a client and a broker with a certificate.

use super::*;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConnection, ServerConfig, ServerConnection};

/// Somebody who signs certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate with its key, in PEM.
struct Holder {
    chain: String,
    key: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn sign(&self, name: &str) -> Holder {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let chain = params.signed_by(&key, &self.issuer).unwrap().pem();
        Holder { chain, key: key.serialize_pem() }
    }
}

#[derive(Debug)]
struct SomeDay;

impl TimeProvider for SomeDay {
    fn current_time(&self) -> Option<UnixTime> {
        // Within the time that certificates of `rcgen` are good for, which is very long.
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_800_000_000)))
    }
}

fn all_protocols() -> Vec<String> {
    vec!["TLSv1.2".to_owned(), "TLSv1.3".to_owned()]
}

fn server(broker: &Holder, trusted: Option<&Authority>) -> Arc<ServerConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_details(Arc::clone(&provider), Arc::new(SomeDay))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match trusted {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(certificates(authority.pem.as_bytes(), "").unwrap());
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let chain = certificates(broker.chain.as_bytes(), "").unwrap();
    let key = private_key(broker.key.as_bytes()).unwrap();
    Arc::new(builder.with_single_cert(chain, key).unwrap())
}

/// Shakes hands, to `localhost`; the error of whoever fails first.
fn shake(client: &ClientTls<'_>, server: &Arc<ServerConfig>) -> Result<(), rustls::Error> {
    let config = client.build(Arc::new(SomeDay)).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(config, name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    while client.is_handshaking() || server.is_handshaking() || client.wants_write() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets()?;
        wire.clear();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    Ok(())
}

fn trusting<'a>(authority: &'a str, protocols: &'a [String]) -> ClientTls<'a> {
    ClientTls {
        trusted: authority.as_bytes(),
        identity: None,
        checks_host: true,
        protocols,
        cipher_suites: &[],
    }
}

#[test]
fn a_broker_is_trusted_by_who_signed_it_and_for_its_host() {
    let (authority, other) = (Authority::new("one"), Authority::new("other"));
    let (good, elsewhere) = (authority.sign("localhost"), authority.sign("elsewhere"));
    let protocols = all_protocols();
    let check = |client: &ClientTls<'_>, broker: &Holder, expected: Option<&str>| {
        let outcome = shake(client, &server(broker, None)).map_err(|error| error.to_string());
        match (outcome, expected) {
            (Ok(()), None) => {}
            (Err(error), Some(part)) => assert!(error.contains(part), "{error}"),
            (outcome, _) => panic!("{outcome:?} and not {expected:?}"),
        }
    };
    check(&trusting(&authority.pem, &protocols), &good, None);
    check(&trusting(&other.pem, &protocols), &good, Some("UnknownIssuer"));
    check(&trusting(&authority.pem, &protocols), &elsewhere, Some("not valid for name"));
    let anywhere = |authority| ClientTls { checks_host: false, ..trusting(authority, &protocols) };
    check(&anywhere(&authority.pem), &elsewhere, None);
    check(&anywhere(&other.pem), &elsewhere, Some("UnknownIssuer"));
    // What is trusted may be the broker's own certificate.
    check(&trusting(&good.chain, &protocols), &good, None);
    check(&trusting(&elsewhere.chain, &protocols), &elsewhere, Some("not valid for name"));
    // One version, one cipher suite.
    let (newest, suites) = (["TLSv1.3".to_owned()], ["TLS_AES_128_GCM_SHA256".to_owned()]);
    let narrow = ClientTls { cipher_suites: &suites, ..trusting(&authority.pem, &newest) };
    check(&narrow, &good, None);
}

#[test]
fn a_client_shows_its_certificate() {
    let authority = Authority::new("one");
    let (broker, client) = (authority.sign("localhost"), authority.sign("client"));
    let stranger = Authority::new("other").sign("client");
    let protocols = all_protocols();
    let server = server(&broker, Some(&authority));
    let with = |holder: &Holder| {
        let identity = Identity { chain: holder.chain.as_bytes(), key: holder.key.as_bytes() };
        shake(
            &ClientTls { identity: Some(identity), ..trusting(&authority.pem, &protocols) },
            &server,
        )
    };
    with(&client).unwrap();
    assert!(with(&stranger).is_err());
    assert!(shake(&trusting(&authority.pem, &protocols), &server).is_err());
}

#[test]
fn settings_of_no_use_are_named() {
    let authority = Authority::new("one");
    let (one, other) = (authority.sign("a"), authority.sign("b"));
    let protocols = all_protocols();
    let check = |settings: ClientTls<'_>, expected: &str| {
        let error = settings.build(Arc::new(SomeDay)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let with = |chain: &'static str, key: &'static str| {
        let identity = Identity { chain: chain.as_bytes(), key: key.as_bytes() };
        ClientTls { identity: Some(identity), ..trusting(&authority.pem, &protocols) }
    };
    check(trusting("", &protocols), "no certificate in PEM");
    check(trusting("-----BEGIN CERTIFICATE-----\n!\n", &protocols), "cannot be read as PEM");
    check(trusting(&authority.pem, &["SSLv3".to_owned()]), "TLS versions");
    let suites = ["TLS_NULL".to_owned()];
    check(
        ClientTls { cipher_suites: &suites, ..trusting(&authority.pem, &protocols) },
        "cipher suites TLS_NULL",
    );
    check(with("", ""), "no certificate in PEM");
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let chain: &'static str = one.chain.clone().leak();
    check(with(chain, encrypted), "openssl");
    check(with(chain, ""), "cannot be read as PEM");
    check(with(chain, other.key.leak()), "cannot be used");
}

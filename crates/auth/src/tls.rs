//! TLS settings of a client: from certificates and keys in PEM to what `rustls` takes.
//!
//! Where Java's default checks differ from those of `rustls`, they follow Java as far as that is
//! safe: a broker's certificate that is itself among the trusted ones is trusted, and the name of
//! the host is not looked at when `ssl.endpoint.identification.algorithm` is empty.

use crate::error::AuthError;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::time_provider::TimeProvider;
use rustls::{CertificateError, ClientConfig, RootCertStore, SupportedProtocolVersion};
use std::sync::Arc;

/// What a client needs to know about TLS.
#[derive(Debug)]
pub struct ClientTls<'a> {
    /// The certificates to trust, in PEM.
    pub trusted: &'a [u8],
    /// The client's own certificate and those above it, and its key, in PEM.
    pub identity: Option<Identity<'a>>,
    /// Whether the broker's certificate must be for the host that was connected to.
    pub checks_host: bool,
    /// `TLSv1.3` and `TLSv1.2`, as in `ssl.enabled.protocols`.
    pub protocols: &'a [String],
    /// Names of cipher suites, as in `ssl.cipher.suites`; all if there are none.
    pub cipher_suites: &'a [String],
}

/// A certificate with its key.
pub struct Identity<'a> {
    /// The certificate first, then those above it.
    pub chain: &'a [u8],
    /// The key: PKCS #8, PKCS #1 or SEC 1, not encrypted.
    pub key: &'a [u8],
}

impl std::fmt::Debug for Identity<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity")
    }
}

impl ClientTls<'_> {
    /// The settings as `rustls` takes them. Certificates are held against the time of `clock`.
    ///
    /// # Errors
    /// [`AuthError::Tls`]: what cannot be read, what is missing, what does not fit together.
    pub fn build(&self, clock: Arc<dyn TimeProvider>) -> Result<Arc<ClientConfig>, AuthError> {
        let provider = Arc::new(self.provider()?);
        let verifier = Arc::new(self.verifier(&provider)?);
        let builder = ClientConfig::builder_with_details(provider, clock)
            .with_protocol_versions(&self.versions()?)
            .map_err(|error| tls(format!("no TLS connection is possible: {error}")))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let chain = certificates(identity.chain, "the client's certificate chain")?;
                if chain.is_empty() {
                    return Err(tls("the client's certificate chain has no certificate in PEM"));
                }
                builder.with_client_auth_cert(chain, private_key(identity.key)?).map_err(
                    |error| tls(format!("the client's certificate cannot be used: {error}")),
                )?
            }
        };
        Ok(Arc::new(config))
    }

    fn provider(&self) -> Result<CryptoProvider, AuthError> {
        let mut provider = ring::default_provider();
        if !self.cipher_suites.is_empty() {
            let is_wanted = |suite: &rustls::SupportedCipherSuite| {
                // Those of TLS 1.3 are called TLS13_… by rustls, and TLS_… by everybody else.
                let name = format!("{:?}", suite.suite()).replacen("TLS13_", "TLS_", 1);
                self.cipher_suites.contains(&name)
            };
            provider.cipher_suites.retain(is_wanted);
            if provider.cipher_suites.is_empty() {
                let names = self.cipher_suites.join(", ");
                return Err(tls(format!("none of the cipher suites {names} is known here")));
            }
        }
        Ok(provider)
    }

    fn versions(&self) -> Result<Vec<&'static SupportedProtocolVersion>, AuthError> {
        let of = |name: &String| match name.as_str() {
            "TLSv1.3" => Some(&rustls::version::TLS13),
            "TLSv1.2" => Some(&rustls::version::TLS12),
            _ => None,
        };
        let versions: Vec<_> = self.protocols.iter().filter_map(of).collect();
        if versions.is_empty() {
            return Err(tls(format!(
                "none of the TLS versions {:?} can be spoken: TLSv1.3 and TLSv1.2 can",
                self.protocols
            )));
        }
        Ok(versions)
    }

    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Verifier, AuthError> {
        let trusted = certificates(self.trusted, "what is to be trusted")?;
        if trusted.is_empty() {
            return Err(tls("what is to be trusted has no certificate in PEM"));
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted.iter().cloned());
        let chains = match roots.is_empty() {
            true => None,
            false => Some(
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
                    .build()
                    .map_err(|error| tls(format!("nothing can be trusted: {error}")))?,
            ),
        };
        let (checks_host, provider) = (self.checks_host, Arc::clone(provider));
        Ok(Verifier { chains, trusted, checks_host, provider })
    }
}

/// Judges a broker's certificate.
#[derive(Debug)]
struct Verifier {
    /// Judges chains up to a trusted certificate; `None` if none of them can be at the top of one.
    chains: Option<Arc<WebPkiServerVerifier>>,
    trusted: Vec<CertificateDer<'static>>,
    checks_host: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let is_trusted_itself = self.trusted.iter().any(|one| one.as_ref() == end_entity.as_ref());
        if is_trusted_itself {
            if self.checks_host {
                let parsed = ParsedCertificate::try_from(end_entity)?;
                rustls::client::verify_server_name(&parsed, server_name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        let Some(chains) = &self.chains else {
            return Err(CertificateError::UnknownIssuer.into());
        };
        let verified =
            chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // The name is looked at last: everything else about the certificate is good.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.checks_host => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, AuthError> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| tls(format!("{what} cannot be read as PEM: {error}")))
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, AuthError> {
    if contains(pem, b"BEGIN ENCRYPTED PRIVATE KEY") || contains(pem, b"Proc-Type: 4,ENCRYPTED") {
        return Err(tls(
            "the client's private key is encrypted, which is not supported; decrypt it: openssl \
             pkey -in key.pem -out plain.pem",
        ));
    }
    PrivateKeyDer::from_pem_slice(pem)
        .map_err(|error| tls(format!("the client's private key cannot be read as PEM: {error}")))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn tls(problem: impl Into<String>) -> AuthError {
    AuthError::Tls(problem.into())
}

#[cfg(test)]
mod tests;

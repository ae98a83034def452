//! TLS on a socket that is connected, and what its failures mean.

use crate::config::ServerAddress;
use crate::error::Error;
use std::io;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{AlertDescription, CertificateError, Error as TlsError};

/// Shakes hands.
pub(super) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    connector: &TlsConnector,
    stream: S,
    address: &ServerAddress,
) -> Result<TlsStream<S>, Error> {
    let name = ServerName::try_from(address.host.clone()).map_err(|_| Error::Connect {
        address: address.clone(),
        problem: "the host has no name that a certificate can be for".to_owned(),
        hint: "check the name",
    })?;
    connector.connect(name, stream).await.map_err(|error| {
        refusal(address, &error).unwrap_or_else(|| Error::Connect {
            address: address.clone(),
            problem: format!("no TLS connection: {error}"),
            hint: "check that the port is one for TLS (security.protocol)",
        })
    })
}

/// The refusal that a failed read or handshake stands for, if it does: of the broker's certificate by
/// the client, or of the client's by the broker. Trying again does not help then.
pub(super) fn refusal(address: &ServerAddress, error: &io::Error) -> Option<Error> {
    let error = error.get_ref()?.downcast_ref::<TlsError>()?;
    let problem = match error {
        TlsError::InvalidCertificate(reason) => {
            format!("the broker's certificate is not trusted: {error}{}", remedy(reason))
        }
        TlsError::NoCertificatesPresented => "the broker has no certificate".to_owned(),
        TlsError::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
                "the broker asks for a certificate of the client (ssl.keystore.location, or \
                 ssl.keystore.certificate.chain and ssl.keystore.key)"
                    .to_owned()
            }
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied => format!(
                "the broker does not accept the client's certificate ({alert:?}); check \
                 ssl.keystore.location, and what the broker trusts"
            ),
            AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure => format!(
                "the broker speaks no TLS version or cipher that the client does ({alert:?}); check \
                 ssl.enabled.protocols and ssl.cipher.suites"
            ),
            _ => return None,
        },
        _ => return None,
    };
    Some(Error::Authentication { address: address.clone(), mechanism: None, problem })
}

fn remedy(reason: &CertificateError) -> &'static str {
    match reason {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "; ssl.truststore.location has to hold the certificate of who signed it"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "; connect by a name that it is for, or set ssl.endpoint.identification.algorithm to \
             nothing, which lets anybody with a trusted certificate pass for the broker"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "; renew it, and check the clock of this machine"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "; check the clock of this machine"
        }
        _ => "",
    }
}

//! Certificates and keys: from the configuration itself, or from the files that it names.
//!
//! Only PEM is read. Java's own stores (JKS, PKCS #12) are refused with the line that turns one into
//! PEM.

use crate::config::{ConfigError, Values};
use afluente_env::Env;
use afluente_env::disk::{Access, OpenHow, read_full_at};
use std::path::Path;

/// Where systems keep the certificates that everybody trusts.
const SYSTEM_STORES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// No store is larger.
const STORE_BYTES_MAX: u64 = 16 << 20;

/// The certificates to trust, in PEM; those of the system if none are given.
pub(super) fn trusted(env: &Env, values: &Values) -> Result<Vec<u8>, ConfigError> {
    if let Some(text) = values.optional_text("ssl.truststore.certificates") {
        return Ok(with_line_ends(text));
    }
    if let Some(path) = values.optional_text("ssl.truststore.location") {
        return store(env, values, "ssl.truststore.location", path);
    }
    for path in SYSTEM_STORES {
        if let Ok(Some(_)) = env.disk.metadata(Path::new(path)) {
            return read(env, "ssl.truststore.location", path);
        }
    }
    Err(ConfigError::missing(
        "ssl.truststore.location",
        "the certificates to trust, in PEM: this system has none of its own",
    ))
}

/// A certificate chain and its key, in PEM.
type PemIdentity = (Vec<u8>, Vec<u8>);

/// The client's certificate chain and key, if it has any.
pub(super) fn identity(env: &Env, values: &Values) -> Result<Option<PemIdentity>, ConfigError> {
    let chain = values.optional_text("ssl.keystore.certificate.chain");
    let key = values.optional_text("ssl.keystore.key");
    match (chain, key, values.optional_text("ssl.keystore.location")) {
        (Some(chain), Some(key), _) => Ok(Some((with_line_ends(chain), with_line_ends(key)))),
        (Some(_), None, _) => {
            let allowed = "the key of the certificate in ssl.keystore.certificate.chain, in PEM";
            Err(ConfigError::missing("ssl.keystore.key", allowed))
        }
        (None, Some(_), _) => {
            let allowed = "the certificate of the key in ssl.keystore.key, in PEM";
            Err(ConfigError::missing("ssl.keystore.certificate.chain", allowed))
        }
        // One file holds the key and the chain.
        (None, None, Some(path)) => {
            let pem = store(env, values, "ssl.keystore.location", path)?;
            Ok(Some((pem.clone(), pem)))
        }
        (None, None, None) => Ok(None),
    }
}

fn store(env: &Env, values: &Values, key: &str, path: &str) -> Result<Vec<u8>, ConfigError> {
    let bytes = read(env, key, path)?;
    if looks_like_pem(&bytes) {
        return Ok(bytes);
    }
    let type_key = key.replace("location", "type");
    let kind = match bytes.first_chunk() {
        Some([0xfe, 0xed, 0xfe, 0xed]) => "a Java key store (JKS)",
        Some([0x30, ..]) => "a PKCS #12 store, or a certificate in DER",
        _ if values.text(&type_key).eq_ignore_ascii_case("PEM") => "no PEM",
        _ => "a store that is not known here",
    };
    let line = if key.contains("trust") {
        "keytool -exportcert -rfc -keystore STORE -alias ALIAS -file trusted.pem"
    } else {
        "keytool -importkeystore -srckeystore STORE -destkeystore store.p12 -deststoretype PKCS12, \
         then openssl pkcs12 -in store.p12 -nodes -out client.pem"
    };
    let allowed = format!(
        "a file in PEM, and this is {kind}; turn it into PEM ({line}), and set \
                           {type_key} to PEM"
    );
    Err(ConfigError::invalid(key, path, allowed))
}

fn read(env: &Env, key: &str, path: &str) -> Result<Vec<u8>, ConfigError> {
    let unreadable = |problem: String| {
        ConfigError::invalid(key, path, format!("a file that can be read: {problem}"))
    };
    let name = Path::new(path);
    let file = env.disk.open(name, OpenHow::buffered(Access::Read));
    let file = file.map_err(|error| unreadable(error.to_string()))?;
    let len = file.len().map_err(|error| unreadable(error.to_string()))?;
    if len > STORE_BYTES_MAX {
        return Err(unreadable(format!("it has {len} bytes, which no store has")));
    }
    let mut bytes = vec![0; usize::try_from(len).expect("no more than the bound")];
    read_full_at(&*file, &mut bytes, 0).map_err(|error| unreadable(error.to_string()))?;
    Ok(bytes)
}

fn looks_like_pem(bytes: &[u8]) -> bool {
    const BEGIN: &[u8] = b"-----BEGIN ";
    bytes.windows(BEGIN.len()).any(|window| window == BEGIN)
}

/// In a file of properties PEM often stands on one line, with blanks where lines ended; a reader of
/// PEM wants the lines.
fn with_line_ends(text: &str) -> Vec<u8> {
    if text.contains('\n') {
        return text.as_bytes().to_vec();
    }
    let mut lines = String::new();
    for (index, part) in text.split("-----").enumerate() {
        match index % 2 {
            // Between the marks: base64, cut by blanks.
            0 => part.split_whitespace().for_each(|piece| {
                lines.push_str(piece);
                lines.push('\n');
            }),
            _ => {
                lines.push_str(&format!("-----{part}-----\n"));
            }
        }
    }
    lines.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_on_one_line_gets_its_lines_back() {
        let text =
            "-----BEGIN A B----- abc def= -----END A B----- -----BEGIN C-----x-----END C-----";
        let expected = "-----BEGIN A B-----\nabc\ndef=\n-----END A B-----\n-----BEGIN C-----\nx\n\
                        -----END C-----\n";
        assert_eq!(String::from_utf8(with_line_ends(text)).unwrap(), expected);
        assert_eq!(with_line_ends(expected), expected.as_bytes());
    }
}

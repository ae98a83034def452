//! What is under Kafka's protocol on the connections of a client: TLS, and who logs in.
//!
//! Read from `security.protocol`, `ssl.*` and `sasl.*` when the client is made; files are read then,
//! and not again. What logs in is known to `Login`, which gives fresh credentials for each
//! connection, and again before a session ends (KIP-368).

mod files;

use crate::config::{ClientConfig, ConfigError, SecurityProtocol, Values};
use crate::error::Error;
use afluente_auth::jaas::LoginModule;
use afluente_auth::sasl::{Credentials, Mechanism};
use afluente_auth::tls::{ClientTls, Identity};
use afluente_auth::token::{self, Token};
use afluente_env::Env;
use afluente_env::clock::Clock;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::UnixTime;
use tokio_rustls::rustls::time_provider::TimeProvider;

/// Gets the tokens of OAUTHBEARER; each new connection, and each one before its session ends, asks
/// for one. It may give the same one as long as that is good.
pub trait TokenSource: Send + Sync + 'static {
    /// A token that is good at this moment, or why there is none.
    fn token(&self) -> Pin<Box<dyn Future<Output = Result<Token, String>> + Send + '_>>;
}

/// How connections are secured.
#[derive(Clone, Default)]
pub struct Security {
    pub(crate) tls: Option<TlsConnector>,
    pub(crate) login: Option<Arc<Login>>,
}

/// Who logs in, and how.
pub(crate) struct Login {
    pub(crate) mechanism: Mechanism,
    secret: Secret,
    clock: Clock,
}

enum Secret {
    Password(Credentials),
    /// Options of the login module, of which a token without a signature is made.
    Unsecured(BTreeMap<String, String>),
    Source(Arc<dyn TokenSource>),
}

impl Security {
    /// Reads what `config` says, and the files that it names.
    ///
    /// # Errors
    /// [`Error::Config`], which names the key.
    pub fn read(env: &Env, config: &ClientConfig) -> Result<Self, Error> {
        let (has_tls, has_sasl) = match config.security_protocol {
            SecurityProtocol::Plaintext => (false, false),
            SecurityProtocol::Ssl => (true, false),
            SecurityProtocol::SaslPlaintext => (false, true),
            SecurityProtocol::SaslSsl => (true, true),
        };
        let values = config.values();
        let tls = if has_tls { Some(tls(env, values)?) } else { None };
        let login = if has_sasl { Some(Arc::new(login(env, config)?)) } else { None };
        Ok(Self { tls, login })
    }
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mechanism = self.login.as_ref().map(|login| login.mechanism.name());
        let has_tls = self.tls.is_some();
        f.debug_struct("Security").field("tls", &has_tls).field("mechanism", &mechanism).finish()
    }
}

impl Login {
    /// What to log in with at this moment.
    pub(crate) async fn credentials(&self) -> Result<Credentials, String> {
        match &self.secret {
            Secret::Password(credentials) => Ok(credentials.clone()),
            Secret::Unsecured(options) => token::unsecured(options, self.clock.wall_ms())
                .map(Credentials::OAuthBearer)
                .map_err(|error| error.to_string()),
            Secret::Source(source) => source.token().await.map(Credentials::OAuthBearer),
        }
    }
}

/// The time that certificates are held against.
#[derive(Debug)]
struct WallTime(Clock);

impl TimeProvider for WallTime {
    fn current_time(&self) -> Option<UnixTime> {
        let ms = u64::try_from(self.0.wall_ms()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_millis(ms)))
    }
}

fn tls(env: &Env, values: &Values) -> Result<TlsConnector, Error> {
    let trusted = files::trusted(env, values)?;
    let identity = files::identity(env, values)?;
    let identity = identity.as_ref().map(|(chain, key)| Identity { chain, key });
    let algorithm = values.text("ssl.endpoint.identification.algorithm");
    if !algorithm.is_empty() && !algorithm.eq_ignore_ascii_case("https") {
        let key = "ssl.endpoint.identification.algorithm";
        return Err(ConfigError::invalid(key, algorithm, "https, or empty").into());
    }
    let settings = ClientTls {
        trusted: &trusted,
        identity,
        checks_host: !algorithm.is_empty(),
        protocols: values.list("ssl.enabled.protocols"),
        cipher_suites: values.list("ssl.cipher.suites"),
    };
    let clock = Arc::new(WallTime(env.clock.clone()));
    match settings.build(clock) {
        Ok(config) => Ok(TlsConnector::from(config)),
        Err(error) => Err(ConfigError::wrong("ssl.*", error.to_string()).into()),
    }
}

fn login(env: &Env, config: &ClientConfig) -> Result<Login, Error> {
    let values = config.values();
    let name = values.text("sasl.mechanism");
    let mechanism: Mechanism = name.parse().map_err(|_| {
        let allowed = "one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER: Kerberos (GSSAPI), \
                       Kafka's default, is not there";
        ConfigError::invalid("sasl.mechanism", name, allowed)
    })?;
    let module = match values.optional_text("sasl.jaas.config") {
        None => None,
        Some(text) => {
            let module = LoginModule::parse(text);
            Some(module.map_err(|e| ConfigError::wrong("sasl.jaas.config", e.to_string()))?)
        }
    };
    let options = module.map(|module| module.options).unwrap_or_default();
    let secret = match mechanism {
        Mechanism::OAuthBearer => match &config.token_source {
            Some(source) => Secret::Source(Arc::clone(source)),
            None => unsecured(values, options)?,
        },
        Mechanism::Plain => {
            let (username, password) = name_and_password(values, &options)?;
            Secret::Password(Credentials::Plain { username, password })
        }
        Mechanism::Scram(hash) => {
            let (username, password) = name_and_password(values, &options)?;
            let is_delegation_token =
                options.get("tokenauth").is_some_and(|text| text.eq_ignore_ascii_case("true"));
            let (hash, username, password) = (hash, username, password);
            let credentials = Credentials::Scram { hash, username, password, is_delegation_token };
            Secret::Password(credentials)
        }
    };
    Ok(Login { mechanism, secret, clock: env.clock.clone() })
}

fn name_and_password(
    values: &Values,
    options: &BTreeMap<String, String>,
) -> Result<(String, String), ConfigError> {
    let find = |option: &str, key: &str| {
        let given = options.get(option).map(String::as_str).or(values.optional_text(key));
        given.map(str::to_owned).ok_or_else(|| {
            ConfigError::missing(
                "sasl.jaas.config",
                format!(
                    "a login module with {option}=\"…\", as in `org.apache.kafka.common.security.\
                     plain.PlainLoginModule required username=\"…\" password=\"…\";` ({key} does too)"
                ),
            )
        })
    };
    Ok((find("username", "sasl.username")?, find("password", "sasl.password")?))
}

fn unsecured(values: &Values, options: BTreeMap<String, String>) -> Result<Secret, ConfigError> {
    if let Some(url) = values.optional_text("sasl.oauthbearer.token.endpoint.url") {
        let allowed = "empty: this client does not ask an endpoint for tokens by itself; give it a \
                       `TokenSource`";
        return Err(ConfigError::invalid("sasl.oauthbearer.token.endpoint.url", url, allowed));
    }
    // So that what is wrong is told here, and not with the first connection.
    token::unsecured(&options, 0)
        .map_err(|error| ConfigError::wrong("sasl.jaas.config", error.to_string()))?;
    Ok(Secret::Unsecured(options))
}

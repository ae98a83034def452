//! The console as a whole: what its parts share, starting, stopping.

use crate::kafka::Kafka;
use crate::keep::Keep;
use crate::routes::Routes;
use crate::sampler;
use crate::state::State;
use crate::view::alerts::Alerts;
use crate::view::panels::Panels;
use crate::writer::Writer;
use afluente_client::{Client, ClientConfig};
use afluente_env::Env;
use afluente_httpd::guard::Guard;
use afluente_httpd::login::Login;
use afluente_httpd::server::{HttpServer, Limits, ListenError, ServerConfig};
use afluente_httpd::{HeaderValue, header};
use parking_lot::RwLock;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

/// Searches, exports and the like at a time.
const SEARCHES_MAX: usize = 8;

/// How a console runs.
#[derive(Debug, Clone)]
pub struct ConsoleConfig {
    /// `HOST:PORT` of the console itself.
    pub listen: String,
    /// Names by which it may be called, beside `localhost` and addresses.
    pub names: Vec<String>,
    /// Who may come in.
    pub login: Login,
    /// How the cluster is reached.
    pub client: ClientConfig,
    /// Host and port of the broker's `/metrics`; only ours has them.
    pub metrics: Option<(String, u16)>,
    /// Refuse all changes.
    pub read_only: bool,
    /// Tells production from test.
    pub environment: Option<Environment>,
    /// Demo data that runs in this process.
    pub demos: Vec<String>,
    /// The file that dashboards and rules are kept in; without one they end with the process.
    pub keep: Option<PathBuf>,
    /// Whether the cluster is ours.
    pub is_afluente: bool,
}

/// Name and colour of an environment.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Environment {
    /// As in `production`.
    pub name: String,
    /// A colour of CSS.
    pub color: String,
}

/// A running console.
pub struct ConsoleServer {
    http: HttpServer,
    tasks: Vec<JoinHandle<()>>,
}

/// Why a console did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken, or not ours.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The client's configuration cannot be used.
    #[error("the cluster cannot be reached with this configuration")]
    Client(#[from] afluente_client::Error),
    /// What was kept cannot be read.
    #[error("the dashboards and rules in {} cannot be read", .path.display())]
    Keep {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// What all parts share.
pub(crate) struct Console {
    pub(crate) env: Env,
    pub(crate) config: ConsoleConfig,
    pub(crate) kafka: Kafka,
    pub(crate) writer: Writer,
    pub(crate) alerts: Alerts,
    pub(crate) panels: Panels,
    pub(crate) searches: Arc<Semaphore>,
    pub(crate) boot_id: String,
    pub(crate) started_ms: i64,
    /// Moves after each round of the sampler, with its time.
    pub(crate) ticks: watch::Sender<i64>,
    /// Where other machines can reach us, if they can.
    pub(crate) open_to_others: RwLock<Option<SocketAddr>>,
    state: RwLock<State>,
}

impl Console {
    pub(crate) fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.state.read())
    }

    pub(crate) fn write<T>(&self, write: impl FnOnce(&mut State) -> T) -> T {
        write(&mut self.state.write())
    }
}

impl ConsoleServer {
    /// Listens, and begins to look at the cluster. A cluster that cannot be reached is no error:
    /// the console says so, and goes on trying.
    ///
    /// # Errors
    /// When the address cannot be listened on, or what is configured makes no sense.
    pub async fn start(env: Env, config: ConsoleConfig) -> Result<Self, StartError> {
        let client = Client::new(env.clone(), config.client.clone())?;
        let keep = Keep::open(&env, config.keep.clone())
            .map_err(|(path, source)| StartError::Keep { path, source })?;
        let server = server_config(&config);
        let console = Arc::new(Console {
            kafka: Kafka { client },
            writer: Writer::new(env.clone(), &config.client)?,
            alerts: Alerts::new(keep.rules()),
            panels: Panels::new(keep),
            searches: Arc::new(Semaphore::new(SEARCHES_MAX)),
            boot_id: format!("{:016x}", env.rng.u64()),
            started_ms: env.clock.wall_ms(),
            ticks: watch::Sender::new(0),
            open_to_others: RwLock::new(None),
            state: RwLock::default(),
            env: env.clone(),
            config,
        });
        let routes = Arc::new(Routes(Arc::clone(&console)));
        let http = HttpServer::start(env.clone(), server, routes).await?;
        *console.open_to_others.write() = http.open_to_others();
        let tasks = vec![env.tasks.spawn(sampler::run(console))];
        Ok(Self { http, tasks })
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        self.http.addresses()
    }

    /// Stops.
    pub async fn stop(self) {
        for task in &self.tasks {
            task.abort();
        }
        self.http.stop().await;
    }
}

impl fmt::Debug for ConsoleServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsoleServer").field("http", &self.http).finish_non_exhaustive()
    }
}

fn server_config(config: &ConsoleConfig) -> ServerConfig {
    const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
         connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
    ServerConfig {
        listen: config.listen.clone(),
        guard: Guard { names: config.names.clone() },
        login: config.login.clone(),
        limits: Limits::default(),
        headers: vec![
            (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        ],
    }
}

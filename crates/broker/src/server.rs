//! Starting and stopping: the log directory, the listeners, and the connections on them.

use crate::admission::{Admission, Limits};
use crate::broker::Broker;
use crate::config::listeners::EndPoint;
use crate::config::{Config, Settings};
use crate::connection::{self, Client};
use crate::dynamic::{self, Dynamic};
use crate::fetch_session::FetchSessions;
use crate::groups::Groups;
use crate::housekeeping;
use crate::http;
use crate::memory::RequestMemory;
use crate::metadata::{self, Metadata, MetadataError};
use crate::metrics::Metrics;
use crate::observer::Observer;
use crate::stopping::Stopping;
use crate::topics::Topics;
use crate::transactions::Transactions;
use afluente_env::Env;
use afluente_env::net::{ListenOptions, Listener, Stream};
use afluente_storage::{LogDir, LogDirConfig, StorageError};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// How long connections get to end when the broker stops.
const STOP_MAX: Duration = Duration::from_secs(10);

/// A running broker.
pub struct Server {
    broker: Arc<Broker>,
    addresses: Vec<(String, SocketAddr)>,
    http: Option<SocketAddr>,
    accepting: Vec<JoinHandle<()>>,
}

/// Why the broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// `log.dirs` is not set.
    #[error("log.dirs is not set: give --data-dir, or log.dirs in the configuration")]
    NoLogDir,
    /// The data cannot be used.
    #[error("the log directory {} cannot be opened", .path.display())]
    LogDir {
        /// Which.
        path: PathBuf,
        /// Why.
        source: StorageError,
    },
    /// The cluster's metadata cannot be used.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// An address cannot be listened on.
    #[error("could not listen on {end}")]
    Listen {
        /// As configured.
        end: String,
        /// Why.
        source: io::Error,
    },
}

impl Server {
    /// Opens the data and listens. Clients are served from then on.
    ///
    /// # Errors
    /// What cannot be opened or listened on.
    pub async fn start(env: Env, config: Config, settings: Settings) -> Result<Self, StartError> {
        let path = settings.log.dirs.first().ok_or(StartError::NoLogDir)?.clone();
        let topics = Arc::new(Topics::default());
        let room = Arc::new(Notify::new());
        let observer = Arc::new(Observer::new(Arc::clone(&topics), Arc::clone(&room)));
        metadata::takeover::check(&env, &path, settings.node.id)?;
        let log_dir = open_log_dir(&env, &path, &settings, observer)
            .map_err(|source| StartError::LogDir { path: path.clone(), source })?;
        let metadata = Metadata::open(&env, &path, &log_dir, &config, &settings, &topics).await?;
        let network = &settings.network;
        let broker = Arc::new(Broker {
            metadata,
            groups: Groups::new(settings.coordinators.groups.clone(), &env),
            transactions: Transactions::new(settings.coordinators.transactions),
            admission: Admission::new(Limits::of(network)),
            dynamic: Dynamic::new(&settings),
            fetch_sessions: FetchSessions::new(settings.fetch.session_slots),
            memory: Arc::new(RequestMemory::new(network.request_memory_bytes)),
            metrics: Metrics::default(),
            stopping: Stopping::default(),
            env,
            config,
            settings,
            log_dir,
            topics,
            room,
        });
        let mut server = Self { broker, addresses: Vec::new(), http: None, accepting: Vec::new() };
        server.listen_for_clients().await?;
        server.listen_for_http().await?;
        dynamic::follow(&server.broker);
        housekeeping::start(&server.broker);
        Ok(server)
    }

    /// The listeners' names, and where they really listen.
    #[must_use]
    pub fn addresses(&self) -> &[(String, SocketAddr)] {
        &self.addresses
    }

    /// Where metrics and health are.
    #[must_use]
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http
    }

    /// What the connections share.
    #[must_use]
    pub fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }

    /// Stops: nothing new is begun, what was begun is answered, the data is closed.
    ///
    /// # Errors
    /// The data could not be closed well; nothing acknowledged is lost by that.
    pub async fn stop(self) -> Result<(), StorageError> {
        for accepting in &self.accepting {
            accepting.abort();
        }
        self.broker.stopping.say();
        let clock = &self.broker.env.clock;
        let deadline = clock.now() + STOP_MAX;
        while self.broker.admission.count() > 0 && clock.now() < deadline {
            clock.sleep(Duration::from_millis(5)).await;
        }
        let left = self.broker.admission.count();
        if left > 0 {
            tracing::warn!(connections = left, "stopping without waiting any longer");
        }
        self.broker.log_dir.clone().close()
    }

    async fn listen_for_clients(&mut self) -> Result<(), StartError> {
        let listeners = self.broker.settings.network.listeners.clone();
        for (index, configured) in listeners.iter().enumerate() {
            let bound = self.bind(&configured.bind).await;
            let (listener, address) = bound.map_err(|source| StartError::Listen {
                end: configured.bind.to_string(),
                source,
            })?;
            tracing::info!(listener = configured.bind.name, %address, "listening");
            self.addresses.push((configured.bind.name.clone(), address));
            let broker = Arc::clone(&self.broker);
            self.accept(listener, move |stream, peer| {
                client(Arc::clone(&broker), stream, peer, index)
            });
        }
        Ok(())
    }

    /// A default address that is taken is no reason not to start: another broker has it.
    async fn listen_for_http(&mut self) -> Result<(), StartError> {
        let Some(http) = self.broker.settings.node.http_listener.clone() else { return Ok(()) };
        let end = EndPoint::parse(&format!("HTTP://{}", http.address)).map_err(|why| {
            StartError::Listen {
                end: http.address.clone(),
                source: io::Error::new(io::ErrorKind::InvalidInput, why),
            }
        })?;
        match self.bind(&end).await {
            Ok((listener, address)) => {
                tracing::info!(%address, "metrics and health are served");
                self.http = Some(address);
                let broker = Arc::clone(&self.broker);
                self.accept(listener, move |stream, _| http::serve(Arc::clone(&broker), stream));
                Ok(())
            }
            Err(source) if http.is_required => {
                Err(StartError::Listen { end: http.address, source })
            }
            Err(error) => {
                tracing::warn!(address = http.address, %error, "metrics are not served: set http.listener to another address");
                Ok(())
            }
        }
    }

    async fn bind(&self, end: &EndPoint) -> io::Result<(Listener, SocketAddr)> {
        let network = &self.broker.settings.network;
        let options = ListenOptions {
            backlog: network.backlog.max(BACKLOG_MIN),
            send_buffer_bytes: network.send_buffer_bytes,
            receive_buffer_bytes: network.receive_buffer_bytes,
        };
        let net = &self.broker.env.net;
        let addresses = match end.host.as_str() {
            "" => vec![
                SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, end.port)),
                SocketAddr::from((std::net::Ipv4Addr::UNSPECIFIED, end.port)),
            ],
            host => net.lookup(host, end.port).await?,
        };
        let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "the name has no address");
        for address in addresses {
            match net.listen(address, options).await {
                Ok(listener) => {
                    let address = listener.local_addr()?;
                    return Ok((listener, address));
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn accept<F>(
        &mut self,
        listener: Listener,
        serve: impl Fn(Stream, SocketAddr) -> F + Clone + Send + Sync + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let env = self.broker.env.clone();
        self.accepting.push(self.broker.env.tasks.spawn(async move {
            let failed = |error| tracing::warn!(%error, "could not accept a connection");
            env.tasks.serve(&env.clock, &listener, serve, failed).await;
        }));
    }
}

/// Kafka's default of 50 is for a thread that does nothing but accept; a burst of clients must not
/// run into retries of the network either.
const BACKLOG_MIN: u32 = 1024;

async fn client(broker: Arc<Broker>, stream: Stream, peer: SocketAddr, listener: usize) {
    let admitted = match broker.admission.admit(peer, broker.env.clock.now()) {
        Ok(admitted) => admitted,
        Err(reason) => {
            broker.metrics.connections_refused.add(1);
            tracing::warn!(%peer, %reason, "connection refused");
            return;
        }
    };
    broker.metrics.connections_accepted.add(1);
    broker.metrics.connections.add(1);
    if !admitted.delay.is_zero() {
        broker.env.clock.sleep(admitted.delay).await;
    }
    if let Ok(local) = stream.local_addr() {
        let client = Client {
            connection_id: admitted.connection_id,
            peer,
            local,
            listener,
            software: parking_lot::Mutex::new(None),
        };
        connection::serve(Arc::clone(&broker), client, stream).await;
    }
    broker.metrics.connections.add(-1);
    drop(admitted);
}

fn open_log_dir(
    env: &Env,
    path: &Path,
    settings: &Settings,
    observer: Arc<Observer>,
) -> Result<LogDir, StorageError> {
    let config = LogDirConfig {
        retention_interval: settings.log.retention_interval,
        cleaner: settings.log.cleaner,
        ..LogDirConfig::for_cache(settings.log.cache_bytes)
    };
    let (log_dir, report) = LogDir::open(env, path, config, observer)?;
    tracing::info!(path = %path.display(), ?report, "log directory opened");
    Ok(log_dir)
}

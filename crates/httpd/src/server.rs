//! The listener, its bounds, and what every answer carries.

use crate::guard::Guard;
use crate::io::{EnvTimer, Io};
use crate::login::Login;
use crate::problem::Problem;
use crate::request::Request;
use crate::response::{Body, Response};
use afluente_env::Env;
use afluente_env::net::{ListenOptions, Listener, Stream};
use http::{HeaderValue, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What a handler gives back.
pub type Answer = Pin<Box<dyn Future<Output = Result<Response, Problem>> + Send>>;

/// What is behind the paths.
pub trait Handler: Send + Sync + 'static {
    /// Answers a request that passed the guard and the login.
    fn handle(self: Arc<Self>, request: Request) -> Answer;
}

/// How to serve.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// `HOST:PORT`; all addresses of the host are listened on.
    pub listen: String,
    /// The line between friend and stranger.
    pub guard: Guard,
    /// Who may come in.
    pub login: Login,
    /// What a connection may cost.
    pub limits: Limits,
    /// Headers of all answers.
    pub headers: Vec<(header::HeaderName, HeaderValue)>,
}

/// What clients may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of a request line and its headers; at least 8 KiB.
    pub head_bytes: usize,
    /// Of a body, unless the handler allows more.
    pub body_bytes: u64,
    /// Open at a time; one more is closed at once.
    pub connections: usize,
    /// Until the head of the next request has come, and for a write that the client does not take.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 32 << 10,
            body_bytes: 16 << 20,
            connections: 512,
            idle: Duration::from_secs(75),
        }
    }
}

/// A running server.
pub struct HttpServer {
    addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
    accepting: Vec<JoinHandle<()>>,
    stopping: watch::Sender<bool>,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[error("could not listen on {listen}")]
pub struct ListenError {
    /// As configured.
    pub listen: String,
    /// What the system says.
    pub source: io::Error,
}

struct Shared {
    env: Env,
    config: ServerConfig,
    handler: Arc<dyn Handler>,
    open: AtomicUsize,
    requests: AtomicU64,
    /// Tells the request ids of one process from those of another.
    boot: u64,
}

/// How long answers under way may take once the server stops.
const STOP_MAX: Duration = Duration::from_secs(3);

impl HttpServer {
    /// Listens and serves.
    ///
    /// # Errors
    /// When the name has no address, or one of its addresses is in use or is not ours.
    pub async fn start(
        env: Env,
        config: ServerConfig,
        handler: Arc<dyn Handler>,
    ) -> Result<Self, ListenError> {
        let listen = config.listen.clone();
        let listeners = bind_all(&env, &listen)
            .await
            .map_err(|source| ListenError { listen: listen.clone(), source })?;
        let boot = env.rng.u64() & 0xffff_ffff;
        let (stopping, stopped) = watch::channel(false);
        let shared = Arc::new(Shared {
            env,
            config,
            handler,
            open: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
            boot,
        });
        let mut server = Self { addresses: Vec::new(), shared, accepting: Vec::new(), stopping };
        for listener in listeners {
            let address = listener
                .local_addr()
                .map_err(|source| ListenError { listen: listen.clone(), source })?;
            server.addresses.push(address);
            server.accept(listener, stopped.clone());
        }
        if let Some(address) = server.open_to_others() {
            tracing::warn!(%address, "other machines can reach this server");
        }
        Ok(server)
    }

    /// Where it really listens; at least one.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// An address by which other machines can reach it, if there is one.
    #[must_use]
    pub fn open_to_others(&self) -> Option<SocketAddr> {
        self.addresses.iter().copied().find(|address| !address.ip().is_loopback())
    }

    /// Stops: no new connection, answers under way get a moment.
    pub async fn stop(self) {
        for accepting in &self.accepting {
            accepting.abort();
        }
        // Nobody listens when there is no connection.
        let _ = self.stopping.send(true);
        let clock = &self.shared.env.clock;
        let deadline = clock.now() + STOP_MAX;
        while self.shared.open.load(Ordering::Relaxed) > 0 && clock.now() < deadline {
            clock.sleep(Duration::from_millis(5)).await;
        }
    }

    fn accept(&mut self, listener: Listener, stopped: watch::Receiver<bool>) {
        let shared = Arc::clone(&self.shared);
        let env = shared.env.clone();
        self.accepting.push(self.shared.env.tasks.spawn(async move {
            let serve =
                move |stream, peer| connection(Arc::clone(&shared), stopped.clone(), stream, peer);
            let failed = |error| tracing::warn!(%error, "could not accept a connection");
            env.tasks.serve(&env.clock, &listener, serve, failed).await;
        }));
    }
}

impl fmt::Debug for HttpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpServer").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

/// Listens on all addresses of `HOST:PORT`, so that `localhost` answers whichever of its addresses
/// a browser tries first.
async fn bind_all(env: &Env, listen: &str) -> io::Result<Vec<Listener>> {
    let (host, port) = split(listen)?;
    let mut listeners: Vec<Listener> = Vec::new();
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "the name has no address");
    let mut port = port;
    for mut address in env.net.lookup(host, port).await? {
        address.set_port(port);
        match env.net.listen(address, ListenOptions::default()).await {
            Ok(listener) => {
                // The system chose one: the other addresses get the same.
                port = listener.local_addr()?.port();
                listeners.push(listener);
            }
            // Another program has this one: a browser could come to it instead of us.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            // A machine without IPv6 still resolves ::1.
            Err(error) => last = error,
        }
    }
    if listeners.is_empty() { Err(last) } else { Ok(listeners) }
}

fn split(listen: &str) -> io::Result<(&str, u16)> {
    let parts = listen.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, port) = parts.filter(|(host, _)| !host.is_empty()).ok_or_else(|| {
        let why = format!("{listen:?} is not HOST:PORT, as in localhost:8080");
        io::Error::new(io::ErrorKind::InvalidInput, why)
    })?;
    Ok((host.trim_matches(['[', ']']), port))
}

async fn connection(
    shared: Arc<Shared>,
    mut stopped: watch::Receiver<bool>,
    stream: Stream,
    peer: SocketAddr,
) {
    let limits = shared.config.limits;
    let open = Open::of(Arc::clone(&shared));
    if open.count > limits.connections {
        tracing::warn!(%peer, open = open.count, "connection refused: too many are open");
        return;
    }
    let clock = shared.env.clock.clone();
    let io = Io::new(stream, clock.clone(), limits.idle);
    let service = service_fn(move |request| answer(Arc::clone(&shared), request, peer));
    let mut builder = http1::Builder::new();
    builder
        .timer(EnvTimer::new(clock))
        .header_read_timeout(limits.idle)
        .max_buf_size(limits.head_bytes);
    let mut connection = pin!(builder.serve_connection(io, service).with_upgrades());
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%peer, %error, "connection broken");
    }
}

/// Counts a connection while it lives.
struct Open {
    shared: Arc<Shared>,
    count: usize,
}

impl Open {
    fn of(shared: Arc<Shared>) -> Self {
        let count = shared.open.fetch_add(1, Ordering::Relaxed) + 1;
        Self { shared, count }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.open.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: http::Request<Incoming>,
    peer: SocketAddr,
) -> Result<http::Response<Body>, Infallible> {
    let number = shared.requests.fetch_add(1, Ordering::Relaxed);
    let id = format!("{:08x}-{number}", shared.boot);
    let (head, body) = request.into_parts();
    let (method, path) = (head.method.clone(), head.uri.path().to_owned());
    let outcome = respond(&shared, head, body, peer, id.clone()).await;
    let response = outcome.unwrap_or_else(|problem| {
        let status = problem.status.as_u16();
        if problem.status.is_server_error() {
            tracing::warn!(request = id, %method, path, status, problem = %problem, "request failed");
        } else {
            tracing::debug!(request = id, %method, path, status, problem = %problem, "request refused");
        }
        let wants_login = problem.status == StatusCode::UNAUTHORIZED;
        let response = Problem { request_id: id.into(), ..problem }.into_response();
        if wants_login {
            return response.header(header::WWW_AUTHENTICATE, "Basic realm=\"afluente\", charset=\"UTF-8\"");
        }
        response
    });
    let Response { status, mut headers, body } = response;
    for (name, value) in &shared.config.headers {
        headers.entry(name).or_insert_with(|| value.clone());
    }
    let mut answer = http::Response::new(body);
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    Ok(answer)
}

async fn respond(
    shared: &Shared,
    head: http::request::Parts,
    body: Incoming,
    peer: SocketAddr,
    id: String,
) -> Result<Response, Problem> {
    let config = &shared.config;
    config.guard.check(&head)?;
    // Who watches whether we live has no password.
    if head.uri.path() == "/healthz" {
        return Ok(Response::text("ok\n"));
    }
    config.login.check(&head.headers)?;
    let request = Request {
        head,
        body,
        body_bytes_left: config.limits.body_bytes,
        id,
        peer,
        env: shared.env.clone(),
        write_stall_max: config.limits.idle,
    };
    Arc::clone(&shared.handler).handle(request).await
}

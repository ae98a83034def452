//! One connection to one broker: requests out, answers back, in order.
//!
//! A [`Connection`] is a handle; a task owns the socket, and lives until the last handle is gone and
//! every request is answered. Requests go out in the order in which [`Connection::submit`] was
//! called, without waiting for the answers to earlier ones, up to a limit of requests in flight;
//! beyond it, `submit` waits. A broker answers in order, so an answer that is late makes all behind
//! it late: when one request runs out of time, the connection is closed and all fail.
//!
//! Making a connection includes TLS, if that is asked for; the greeting, in which the broker's API
//! versions are asked for (KIP-35), with version 0 as a fallback; and logging in by SASL. A session
//! that ends is renewed in time, between two requests of the callers (KIP-368).

mod greeting;
mod login;
mod output;
mod renewal;
mod secure;
mod task;
mod versions;

pub use versions::BrokerVersions;

use crate::config::ServerAddress;
use crate::deadline::{Deadline, until};
use crate::error::Error;
use crate::security::Security;
use afluente_env::Env;
use afluente_env::clock::Clock;
use afluente_protocol::api_key::ApiKey;
use afluente_protocol::frame::{read_response_header, request_frame};
use afluente_protocol::message::{Message, Request};
use afluente_protocol::reader::Reader;
use bytes::Bytes;
use parking_lot::Mutex;
use renewal::Renewal;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use task::{Outgoing, Task, TaskOptions};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};

/// How to make a connection.
#[derive(Debug, Clone)]
pub struct ConnectionOptions {
    /// Sent with each request.
    pub client_id: Arc<str>,
    /// Requests that may be on their way without an answer.
    pub in_flight_max: usize,
    /// How long it may be without a request.
    pub idle_max: Option<Duration>,
    /// How long making it may take.
    pub setup_timeout: Duration,
    /// TLS and SASL, if any.
    pub security: Security,
}

/// A connection that was made. Cheap to clone.
#[derive(Clone)]
pub struct Connection(Arc<Shared>);

struct Shared {
    requests: mpsc::Sender<Outgoing>,
    address: ServerAddress,
    versions: BrokerVersions,
    client_id: Arc<str>,
    clock: Clock,
    next_correlation_id: AtomicI32,
    /// Why it ended, once it has.
    ended: Arc<Mutex<Option<Error>>>,
}

/// Requests that wait for the task to take them; further ones wait in [`Connection::submit`].
const QUEUED_REQUESTS_MAX: usize = 16;

/// The first correlation id after those of the greeting and of logging in.
const FIRST_CORRELATION_ID: i32 = 16;

impl Connection {
    /// Connects, asks for the versions that the broker speaks, and logs in if that is asked for.
    ///
    /// # Errors
    /// [`Error::Connect`] if there is no connection in time; [`Error::Authentication`] if the two do
    /// not trust each other; what went wrong with the greeting.
    pub async fn make(
        env: &Env,
        address: &ServerAddress,
        options: &ConnectionOptions,
    ) -> Result<Self, Error> {
        let deadline = Deadline::after(&env.clock, options.setup_timeout);
        let made = until(&env.clock, deadline, async {
            let connected = env.net.connect(&address.host, address.port).await;
            let stream = connected.map_err(|error| Error::Connect {
                address: address.clone(),
                problem: error.to_string(),
                hint: hint(&error),
            })?;
            match &options.security.tls {
                None => Self::greet(env, stream, address, options).await,
                Some(tls) => {
                    let stream = secure::handshake(tls, stream, address).await?;
                    Self::greet(env, stream, address, options).await
                }
            }
        });
        made.await.unwrap_or_else(|| {
            Err(Error::Connect {
                address: address.clone(),
                problem: format!("no answer within {} ms", options.setup_timeout.as_millis()),
                hint: "check that the address is the broker's, and that no firewall is between",
            })
        })
    }

    /// Greets on a stream that may carry Kafka's protocol, and sets the task to work.
    async fn greet<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        env: &Env,
        mut stream: S,
        address: &ServerAddress,
        options: &ConnectionOptions,
    ) -> Result<Self, Error> {
        let client_id = &options.client_id;
        let versions = greeting::greet(&mut stream, address, client_id).await?;
        let renewal = match &options.security.login {
            None => None,
            Some(login) => {
                let renewal = Renewal::new(env, login, address, client_id, &versions);
                let begun = renewal.begin().await?;
                let lifetime = greeting::log_in(&mut stream, begun, address).await?;
                Some(renewal.after(lifetime))
            }
        };
        let (requests, queue) = mpsc::channel(QUEUED_REQUESTS_MAX);
        let ended = Arc::new(Mutex::new(None));
        let task_options = TaskOptions {
            address: address.clone(),
            in_flight_max: options.in_flight_max,
            idle_max: options.idle_max,
            renewal,
        };
        let task = Task::new(stream, queue, env.clock.clone(), task_options, Arc::clone(&ended));
        env.tasks.spawn(task.run());
        Ok(Self(Arc::new(Shared {
            requests,
            address: address.clone(),
            versions,
            client_id: Arc::clone(client_id),
            clock: env.clock.clone(),
            next_correlation_id: AtomicI32::new(FIRST_CORRELATION_ID),
            ended,
        })))
    }

    /// The address that was connected to.
    #[must_use]
    pub fn address(&self) -> &ServerAddress {
        &self.0.address
    }

    /// What the broker speaks.
    #[must_use]
    pub fn versions(&self) -> &BrokerVersions {
        &self.0.versions
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.requests.is_closed()
    }

    /// The newest version of `key` that both sides speak.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`].
    pub fn version_of(&self, key: ApiKey) -> Result<i16, Error> {
        self.version_up_to(key, i16::MAX)
    }

    /// As [`Connection::version_of`], but not above `max`.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`].
    pub fn version_up_to(&self, key: ApiKey, max: i16) -> Result<i16, Error> {
        self.0.versions.common(key, max).ok_or_else(|| Error::UnsupportedVersion {
            address: self.0.address.clone(),
            api: key,
            offered: self.0.versions.offered(key),
        })
    }

    /// Puts a request in line to be sent, and gives its answer to wait for. `timeout` counts from
    /// here, and includes what requests before it take.
    ///
    /// Requests that are submitted one after the other go out in that order. Dropping the answer
    /// does not take the request back.
    ///
    /// # Errors
    /// [`Error::CannotSay`] if `version` has no field for something that is set; why the connection
    /// ended, if it has.
    pub async fn submit<R: Request>(
        &self,
        request: &R,
        version: i16,
        timeout: Duration,
    ) -> Result<Answer<R>, Error> {
        let (reply, answer) = oneshot::channel();
        self.enqueue(request, version, timeout, Some(reply)).await?;
        Ok(Answer { receiver: answer, connection: self.clone(), version, request: PhantomData })
    }

    /// Puts a request in line that the broker does not answer: a `Produce` with acks 0.
    ///
    /// # Errors
    /// As [`Connection::submit`].
    pub async fn submit_unanswered<R: Request>(
        &self,
        request: &R,
        version: i16,
    ) -> Result<(), Error> {
        self.enqueue(request, version, Duration::MAX, None).await
    }

    async fn enqueue<R: Request>(
        &self,
        request: &R,
        version: i16,
        timeout: Duration,
        reply: Option<oneshot::Sender<Result<Bytes, Error>>>,
    ) -> Result<(), Error> {
        let shared = &*self.0;
        let correlation_id = shared.next_correlation_id.fetch_add(1, Ordering::Relaxed);
        let client_id = Some(&*shared.client_id);
        let frame =
            request_frame(request, version, correlation_id, client_id).map_err(|problem| {
                Error::CannotSay { address: shared.address.clone(), api: R::KEY, version, problem }
            })?;
        let outgoing = Outgoing {
            frame,
            correlation_id,
            api: R::KEY,
            timeout,
            deadline: Deadline::after(&shared.clock, timeout),
            reply,
        };
        shared.requests.send(outgoing).await.map_err(|_| self.why_ended(R::KEY))
    }

    fn why_ended(&self, api: ApiKey) -> Error {
        let ended = self.0.ended.lock().clone();
        ended.unwrap_or_else(|| Error::Disconnected {
            address: self.0.address.clone(),
            api,
            problem: String::new(),
        })
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.0.address)
    }
}

/// The answer to a request, when it comes.
#[derive(Debug)]
pub struct Answer<R> {
    receiver: oneshot::Receiver<Result<Bytes, Error>>,
    connection: Connection,
    version: i16,
    request: PhantomData<fn() -> R>,
}

impl<R: Request> Answer<R> {
    /// The version in which the request was sent.
    #[must_use]
    pub fn version(&self) -> i16 {
        self.version
    }

    fn decode(&self, frame: Bytes) -> Result<R::Response, Error> {
        let mut reader = Reader::new(frame);
        read_response_header(&mut reader, R::KEY, self.version)
            .and_then(|_| R::Response::decode(&mut reader, self.version))
            .map_err(|problem| Error::Unreadable {
                address: self.connection.address().clone(),
                api: R::KEY,
                problem,
            })
    }
}

impl<R: Request> Future for Answer<R> {
    type Output = Result<R::Response, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let received = ready!(Pin::new(&mut self.receiver).poll(context));
        Poll::Ready(match received {
            Ok(Ok(frame)) => self.decode(frame),
            Ok(Err(error)) => Err(error),
            // The task went away without a word, as when its runtime was shut down.
            Err(_) => Err(self.connection.why_ended(R::KEY)),
        })
    }
}

fn hint(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => {
            "check that a broker runs there and listens on this address and port"
        }
        ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            "check the address, the network, and that no firewall is between"
        }
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => {
            "check that the port is the one for Kafka clients"
        }
        _ => "check the name and the port",
    }
}

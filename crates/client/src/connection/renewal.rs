//! Logging in again before a session ends (KIP-368).
//!
//! The broker says how long a session lasts; after that it takes no request but those of logging in.
//! Like Kafka's clients this one begins anew when 85 to 95 % of the time are over, spread so that many
//! clients do not come at once. Requests that are on their way are answered before, as a broker
//! answers in order; requests of callers wait until the client is in again.

use super::BrokerVersions;
use super::login::{LoggingIn, Next, failed};
use crate::config::ServerAddress;
use crate::error::Error;
use crate::security::Login;
use afluente_env::Env;
use afluente_env::clock::Moment;
use afluente_protocol::api_key::ApiKey;
use afluente_protocol::rope::Records;
use bytes::Bytes;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Who logs in on a connection, and when next.
pub(super) struct Renewal {
    env: Env,
    login: Arc<Login>,
    address: ServerAddress,
    client_id: Arc<str>,
    versions: BrokerVersions,
    state: State,
}

/// A log-in with its first request.
type Begun = Result<(LoggingIn, Records), Error>;

enum State {
    /// In, and until when that is good; `None` for good.
    In(Option<Moment>),
    /// Credentials are being fetched.
    Preparing(Pin<Box<dyn Future<Output = Begun> + Send>>),
    LoggingIn(LoggingIn),
}

/// When to begin anew, in percent of a session's time.
const WINDOW_PERCENT: std::ops::Range<u64> = 85..95;

impl Renewal {
    pub(super) fn new(
        env: &Env,
        login: &Arc<Login>,
        address: &ServerAddress,
        client_id: &Arc<str>,
        versions: &BrokerVersions,
    ) -> Self {
        Self {
            env: env.clone(),
            login: Arc::clone(login),
            address: address.clone(),
            client_id: Arc::clone(client_id),
            versions: versions.clone(),
            state: State::In(None),
        }
    }

    /// Fetches credentials, and gives the first request.
    pub(super) fn begin(&self) -> impl Future<Output = Begun> + Send + use<> {
        let (login, rng) = (Arc::clone(&self.login), self.env.rng.clone());
        let (address, client_id) = (self.address.clone(), Arc::clone(&self.client_id));
        let versions = self.versions.clone();
        async move {
            let credentials = login.credentials().await;
            let credentials =
                credentials.map_err(|problem| failed(&address, login.mechanism.name(), problem))?;
            LoggingIn::begin(&address, &client_id, &versions, &credentials, &rng)
        }
    }

    /// In, for `lifetime` if not for good.
    pub(super) fn after(mut self, lifetime: Option<Duration>) -> Self {
        self.enter(lifetime);
        self
    }

    fn enter(&mut self, lifetime: Option<Duration>) {
        let again_at = lifetime.map(|lifetime| {
            let percent = self.env.rng.range(WINDOW_PERCENT);
            let ms = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
            self.env.clock.now() + Duration::from_millis(ms / 100 * percent + ms % 100)
        });
        self.state = State::In(again_at);
    }

    /// When to begin anew, unless it has begun.
    pub(super) fn due(&self) -> Option<Moment> {
        match self.state {
            State::In(again_at) => again_at,
            State::Preparing(_) | State::LoggingIn(_) => None,
        }
    }

    /// Whether requests of callers have to wait.
    pub(super) fn is_at_work(&self) -> bool {
        matches!(self.state, State::LoggingIn(_))
    }

    /// Begins anew if it is time to; gives the request to be sent once there is one.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<(ApiKey, Records), Error>> {
        if let State::In(Some(again_at)) = self.state
            && self.env.clock.now() >= again_at
        {
            tracing::debug!(address = %self.address, "logging in again");
            self.state = State::Preparing(Box::pin(self.begin()));
        }
        let State::Preparing(preparing) = &mut self.state else { return Poll::Pending };
        match preparing.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok((login, frame))) => {
                let api = login.api();
                self.state = State::LoggingIn(login);
                Poll::Ready(Ok((api, frame)))
            }
        }
    }

    /// Takes in the answer to the last request; gives another one, or `None` when the client is in.
    pub(super) fn answered(&mut self, frame: Bytes) -> Result<Option<(ApiKey, Records)>, Error> {
        let State::LoggingIn(login) = &mut self.state else {
            unreachable!("an answer to a log-in comes to the one that asked");
        };
        match login.answered(frame)? {
            Next::Send(frame) => Ok(Some((login.api(), frame))),
            Next::In(lifetime) => {
                self.enter(lifetime);
                Ok(None)
            }
        }
    }
}

//! What can go wrong, what Kafka calls it, and whether trying again can help.

use crate::config::{ConfigError, ServerAddress};
use crate::producer::ProducerError;
use afluente_protocol::api_key::ApiKey;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::message::{DecodeError, EncodeError};
use std::time::Duration;

/// Why a call failed. Cheap to clone.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration does not make sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No connection could be made.
    #[error("could not connect to {address}: {problem}; {hint}")]
    Connect {
        /// What was tried.
        address: ServerAddress,
        /// What happened, such as `connection refused`.
        problem: String,
        /// What to check.
        hint: &'static str,
    },
    /// The broker and the client do not trust each other: a certificate, or a name and password.
    #[error("could not authenticate to {address}{}: {problem}", with(.mechanism))]
    Authentication {
        /// The broker.
        address: ServerAddress,
        /// The SASL mechanism; `None` if it was TLS.
        mechanism: Option<&'static str>,
        /// What is wrong, and what to check.
        problem: String,
    },
    /// None of the addresses of `bootstrap.servers` could be used, nor any broker known from them.
    #[error("no broker could be reached: {}", join(.tried))]
    NoBroker {
        /// What happened with each address.
        tried: Vec<Error>,
    },
    /// The connection ended before the answer came.
    #[error("the connection to {address} ended before {api} was answered{problem}")]
    Disconnected {
        /// The broker.
        address: ServerAddress,
        /// What was asked.
        api: ApiKey,
        /// What the system said, or what to check, behind a colon or a semicolon; or nothing.
        problem: String,
    },
    /// The broker did not answer one request in time; the connection was closed.
    #[error("{address} did not answer {api} within {} ms", .after.as_millis())]
    RequestTimedOut {
        /// The broker.
        address: ServerAddress,
        /// What was asked.
        api: ApiKey,
        /// How long it was waited for.
        after: Duration,
    },
    /// The deadline of the call passed.
    #[error("the time for the call is up after {attempts} attempts{}", because(.last))]
    DeadlinePassed {
        /// Attempts that failed.
        attempts: u32,
        /// Why the last one failed.
        last: Option<Box<Error>>,
    },
    /// The broker refused.
    #[error("{about}: {code}{}", detail(.message))]
    Broker {
        /// What for: a topic, a group, an API.
        about: String,
        /// The reason.
        code: ErrorCode,
        /// What the broker says about it, if it says anything.
        message: Option<String>,
    },
    /// The broker refused, with a number that this version does not know.
    #[error("{about}: error code {code}, which is not known here")]
    UnknownErrorCode {
        /// What for.
        about: String,
        /// The number.
        code: i16,
    },
    /// The broker has no such API, or only in versions that are not spoken here.
    #[error("{address} does not offer {api} in a version that can be used{}", versions_text(.offered))]
    UnsupportedVersion {
        /// The broker.
        address: ServerAddress,
        /// What was to be asked.
        api: ApiKey,
        /// The versions that it offers; `None` if it does not know the API.
        offered: Option<(i16, i16)>,
    },
    /// The request says something that the version of the broker has no field for.
    #[error("{api} version {version} of {address} cannot say what is asked: {problem}")]
    CannotSay {
        /// The broker.
        address: ServerAddress,
        /// What was to be asked.
        api: ApiKey,
        /// The newest version that both sides have.
        version: i16,
        /// What it cannot say.
        problem: EncodeError,
    },
    /// The answer is not what it should be; the connection was closed.
    #[error("{address} gave an answer to {api} that cannot be read: {problem}")]
    Unreadable {
        /// The broker.
        address: ServerAddress,
        /// What was asked.
        api: ApiKey,
        /// What is wrong with it.
        problem: DecodeError,
    },
    /// What came is no answer at all; the connection was closed.
    #[error("{address} does not speak Kafka's protocol here: {problem}")]
    Garbled {
        /// The broker.
        address: ServerAddress,
        /// What came.
        problem: String,
    },
    /// The metadata names no such broker.
    #[error("broker {id} is not in the metadata of the cluster")]
    UnknownBroker {
        /// Its id.
        id: i32,
    },
    /// The metadata has no leader for a partition at the moment.
    #[error("{topic}-{partition} has no leader at the moment")]
    NoLeader {
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
    },
    /// Something that only a producer can get wrong.
    #[error(transparent)]
    Producer(#[from] ProducerError),
    /// It was closed.
    #[error("the client is closed")]
    Closed,
}

impl Error {
    /// The refusal `code` of the broker about `about`, or `Ok` if it is none.
    ///
    /// # Errors
    /// [`Error::Broker`], or [`Error::UnknownErrorCode`].
    pub fn check(
        code: i16,
        message: Option<String>,
        about: impl FnOnce() -> String,
    ) -> Result<(), Self> {
        match ErrorCode::from_i16(code) {
            Some(ErrorCode::None) => Ok(()),
            Some(code) => Err(Self::Broker { about: about(), code, message }),
            None => Err(Self::UnknownErrorCode { about: about(), code }),
        }
    }

    /// Kafka's code for it, if there is one.
    #[must_use]
    pub fn error_code(&self) -> Option<ErrorCode> {
        match self {
            Self::Broker { code, .. } => Some(*code),
            Self::Connect { .. } | Self::NoBroker { .. } | Self::Disconnected { .. } => {
                Some(ErrorCode::NetworkException)
            }
            Self::Authentication { mechanism: Some(_), .. } => {
                Some(ErrorCode::SaslAuthenticationFailed)
            }
            Self::RequestTimedOut { .. } => Some(ErrorCode::RequestTimedOut),
            Self::DeadlinePassed { last, .. } => last
                .as_ref()
                .and_then(|last| last.error_code())
                .or(Some(ErrorCode::RequestTimedOut)),
            Self::UnsupportedVersion { .. } | Self::CannotSay { .. } => {
                Some(ErrorCode::UnsupportedVersion)
            }
            Self::NoLeader { .. } => Some(ErrorCode::LeaderNotAvailable),
            Self::UnknownBroker { .. } => Some(ErrorCode::BrokerNotAvailable),
            Self::UnknownErrorCode { .. } => Some(ErrorCode::UnknownServerError),
            Self::Producer(error) => error.error_code(),
            Self::Authentication { mechanism: None, .. }
            | Self::Config(_)
            | Self::Unreadable { .. }
            | Self::Garbled { .. }
            | Self::Closed => None,
        }
    }

    /// Whether what failed may work later, as far as one attempt of many in the background is
    /// concerned: also when it was its time that ran out.
    pub(crate) fn may_pass(&self) -> bool {
        self.is_retriable() || matches!(self, Self::DeadlinePassed { .. })
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Broker { code, .. } => code.is_retriable(),
            Self::Producer(error) => error.is_retriable(),
            Self::Connect { .. }
            | Self::NoBroker { .. }
            | Self::Disconnected { .. }
            | Self::RequestTimedOut { .. }
            | Self::UnknownBroker { .. }
            | Self::NoLeader { .. } => true,
            Self::Authentication { .. }
            | Self::Config(_)
            | Self::DeadlinePassed { .. }
            | Self::UnknownErrorCode { .. }
            | Self::UnsupportedVersion { .. }
            | Self::CannotSay { .. }
            | Self::Unreadable { .. }
            | Self::Garbled { .. }
            | Self::Closed => false,
        }
    }

    /// Whether the connection was the problem, and not what was asked.
    #[must_use]
    pub fn is_transport(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. }
                | Self::NoBroker { .. }
                | Self::Disconnected { .. }
                | Self::RequestTimedOut { .. }
                | Self::Unreadable { .. }
                | Self::Garbled { .. }
        )
    }

    /// Whether it says that the metadata of a topic, or of the brokers, is out of date.
    #[must_use]
    pub fn is_stale_metadata(&self) -> bool {
        match self {
            Self::UnknownBroker { .. } | Self::NoLeader { .. } => true,
            Self::Broker { code, .. } => matches!(
                code,
                ErrorCode::NotLeaderOrFollower
                    | ErrorCode::LeaderNotAvailable
                    | ErrorCode::UnknownTopicOrPartition
                    | ErrorCode::UnknownTopicId
                    | ErrorCode::InconsistentTopicId
                    | ErrorCode::FencedLeaderEpoch
                    | ErrorCode::UnknownLeaderEpoch
                    | ErrorCode::ReplicaNotAvailable
                    | ErrorCode::KafkaStorageError
                    | ErrorCode::ListenerNotFound
                    | ErrorCode::NotController
            ),
            _ => self.is_transport(),
        }
    }

    /// Whether it says that a coordinator has to be looked up again.
    #[must_use]
    pub fn is_stale_coordinator(&self) -> bool {
        match self {
            Self::Broker { code, .. } => {
                matches!(code, ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable)
            }
            _ => self.is_transport() || matches!(self, Self::UnknownBroker { .. }),
        }
    }
}

fn with(mechanism: &Option<&'static str>) -> String {
    mechanism.map_or_else(|| " by TLS".to_owned(), |mechanism| format!(" by {mechanism}"))
}

fn join(errors: &[Error]) -> String {
    errors.iter().map(Error::to_string).collect::<Vec<_>>().join("; ")
}

fn because(last: &Option<Box<Error>>) -> String {
    last.as_ref().map_or_else(String::new, |last| format!("; the last one: {last}"))
}

fn detail(message: &Option<String>) -> String {
    message.as_ref().map_or_else(String::new, |message| format!(" ({message})"))
}

fn versions_text(versions: &Option<(i16, i16)>) -> String {
    match versions {
        Some((min, max)) => format!(" (it offers versions {min} to {max})"),
        None => " (it does not know it)".to_owned(),
    }
}

//! What is wrong with credentials, with what the other side says, or with certificates.

/// Why somebody cannot be authenticated. None of it is retriable: the same answer would come again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// The text of `sasl.jaas.config` cannot be read.
    #[error("it cannot be read: {0}; the form is `Class required key=\"value\" …;`")]
    Jaas(String),
    /// A mechanism that is not there.
    #[error(
        "there is no mechanism {0} here: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER are"
    )]
    UnknownMechanism(String),
    /// The other side said something that the mechanism does not allow at this point.
    #[error("the broker's {message} is not what {mechanism} expects: {problem}")]
    Unexpected {
        /// The mechanism.
        mechanism: &'static str,
        /// Which message.
        message: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The other side refused, in the words of the mechanism.
    #[error("the broker refused: {0}")]
    Refused(String),
    /// The broker does not know the password: it is not who it says it is.
    #[error("the broker could not prove that it knows the password")]
    ServerSignature,
    /// A token that cannot be sent.
    #[error("the token cannot be sent: {0}")]
    Token(String),
    /// A certificate, a key or a list of TLS versions is of no use.
    #[error("{0}")]
    Tls(String),
}

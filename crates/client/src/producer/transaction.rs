//! Which state a transactional producer is in, and what each error does to it.
//!
//! ```text
//!             init            begin            commit ────────────┐
//! Uninitialized ──▶ Ready ──▶ InTransaction ──▶ Committing ──▶ Ready
//!                     ▲             │ error          │ error
//!                     │             ▼                │
//!                     └─ Aborting ◀─ Abortable ◀─────┘       any ──▶ Fatal
//! ```
//!
//! A producer that is idempotent only has the same record, of which it needs the identity and
//! whether it has failed for good. Decides; sends nothing.

use super::error::ProducerError;
use super::sequences::Identity;
use crate::error::Error;
use afluente_protocol::error_code::ErrorCode;

/// The state of the one transaction that a producer may have.
#[derive(Debug)]
pub(crate) struct Transaction {
    transactional_id: Option<String>,
    state: State,
    /// What the coordinator, or any broker, gave to this producer.
    pub(crate) identity: Option<Identity>,
    /// Whether the cluster has transactions of version 2 (KIP-890): every transaction has an epoch
    /// of its own, and partitions are added by writing to them.
    pub(crate) is_v2: bool,
    /// Counts transactions, from 1.
    number: u64,
    /// Whether the coordinator may know of the transaction: something was added to it.
    has_parts: bool,
    /// Whether the coordinator is being asked to add something to it.
    pub(crate) is_adding: bool,
    /// Whether the epoch has to be raised before the next transaction.
    needs_bump: bool,
}

#[derive(Debug, Clone)]
enum State {
    Uninitialized,
    Ready,
    InTransaction,
    Committing,
    Aborting,
    Abortable(Error),
    Fatal(Error),
}

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Commit,
    Abort,
}

impl Transaction {
    pub(crate) fn new(transactional_id: Option<String>) -> Self {
        Self {
            transactional_id,
            state: State::Uninitialized,
            identity: None,
            is_v2: false,
            number: 0,
            has_parts: false,
            is_adding: false,
            needs_bump: false,
        }
    }

    /// The transactional id, if the producer is transactional.
    pub(crate) fn transactional_id(&self) -> Option<&str> {
        self.transactional_id.as_deref()
    }

    /// The number of the open transaction.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Before `init_transactions` asks for an identity.
    ///
    /// # Errors
    /// If it has been called before, or there is no transactional id.
    pub(crate) fn may_init(&self) -> Result<(), Error> {
        match &self.state {
            _ if self.transactional_id.is_none() => Err(not_transactional("init_transactions")),
            State::Uninitialized => Ok(()),
            State::Fatal(error) => Err(error.clone()),
            _ => Err(illegal("init_transactions", "transactions are initialized already")),
        }
    }

    /// The coordinator has given an identity; whatever a former producer left is aborted.
    pub(crate) fn initialized(&mut self, identity: Identity, is_v2: bool) {
        self.identity = Some(identity);
        self.is_v2 = is_v2;
        if !matches!(self.state, State::Fatal(_)) {
            self.state = State::Ready;
        }
    }

    /// Opens a transaction.
    ///
    /// # Errors
    /// If one is open, or the producer is not ready.
    pub(crate) fn begin(&mut self) -> Result<(), Error> {
        const CALL: &str = "begin_transaction";
        match &self.state {
            _ if self.transactional_id.is_none() => return Err(not_transactional(CALL)),
            State::Ready => {}
            State::Uninitialized => return Err(illegal(CALL, "init_transactions comes first")),
            State::Fatal(error) => return Err(error.clone()),
            State::Abortable(error) => return Err(abortable(error)),
            State::InTransaction => return Err(illegal(CALL, "a transaction is open")),
            State::Committing | State::Aborting => {
                return Err(illegal(CALL, "the last transaction has not ended yet"));
            }
        }
        self.state = State::InTransaction;
        self.number += 1;
        self.has_parts = false;
        Ok(())
    }

    /// Whether a record may be sent.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn may_send(&self) -> Result<(), Error> {
        const CALL: &str = "send";
        match &self.state {
            State::Fatal(error) => Err(error.clone()),
            State::InTransaction => Ok(()),
            State::Abortable(error) => Err(abortable(error)),
            _ if self.transactional_id.is_none() => Ok(()),
            State::Uninitialized => Err(illegal(CALL, "init_transactions comes first")),
            State::Ready => Err(illegal(CALL, "no transaction is open")),
            State::Committing | State::Aborting => Err(illegal(CALL, "the transaction is ending")),
        }
    }

    /// Whether offsets may be added.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn may_send_offsets(&self) -> Result<(), Error> {
        if self.transactional_id.is_none() {
            return Err(not_transactional("send_offsets_to_transaction"));
        }
        self.may_send()
    }

    /// The coordinator will know, or knows, of the transaction.
    pub(crate) fn has_parts_now(&mut self) {
        self.has_parts = true;
    }

    /// Begins to end the transaction; a call that was given up may be made again.
    ///
    /// # Errors
    /// If there is nothing to end, or not like that.
    pub(crate) fn begin_end(&mut self, end: End) -> Result<(), Error> {
        let call = match end {
            End::Commit => "commit_transaction",
            End::Abort => "abort_transaction",
        };
        let next = match (&self.state, end) {
            _ if self.transactional_id.is_none() => return Err(not_transactional(call)),
            (State::Fatal(error), _) => return Err(error.clone()),
            (State::InTransaction | State::Committing, End::Commit) => State::Committing,
            (State::InTransaction | State::Aborting | State::Abortable(_), End::Abort) => {
                State::Aborting
            }
            (State::Abortable(error), End::Commit) => return Err(abortable(error)),
            (State::Uninitialized | State::Ready, _) => {
                return Err(illegal(call, "no transaction is open"));
            }
            (State::Committing, End::Abort) => {
                return Err(illegal(call, "the transaction is being committed: call that again"));
            }
            (State::Aborting, End::Commit) => {
                return Err(illegal(call, "the transaction is being aborted: call that again"));
            }
        };
        self.state = next;
        Ok(())
    }

    /// Whether the coordinator has to be told of the end, and then to raise the epoch by itself.
    pub(crate) fn what_ends(&self) -> (bool, bool) {
        (self.has_parts, self.needs_bump)
    }

    /// The transaction has ended. Its successor may have another identity.
    pub(crate) fn ended(&mut self, identity: Option<Identity>) {
        if let Some(identity) = identity {
            self.identity = Some(identity);
        }
        if !matches!(self.state, State::Fatal(_)) {
            self.state = State::Ready;
        }
        self.has_parts = false;
        self.needs_bump = false;
    }

    /// A batch or a request has failed for good; gives the error as it is to be told.
    ///
    /// What fails a transaction fails no producer that is idempotent only.
    pub(crate) fn failed(&mut self, error: Error) -> Error {
        let is_consequence = matches!(
            error,
            Error::Closed
                | Error::Producer(
                    ProducerError::TransactionAborted | ProducerError::Abortable { .. }
                )
        );
        if matches!(self.state, State::Fatal(_)) || is_consequence {
            return error;
        }
        if let Some(fatal) = self.fatal(&error) {
            tracing::error!(error = %fatal, "the producer cannot go on");
            self.state = State::Fatal(fatal.clone());
            return fatal;
        }
        if self.transactional_id.is_some() {
            // A later epoch keeps what is on its way from being taken for the next transaction.
            self.needs_bump = !self.is_v2;
            if matches!(self.state, State::InTransaction | State::Committing) {
                tracing::warn!(%error, "the transaction has to be aborted");
                self.state = State::Abortable(error.clone());
            }
        }
        error
    }

    /// What went wrong, if the transaction can only be aborted or the producer cannot go on.
    pub(crate) fn error(&self) -> Option<Error> {
        match &self.state {
            State::Abortable(error) => Some(abortable(error)),
            State::Fatal(error) => Some(error.clone()),
            _ => None,
        }
    }

    /// Whether batches that were never sent are to be dropped, and with which error.
    pub(crate) fn drops_unsent(&self) -> Option<Error> {
        match &self.state {
            State::Aborting => Some(ProducerError::TransactionAborted.into()),
            _ => self.error(),
        }
    }

    /// Whether it has failed for good.
    pub(crate) fn is_fatal(&self) -> bool {
        matches!(self.state, State::Fatal(_))
    }

    /// The error as the end of this producer, if it is that.
    fn fatal(&self, error: &Error) -> Option<Error> {
        if matches!(
            error,
            Error::Producer(ProducerError::Fatal { .. } | ProducerError::Fenced { .. })
        ) {
            return Some(error.clone());
        }
        let code = error.error_code()?;
        match code {
            ErrorCode::ProducerFenced if self.transactional_id.is_some() => {
                let transactional_id = self.transactional_id.clone().unwrap_or_default();
                Some(ProducerError::Fenced { transactional_id }.into())
            }
            ErrorCode::ProducerFenced
            | ErrorCode::ClusterAuthorizationFailed
            | ErrorCode::TransactionalIdAuthorizationFailed
            | ErrorCode::UnsupportedVersion
            | ErrorCode::InvalidProducerIdMapping => {
                Some(ProducerError::Fatal { cause: Box::new(error.clone()) }.into())
            }
            _ => None,
        }
    }
}

fn abortable(error: &Error) -> Error {
    ProducerError::Abortable { cause: Box::new(error.clone()) }.into()
}

fn illegal(called: &'static str, state: &'static str) -> Error {
    ProducerError::IllegalState { called, state }.into()
}

fn not_transactional(called: &'static str) -> Error {
    illegal(called, "the producer has no transactional.id")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::producer::error::ErrorHandling;
    use afluente_protocol::numbers::{ProducerEpoch, ProducerId};

    const IDENTITY: Identity = Identity { id: ProducerId(7), epoch: ProducerEpoch(0) };

    fn refused(code: ErrorCode) -> Error {
        Error::Broker { about: "t-0".into(), code, message: None }
    }

    fn open() -> Transaction {
        let mut transaction = Transaction::new(Some("orders".into()));
        transaction.initialized(IDENTITY, false);
        transaction.begin().unwrap();
        transaction
    }

    #[test]
    fn calls_are_allowed_in_their_order_only() {
        let mut transaction = Transaction::new(Some("orders".into()));
        assert!(transaction.begin().is_err());
        assert!(transaction.may_send().is_err());
        transaction.may_init().unwrap();
        transaction.initialized(IDENTITY, true);
        assert!(transaction.may_init().is_err());
        assert!(transaction.may_send().is_err());
        assert!(transaction.begin_end(End::Commit).is_err());
        transaction.begin().unwrap();
        assert!(transaction.begin().is_err());
        transaction.may_send().unwrap();
        transaction.may_send_offsets().unwrap();
        transaction.begin_end(End::Commit).unwrap();
        transaction.begin_end(End::Commit).unwrap();
        assert!(transaction.begin_end(End::Abort).is_err());
        assert!(transaction.may_send().is_err());
        transaction.ended(None);
        transaction.begin().unwrap();
        assert_eq!(transaction.number(), 2);
        transaction.begin_end(End::Abort).unwrap();
        assert!(transaction.begin_end(End::Commit).is_err());
    }

    #[test]
    fn a_producer_without_transactions_may_send_and_nothing_else() {
        let mut transaction = Transaction::new(None);
        transaction.may_send().unwrap();
        for refused in [
            transaction.may_init(),
            transaction.begin(),
            transaction.may_send_offsets(),
            transaction.begin_end(End::Abort),
        ] {
            let error = refused.unwrap_err();
            assert!(error.to_string().contains("no transactional.id"), "{error}");
        }
        transaction.failed(refused(ErrorCode::TopicAuthorizationFailed));
        transaction.may_send().unwrap();
        transaction.failed(refused(ErrorCode::ClusterAuthorizationFailed));
        assert!(transaction.may_send().is_err());
    }

    #[test]
    fn errors_end_the_transaction_or_the_producer() {
        use ErrorHandling::{Abortable, ApplicationRecoverable, InvalidConfiguration};
        for (code, handling) in [
            (ErrorCode::TopicAuthorizationFailed, Abortable),
            (ErrorCode::InvalidProducerEpoch, Abortable),
            (ErrorCode::TransactionAbortable, Abortable),
            (ErrorCode::OutOfOrderSequenceNumber, Abortable),
            (ErrorCode::UnknownProducerId, Abortable),
            (ErrorCode::InvalidTxnState, Abortable),
            (ErrorCode::ProducerFenced, ApplicationRecoverable),
            (ErrorCode::InvalidProducerIdMapping, ApplicationRecoverable),
            (ErrorCode::TransactionalIdAuthorizationFailed, InvalidConfiguration),
            (ErrorCode::UnsupportedVersion, InvalidConfiguration),
        ] {
            let mut transaction = open();
            transaction.failed(refused(code));
            let error = transaction.begin_end(End::Commit).unwrap_err();
            assert_eq!(error.handling(), handling, "{code}");
            let is_abortable = handling == Abortable;
            assert_eq!(transaction.begin_end(End::Abort).is_ok(), is_abortable, "{code}");
            assert_eq!(transaction.is_fatal(), !is_abortable, "{code}");
            transaction.ended(None);
            assert_eq!(transaction.begin().is_ok(), is_abortable, "{code}");
        }
    }

    #[test]
    fn an_error_while_aborting_changes_nothing_but_the_epoch() {
        for is_v2 in [false, true] {
            let mut transaction = open();
            transaction.is_v2 = is_v2;
            transaction.has_parts_now();
            transaction.begin_end(End::Abort).unwrap();
            transaction.failed(refused(ErrorCode::InvalidProducerEpoch));
            assert_eq!(transaction.what_ends(), (true, !is_v2));
            assert!(matches!(
                transaction.drops_unsent(),
                Some(Error::Producer(ProducerError::TransactionAborted))
            ));
            transaction.ended(None);
            transaction.begin().unwrap();
            assert_eq!(transaction.what_ends(), (false, false));
        }
    }
}

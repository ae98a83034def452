//! Programs that write in transactions.

use crate::oracle::{Promise, RecordId};
use crate::producing::value_of;
use crate::scenario::LEDGER;
use crate::shared::{Phase, Shared, properties};
use afluente_client::Error;
use afluente_client::producer::{ErrorHandling, Producer, ProducerConfig, Record};
use afluente_env::Env;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How often an end of a transaction without an answer is asked for again.
const ENDS_MAX: usize = 3;
/// More transactions than this in one life of a machine tell nothing new.
const TRANSACTIONS_MAX: usize = 30;

/// What becomes of the producer after a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    GoOn,
    /// It is of no use, or nobody knows: a new one of the same name ends what is open.
    Replace,
}

/// Writes transactions until the calm, with one producer after another.
pub(crate) async fn transact(env: Env, shared: Arc<Shared>, index: usize) -> anyhow::Result<()> {
    shared.until_set_up(&env).await;
    let name = format!("ledger-{index}");
    let mut left = TRANSACTIONS_MAX;
    while shared.phase() < Phase::Calm && left > 0 {
        let Some(producer) = new_producer(&env, &shared, &name).await? else { continue };
        let id = shared.oracle().producer(Promise::Idempotent);
        let mut sequence = 0;
        while shared.phase() < Phase::Calm && left > 0 {
            left -= 1;
            if transaction(&env, &shared, &producer, id, &mut sequence).await == After::Replace {
                break;
            }
            shared.pause(&env, Duration::from_millis(env.rng.range(1..600))).await;
        }
    }
    shared.writers_done.fetch_add(1, Ordering::SeqCst);
    Ok(())
}

/// A producer that is ready for transactions; `None` if there is no coordinator to be had yet.
pub(crate) async fn new_producer(
    env: &Env,
    shared: &Shared,
    name: &str,
) -> anyhow::Result<Option<Producer>> {
    let more = [
        ("transactional.id", name),
        ("transaction.timeout.ms", "4000"),
        ("delivery.timeout.ms", "5000"),
        ("max.block.ms", "5000"),
        ("linger.ms", ["0", "5"][env.rng.index(2)]),
        ("batch.size", ["0", "200", "16384"][env.rng.index(3)]),
    ];
    let config = ProducerConfig::from_properties(properties(&more))?;
    let producer = Producer::new(env.clone(), config)?;
    match producer.init_transactions().await {
        Ok(()) => Ok(Some(producer)),
        Err(error) => {
            shared.note(format_args!("{name}: no identity: {error}"));
            shared.pause(env, Duration::from_millis(100)).await;
            Ok(None)
        }
    }
}

async fn transaction(
    env: &Env,
    shared: &Arc<Shared>,
    producer: &Producer,
    id: crate::oracle::ProducerId,
    sequence: &mut u32,
) -> After {
    if let Err(error) = producer.begin_transaction() {
        shared.oracle().violate(format_args!("{id:?} could not begin a transaction: {error}"));
        return After::Replace;
    }
    let transaction = shared.oracle().begin();
    for _ in 0..env.rng.range(0..8) {
        let id = RecordId { producer: id, sequence: *sequence };
        *sequence += 1;
        shared.oracle().sending(id, LEDGER, Some(transaction));
        let value = value_of(env, id);
        let taken =
            producer.send_then(Record::to(LEDGER).value(value.as_bytes()), shared.delivery(id));
        if let Err(error) = taken.await {
            shared.note(format_args!("{id} is refused: {error}"));
            shared.oracle().refused(id);
            return abort(shared, producer, transaction).await;
        }
        if env.rng.chance(0.2) {
            shared.pause(env, Duration::from_millis(env.rng.range(1..1500))).await;
        }
    }
    match env.rng.range(0..10) {
        0..7 => commit(shared, producer, transaction).await,
        7..9 => abort(shared, producer, transaction).await,
        // As when the program dies.
        _ => After::Replace,
    }
}

/// Commits, as often as it takes; aborts what cannot be committed.
pub(crate) async fn commit(
    shared: &Shared,
    producer: &Producer,
    transaction: crate::oracle::TransactionId,
) -> After {
    shared.oracle().committing(transaction);
    for _ in 0..ENDS_MAX {
        let error = match producer.commit_transaction().await {
            Ok(()) => {
                shared.oracle().committed(transaction);
                return After::GoOn;
            }
            Err(error) => error,
        };
        shared.note(format_args!("commit of {transaction:?}: {error}"));
        if error.handling() == ErrorHandling::Abortable {
            return abort(shared, producer, transaction).await;
        }
        if !may_call_again(&error) {
            break;
        }
    }
    After::Replace
}

/// Aborts, as often as it takes.
pub(crate) async fn abort(
    shared: &Shared,
    producer: &Producer,
    transaction: crate::oracle::TransactionId,
) -> After {
    for _ in 0..ENDS_MAX {
        match producer.abort_transaction().await {
            Ok(()) => {
                shared.oracle().aborted(transaction);
                return After::GoOn;
            }
            Err(error) => {
                shared.note(format_args!("abort of {transaction:?}: {error}"));
                if !may_call_again(&error) {
                    break;
                }
            }
        }
    }
    After::Replace
}

fn may_call_again(error: &Error) -> bool {
    matches!(error, Error::DeadlinePassed { .. })
}

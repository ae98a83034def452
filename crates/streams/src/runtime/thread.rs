//! A stream thread: one consumer, one producer, and the tasks of the partitions that the group gave it.
//!
//! Its loop: poll; fill stores; let records through tasks and write what comes of them; commit when it is time. When something
//! fails that a new beginning mends (the group went on without it, a broker was away), it gives everything up and begins anew
//! from its last commit.

use super::assignor::{Placement, TaskAssignor};
use super::error::RuntimeError;
use super::handle::{Instance, ThreadState};
use super::output::Output;
use super::restore::Restorer;
use super::task::Patience;
use super::tasks::{Application, Tasks};
use crate::engine::{Produced, TaskId};
use crate::handlers::OnThreadError;
use crate::topology::OffsetReset;
use afluente_client::consumer::{Offsets, RebalanceListener, Told};
use afluente_client::{Admin, Consumer, Producer, TopicPartition};
use afluente_env::Env;
use afluente_env::clock::Moment;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long leaving the group may take.
const CLOSE: Duration = Duration::from_secs(10);

/// Before beginning anew.
const PAUSE: Duration = Duration::from_millis(200);

/// Records that go through a task before what came of them is written.
const RECORDS_PER_TASK: usize = 128;

/// How long tasks that run wait for one that is being filled.
const FILLING_WAIT: Duration = Duration::from_millis(10);

/// Rounds through the tasks between two polls.
const ROUNDS: usize = 16;

pub(super) struct Thread {
    pub(super) env: Env,
    pub(super) number: usize,
    pub(super) process: String,
    pub(super) application: Arc<Application>,
    pub(super) instance: Arc<Instance>,
    /// Seen by queries.
    pub(super) tasks: Arc<Mutex<Tasks>>,
    pub(super) placement: Arc<Mutex<Placement>>,
}

/// What is not committed yet, shared with the listener that the consumer calls when partitions go.
struct Progress {
    application: Arc<Application>,
    tasks: Arc<Mutex<Tasks>>,
    output: Output,
    failed: Mutex<Option<RuntimeError>>,
    /// The group has told something since the last look.
    is_reassigned: AtomicBool,
    /// Nothing is committed any more.
    is_abandoned: AtomicBool,
}

impl Progress {
    /// Makes what was processed last.
    async fn commit(&self, consumer: &Consumer) -> Result<(), RuntimeError> {
        let mut output = Vec::new();
        let offsets = self.tasks.lock().take_progress(&mut output)?;
        self.write(&output).await?;
        match self.commit_offsets(&offsets, consumer).await {
            // The group is being put together: the next commit has them.
            Err(RuntimeError::Consumer(error)) if error.is_retriable() => {
                tracing::debug!(%error, "offsets are committed later");
                self.tasks.lock().put_back(&offsets);
                Ok(())
            }
            done => done,
        }
    }

    async fn commit_offsets(
        &self,
        offsets: &Offsets,
        consumer: &Consumer,
    ) -> Result<(), RuntimeError> {
        if offsets.is_empty() && !self.output.has_written() {
            return Ok(());
        }
        self.output.commit(offsets, consumer).await?;
        self.application.metrics.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn write(&self, output: &[Produced]) -> Result<(), RuntimeError> {
        for produced in output {
            self.output.send(produced).await?;
        }
        self.application.metrics.written.fetch_add(output.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Lets tasks go, with all that they did.
    async fn give_up(
        &self,
        consumer: &Consumer,
        partitions: &[TopicPartition],
    ) -> Result<(), RuntimeError> {
        let tasks: BTreeSet<TaskId> =
            partitions.iter().filter_map(|partition| self.application.task_of(partition)).collect();
        let mut output = Vec::new();
        let (closed, mut offsets) = {
            let mut tasks_now = self.tasks.lock();
            let closed = tasks_now.close(&tasks, &mut output)?;
            (closed, tasks_now.take_progress(&mut output)?)
        };
        offsets.extend(closed);
        self.write(&output).await?;
        // No later commit has them, since the tasks are closed.
        let clock = &consumer.client().env().clock;
        let deadline = clock.now() + CLOSE;
        loop {
            match self.commit_offsets(&offsets, consumer).await {
                Err(RuntimeError::Consumer(error))
                    if error.is_retriable() && clock.now() < deadline =>
                {
                    clock.sleep(FILLING_WAIT).await;
                }
                done => return done,
            }
        }
    }
}

struct Listener(Arc<Progress>);

impl RebalanceListener for Listener {
    fn revoked<'a>(&'a self, consumer: &'a Consumer, partitions: &'a [TopicPartition]) -> Told<'a> {
        Box::pin(async move {
            self.0.is_reassigned.store(true, Ordering::Relaxed);
            if self.0.is_abandoned.load(Ordering::Relaxed) {
                return;
            }
            if let Err(error) = self.0.give_up(consumer, partitions).await {
                self.0.failed.lock().get_or_insert(error);
            }
        })
    }

    fn lost<'a>(&'a self, _consumer: &'a Consumer, _partitions: &'a [TopicPartition]) -> Told<'a> {
        let group = self.0.application.config.application_id.clone();
        self.0.failed.lock().get_or_insert(RuntimeError::Migrated { group });
        Box::pin(std::future::ready(()))
    }

    fn assigned<'a>(
        &'a self,
        consumer: &'a Consumer,
        partitions: &'a [TopicPartition],
    ) -> Told<'a> {
        self.0.is_reassigned.store(true, Ordering::Relaxed);
        // Nothing is read before the state of the tasks is there.
        if let Err(error) = consumer.pause(partitions) {
            self.0.failed.lock().get_or_insert(error.into());
        }
        Box::pin(std::future::ready(()))
    }
}

impl Thread {
    /// Runs until the instance stops, or an error has the last word.
    pub(super) async fn run(self) {
        let clock = self.env.clock.clone();
        let mut failing_since: Option<Moment> = None;
        loop {
            let processed_before = self.application.metrics.processed();
            let Err(error) = self.session().await else { break };
            *self.tasks.lock() = Tasks::new(Arc::clone(&self.application));
            self.instance.thread_is(self.number, ThreadState::Starting);
            if self.instance.is_stopping() {
                break;
            }
            if self.application.metrics.processed() > processed_before {
                failing_since = None;
            }
            let since = *failing_since.get_or_insert(clock.now());
            let timeout = self.application.config.task_timeout;
            if error.is_passing() && clock.now().saturating_since(since) < timeout {
                tracing::warn!(%error, thread = self.number, "a stream thread begins anew");
                clock.sleep(PAUSE).await;
                continue;
            }
            tracing::error!(%error, thread = self.number, "a stream thread failed");
            match self.instance.decide(&error) {
                OnThreadError::ReplaceThread => clock.sleep(PAUSE).await,
                OnThreadError::ShutdownClient => {
                    self.instance.fail(error);
                    break;
                }
            }
        }
        *self.tasks.lock() = Tasks::new(Arc::clone(&self.application));
        self.instance.thread_is(self.number, ThreadState::Dead);
    }

    /// From joining the group to leaving it.
    async fn session(&self) -> Result<(), RuntimeError> {
        let (env, config) = (&self.env, &self.application.config);
        let name =
            format!("{}-{}-StreamThread-{}", config.application_id, self.process, self.number);
        let copies = Arc::new(Mutex::new(BTreeMap::new()));
        let assignor = TaskAssignor {
            parts: self.application.parts(),
            standby_count: config.standby_count,
            process: self.process.clone(),
            server: config.application_server.clone(),
            copies: Arc::clone(&copies),
            placement: Arc::clone(&self.placement),
        };
        let mut consumer_config = config.consumer(&format!("{name}-consumer"))?;
        consumer_config.assignors = vec![Arc::new(assignor)];
        let consumer = Consumer::new(env.clone(), consumer_config)?;
        let restore_config =
            config.restorer(&format!("{name}-restore-consumer"), "restore.consumer.")?;
        let restore_consumer = Consumer::new(env.clone(), restore_config)?;
        let mut restorer = Restorer::new(restore_consumer, config.commit_interval);
        let producer = Producer::new(env.clone(), config.producer(&name)?)?;
        let counts = self.application.topics.counts.clone();
        let output = Output::begin(producer, counts, config.guarantee).await?;
        let progress = Arc::new(Progress {
            application: Arc::clone(&self.application),
            tasks: Arc::clone(&self.tasks),
            output,
            failed: Mutex::default(),
            is_reassigned: AtomicBool::new(false),
            is_abandoned: AtomicBool::new(false),
        });
        let sources = self.application.topics.sources.clone();
        consumer.subscribe_with(sources, Arc::new(Listener(Arc::clone(&progress))))?;
        let done = self.work(&consumer, &mut restorer, &progress, &copies).await;
        progress.is_abandoned.store(true, Ordering::Relaxed);
        if done.is_err() {
            progress.output.abandon().await;
        }
        let closed = consumer.close(CLOSE).await;
        progress.output.close(CLOSE).await;
        restorer.close(CLOSE).await;
        done?;
        Ok(closed?)
    }

    async fn work(
        &self,
        consumer: &Consumer,
        restorer: &mut Restorer,
        progress: &Progress,
        copies: &Mutex<BTreeMap<TaskId, i64>>,
    ) -> Result<(), RuntimeError> {
        let (clock, config) = (self.env.clock.clone(), &self.application.config);
        let mut output = Vec::new();
        let mut next_commit = clock.now() + config.commit_interval;
        let mut next_purge = clock.now() + config.purge_interval;
        let mut purged = BTreeMap::new();
        let mut is_busy = false;
        loop {
            if self.instance.is_stopping() {
                let all: Vec<TopicPartition> = consumer.assignment().into_iter().collect();
                return progress.give_up(consumer, &all).await;
            }
            let records = consumer.poll(self.patience(next_commit, is_busy)).await?;
            if let Some(error) = progress.failed.lock().take() {
                return Err(error);
            }
            progress.output.check()?;
            if progress.is_reassigned.swap(false, Ordering::Relaxed) {
                self.follow(consumer)?;
            }
            self.fill(consumer, restorer).await?;
            *copies.lock() = self.tasks.lock().copies();
            let full = self.tasks.lock().enqueue(&records)?;
            if !full.is_empty() {
                consumer.pause(&full)?;
            }
            for _ in 0..ROUNDS {
                let done = self.process(consumer, &mut output)?;
                progress.write(&output).await?;
                output.clear();
                let is_due = clock.now() >= next_commit;
                if is_due || self.tasks.lock().wants_commit() {
                    progress.commit(consumer).await?;
                    next_commit = clock.now() + config.commit_interval;
                }
                is_busy = done > 0;
                if !is_busy {
                    break;
                }
            }
            // With records at hand no call here waits: the consumer's own tasks, heartbeats among them, need their turn.
            tokio::task::yield_now().await;
            let resumable = self.tasks.lock().take_resumable();
            if !resumable.is_empty() {
                consumer.resume(&resumable)?;
            }
            if clock.now() >= next_purge {
                next_purge = clock.now() + config.purge_interval;
                self.purge(consumer, &mut purged).await?;
            }
        }
    }

    /// How long to wait for records. Not at all if those at hand could be processed, `is_busy`; some
    /// may have to wait for another input.
    fn patience(&self, next_commit: Moment, is_busy: bool) -> Duration {
        let tasks = self.tasks.lock();
        let is_filling = tasks.filling.values().any(|filling| !filling.is_standby);
        if is_filling || is_busy {
            return Duration::ZERO;
        }
        let clock = &self.env.clock;
        let mut wait = self.application.config.poll.min(next_commit.saturating_since(clock.now()));
        if let Some(due) = tasks.next_punctuation_wall_ms() {
            let left = u64::try_from(due - clock.wall_ms()).unwrap_or(0);
            wait = wait.min(Duration::from_millis(left));
        }
        wait
    }

    /// Makes the tasks that the group wants here.
    fn follow(&self, consumer: &Consumer) -> Result<(), RuntimeError> {
        let application = &self.application;
        let active: BTreeSet<TaskId> = consumer
            .assignment()
            .iter()
            .filter_map(|partition| application.task_of(partition))
            .collect();
        let standby = self.placement.lock().standby.clone();
        let mut tasks = self.tasks.lock();
        tasks.follow(&active, &standby, self.env.clock.wall_ms())?;
        let is_settled = active.iter().all(|task| tasks.running.contains_key(task));
        drop(tasks);
        let state = if is_settled { ThreadState::Running } else { ThreadState::Assigned };
        self.instance.thread_is(self.number, state);
        Ok(())
    }

    /// Goes on filling stores, and lets those tasks begin whose stores are filled.
    async fn fill(&self, consumer: &Consumer, restorer: &mut Restorer) -> Result<(), RuntimeError> {
        let wait = {
            let tasks = self.tasks.lock();
            if tasks.filling.is_empty() {
                return Ok(());
            }
            let poll = self.application.config.poll;
            if tasks.has_records() || tasks.filling.values().all(|filling| filling.is_standby) {
                Duration::ZERO
            } else if tasks.running.is_empty() {
                poll
            } else {
                // Those that run have their turn soon.
                poll.min(FILLING_WAIT)
            }
        };
        let filled = restorer.step(&self.tasks, consumer, wait).await?;
        if filled.is_empty() {
            return Ok(());
        }
        for task in filled {
            let inputs: BTreeSet<TopicPartition> =
                self.application.inputs_of(task).into_iter().collect();
            let committed = consumer.committed(&inputs).await?;
            self.reset(consumer, inputs.iter().filter(|input| !committed.contains_key(*input)))?;
            self.tasks.lock().begin(task, &committed)?;
            let inputs: Vec<TopicPartition> = inputs.into_iter().collect();
            consumer.resume(&inputs)?;
        }
        let tasks = self.tasks.lock();
        if tasks.filling.values().all(|filling| filling.is_standby) {
            drop(tasks);
            self.instance.thread_is(self.number, ThreadState::Running);
        }
        Ok(())
    }

    /// Puts inputs without a committed offset where their sources want to begin.
    fn reset<'a>(
        &self,
        consumer: &Consumer,
        inputs: impl Iterator<Item = &'a TopicPartition>,
    ) -> Result<(), RuntimeError> {
        for input in inputs {
            let one = std::slice::from_ref(input);
            match self.application.topics.resets.get(input.topic.as_ref()) {
                Some(OffsetReset::Earliest) => consumer.seek_to_beginning(one)?,
                Some(OffsetReset::Latest) => consumer.seek_to_end(one)?,
                Some(OffsetReset::None) => {
                    let partition = input.clone();
                    return Err(
                        afluente_client::consumer::ConsumerError::NoOffset { partition }.into()
                    );
                }
                None => {}
            }
        }
        Ok(())
    }

    fn process(
        &self,
        consumer: &Consumer,
        output: &mut Vec<Produced>,
    ) -> Result<usize, RuntimeError> {
        if self.instance.is_paused() {
            return Ok(0);
        }
        let clock = &self.env.clock;
        let lag = |partition: &TopicPartition| consumer.current_lag(partition);
        let idle = self.application.config.task_idle;
        let patience = Patience { idle, now: clock.now(), lag: &lag };
        self.tasks.lock().process(RECORDS_PER_TASK, clock.wall_ms(), &patience, output)
    }

    /// Deletes what was read from repartition topics.
    async fn purge(
        &self,
        consumer: &Consumer,
        purged: &mut BTreeMap<TopicPartition, i64>,
    ) -> Result<(), RuntimeError> {
        let repartition = &self.application.topics.repartition;
        let partitions: BTreeSet<TopicPartition> = consumer
            .assignment()
            .into_iter()
            .filter(|partition| repartition.contains(partition.topic.as_ref()))
            .collect();
        if partitions.is_empty() {
            return Ok(());
        }
        let committed = consumer.committed(&partitions).await?;
        let before: Vec<(TopicPartition, i64)> = committed
            .into_iter()
            .map(|(partition, offset)| (partition, offset.offset))
            .filter(|(partition, offset)| purged.get(partition).is_none_or(|last| last < offset))
            .collect();
        if before.is_empty() {
            return Ok(());
        }
        let admin = Admin::new(consumer.client().clone());
        for (partition, deleted) in admin.delete_records(before.clone()).await? {
            if let Err(error) = deleted {
                tracing::debug!(%error, %partition, "could not delete what was read");
            }
        }
        purged.extend(before);
        Ok(())
    }
}

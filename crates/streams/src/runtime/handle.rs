//! The handle of a running application, in the manner of Java's `KafkaStreams`.

use super::StreamMetrics;
use super::assignor::Placement;
use super::config::StreamsConfig;
use super::error::RuntimeError;
use super::global::GlobalReader;
use super::tasks::{Application, Tasks};
use super::thread::Thread;
use super::topics::Topics;
use crate::handlers::OnThreadError;
use crate::stores::MemoryMaps;
use crate::topology::Topology;
use afluente_client::{Admin, Client};
use afluente_env::Env;
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What an instance is doing, in the words of Java's `KafkaStreams.State`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It was made, and not started.
    Created,
    /// Its tasks are being assigned, or their stores filled.
    Rebalancing,
    /// All its tasks are at work.
    Running,
    /// It is being closed.
    PendingShutdown,
    /// It was closed.
    NotRunning,
    /// It failed, and is ending.
    PendingError,
    /// It failed, and has ended.
    Error,
}

/// Told the new state and the one before.
pub type StateListener = Arc<dyn Fn(State, State) + Send + Sync>;

/// Asked about an error that ends a thread and that beginning anew does not mend.
pub type ThreadErrorHandler = Arc<dyn Fn(&RuntimeError) -> OnThreadError + Send + Sync>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ThreadState {
    /// It is joining the group.
    Starting,
    /// It knows its tasks, and fills their stores.
    Assigned,
    Running,
    Dead,
}

/// What the threads of an instance share.
pub(super) struct Instance {
    state: watch::Sender<State>,
    listener: Option<StateListener>,
    on_error: Option<ThreadErrorHandler>,
    threads: Mutex<Vec<ThreadState>>,
    error: Mutex<Option<RuntimeError>>,
    is_stopping: AtomicBool,
    is_paused: AtomicBool,
}

impl Instance {
    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    pub(super) fn is_paused(&self) -> bool {
        self.is_paused.load(Ordering::Acquire)
    }

    pub(super) fn decide(&self, error: &RuntimeError) -> OnThreadError {
        self.on_error.as_ref().map_or(OnThreadError::ShutdownClient, |decide| decide(error))
    }

    /// Ends the instance.
    pub(super) fn fail(&self, error: RuntimeError) {
        self.error.lock().get_or_insert(error);
        self.is_stopping.store(true, Ordering::Release);
        self.change(|_| State::PendingError);
    }

    pub(super) fn thread_is(&self, number: usize, state: ThreadState) {
        let mut threads = self.threads.lock();
        threads[number - 1] = state;
        let all = |wanted: ThreadState| threads.iter().all(|state| *state == wanted);
        let (is_running, is_dead) = (all(ThreadState::Running), all(ThreadState::Dead));
        drop(threads);
        self.change(|now| match now {
            State::PendingError if is_dead => State::Error,
            State::PendingShutdown if is_dead => State::NotRunning,
            State::Rebalancing | State::Running if is_running => State::Running,
            State::Running => State::Rebalancing,
            now => now,
        });
    }

    fn change(&self, next: impl FnOnce(State) -> State) {
        let mut before = State::Created;
        let mut after = State::Created;
        let is_changed = self.state.send_if_modified(|state| {
            before = *state;
            after = next(before);
            *state = after;
            before != after
        });
        if is_changed {
            tracing::info!(?before, ?after, "the state of a streams application changed");
            if let Some(listener) = &self.listener {
                listener(after, before);
            }
        }
    }
}

/// An application that can be started once: its topology, its settings, and what watches it.
///
/// ```no_run
/// use afluente_env::Env;
/// use afluente_streams::dsl::{Consumed, Produced, StreamsBuilder};
/// use afluente_streams::runtime::{KafkaStreams, StreamsConfig};
/// use std::time::Duration;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let builder = StreamsBuilder::new();
/// builder
///     .stream::<String, String>(&["words"], Consumed::default())
///     .map_values(|_, word| word.map(|word| word.to_uppercase()))
///     .to("shouted", Produced::default());
/// let config = StreamsConfig::from_properties([
///     ("application.id", "shouting"),
///     ("bootstrap.servers", "localhost:9092"),
/// ])?;
/// let streams = KafkaStreams::new(Env::real(), builder.build()?, config);
/// let running = streams.start().await?;
/// // … until it is enough:
/// running.close(Duration::from_secs(10)).await?;
/// # Ok(())
/// # }
/// ```
pub struct KafkaStreams {
    env: Env,
    topology: Arc<Topology>,
    config: StreamsConfig,
    listener: Option<StateListener>,
    on_error: Option<ThreadErrorHandler>,
}

impl fmt::Debug for KafkaStreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaStreams").field("config", &self.config).finish_non_exhaustive()
    }
}

impl KafkaStreams {
    /// An application that does not run yet.
    #[must_use]
    pub fn new(env: Env, topology: Topology, config: StreamsConfig) -> Self {
        Self { env, topology: Arc::new(topology), config, listener: None, on_error: None }
    }

    /// Tells `listener` of each change of state.
    #[must_use]
    pub fn with_state_listener(
        self,
        listener: impl Fn(State, State) + Send + Sync + 'static,
    ) -> Self {
        Self { listener: Some(Arc::new(listener)), ..self }
    }

    /// Asks `decide` about an error that ends a thread; without it, the instance ends.
    #[must_use]
    pub fn with_error_handler(
        self,
        decide: impl Fn(&RuntimeError) -> OnThreadError + Send + Sync + 'static,
    ) -> Self {
        Self { on_error: Some(Arc::new(decide)), ..self }
    }

    /// Makes internal topics, checks that the topics fit together, fills global tables, and starts the threads.
    ///
    /// # Errors
    ///
    /// What is missing in the cluster, or does not fit.
    pub async fn start(self) -> Result<RunningStreams, RuntimeError> {
        let Self { env, topology, config, listener, on_error } = self;
        for key in config.unknown() {
            tracing::warn!(key = key.name, nearest = key.nearest, "unknown configuration key");
        }
        let admin = Admin::new(Client::new(env.clone(), config.client()?)?);
        let topics = Topics::settle(&topology, &config, &admin).await?;
        let metrics = Arc::<StreamMetrics>::default();
        let globals = topology.shared_stores(&MemoryMaps)?;
        let mut reader = GlobalReader::new(&env, &topology, &config, &topics, &globals, &metrics)?;
        if let Some(reader) = &mut reader {
            reader.fill().await?;
        }
        let (state, _) = watch::channel(State::Created);
        let thread_count = if topics.subtopologies.is_empty() { 0 } else { config.thread_count };
        let instance = Arc::new(Instance {
            state,
            listener,
            on_error,
            threads: Mutex::new(vec![ThreadState::Starting; thread_count]),
            error: Mutex::default(),
            is_stopping: AtomicBool::new(false),
            is_paused: AtomicBool::new(false),
        });
        instance.change(|_| if thread_count == 0 { State::Running } else { State::Rebalancing });
        let application =
            Arc::new(Application::new(topology, config, topics, globals, Arc::clone(&metrics)));
        let process = uuid_text(env.rng.uuid());
        let mut running = RunningStreams {
            env: env.clone(),
            instance: Arc::clone(&instance),
            application: Arc::clone(&application),
            tasks: Vec::new(),
            placements: Vec::new(),
            joins: Vec::new(),
        };
        for number in 1..=thread_count {
            let tasks = Arc::new(Mutex::new(Tasks::new(Arc::clone(&application))));
            running.tasks.push(Arc::clone(&tasks));
            let placement = Arc::<Mutex<Placement>>::default();
            running.placements.push(Arc::clone(&placement));
            let thread = Thread {
                env: env.clone(),
                number,
                process: process.clone(),
                application: Arc::clone(&application),
                instance: Arc::clone(&instance),
                tasks,
                placement,
            };
            running.joins.push(env.tasks.spawn(thread.run()));
        }
        if let Some(reader) = reader {
            running.joins.push(env.tasks.spawn(follow_global(reader, instance, application)));
        }
        Ok(running)
    }
}

async fn follow_global(
    mut reader: GlobalReader,
    instance: Arc<Instance>,
    application: Arc<Application>,
) {
    while !instance.is_stopping() {
        if let Err(error) = reader.step(application.config.poll).await {
            if error.is_passing() {
                tracing::warn!(%error, "global tables are behind");
            } else {
                instance.fail(error);
            }
        }
    }
    reader.close().await;
}

/// An application that was started. Dropping it stops the threads, without waiting for them.
pub struct RunningStreams {
    env: Env,
    instance: Arc<Instance>,
    pub(super) application: Arc<Application>,
    pub(super) tasks: Vec<Arc<Mutex<Tasks>>>,
    pub(super) placements: Vec<Arc<Mutex<Placement>>>,
    joins: Vec<JoinHandle<()>>,
}

impl fmt::Debug for RunningStreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningStreams").field("state", &self.state()).finish_non_exhaustive()
    }
}

impl RunningStreams {
    /// What it is doing.
    #[must_use]
    pub fn state(&self) -> State {
        *self.instance.state.borrow()
    }

    /// Waits until it does this, or has ended otherwise; gives what it is then.
    pub async fn wait_for(&self, wanted: State) -> State {
        let mut state = self.instance.state.subscribe();
        let is_it =
            |state: &State| *state == wanted || matches!(state, State::NotRunning | State::Error);
        // The sender lives as long as this.
        state.wait_for(is_it).await.map_or(State::Error, |state| *state)
    }

    /// What it has done so far.
    #[must_use]
    pub fn metrics(&self) -> Arc<StreamMetrics> {
        Arc::clone(&self.application.metrics)
    }

    /// Stops processing; the instance stays in the group (KIP-834).
    pub fn pause(&self) {
        self.instance.is_paused.store(true, Ordering::Release);
    }

    /// Goes on after [`Self::pause`].
    pub fn resume(&self) {
        self.instance.is_paused.store(false, Ordering::Release);
    }

    /// Whether it was paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.instance.is_paused()
    }

    /// Commits, leaves the group and ends the threads, within `timeout`; what is left then is cut off, and done again by who
    /// takes over.
    ///
    /// # Errors
    ///
    /// What had ended the application before.
    pub async fn close(mut self, timeout: Duration) -> Result<(), RuntimeError> {
        let joins = std::mem::take(&mut self.joins);
        let instance = &self.instance;
        instance.change(|now| match now {
            State::PendingError | State::Error | State::NotRunning => now,
            _ => State::PendingShutdown,
        });
        instance.is_stopping.store(true, Ordering::Release);
        let clock = &self.env.clock;
        let deadline = clock.now() + timeout;
        for mut join in joins {
            tokio::select! {
                _ = &mut join => {}
                () = clock.sleep_until(deadline) => join.abort(),
            }
        }
        instance.change(|now| match now {
            State::PendingError | State::Error => State::Error,
            _ => State::NotRunning,
        });
        let error = instance.error.lock().take();
        error.map_or(Ok(()), Err)
    }
}

impl Drop for RunningStreams {
    fn drop(&mut self) {
        self.instance.is_stopping.store(true, Ordering::Release);
    }
}

fn uuid_text(bytes: [u8; 16]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

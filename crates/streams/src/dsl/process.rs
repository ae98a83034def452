//! Operators of one's own: processors with stores and punctuation.
//!
//! A [`Processor`] is handed records and hands on what it likes. It finds its stores by the [`KeyValueStore`] that described
//! them, and may ask to be called from time to time.

use super::builder::StreamsBuilder;
use super::graph::{NodeTraits, ROOT};
use super::stream::KStream;
use crate::engine::{Context, Origin, PunctuationKind, ScheduleId, Step, TaskId, node};
use crate::error::{Error, Flow};
use crate::record::{Data, Record};
use crate::serdes::{HasSerde, SerdeOf};
use crate::stores::handles::{Handle, PlainKeyValue, StoreRef};
use crate::stores::{StoreKind, StoreSpec};
use crate::topology::{NodeKind, NodeSpec};
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// An operator of one's own. One is made for each task.
pub trait Processor<K, V, K2, V2>: Send {
    /// Before the first record: the place to open stores and to ask for punctuation.
    ///
    /// # Errors
    ///
    /// Whatever keeps the task from starting.
    fn init(&mut self, _ctx: &ProcessorContext<'_, K2, V2>) -> Flow {
        Ok(())
    }

    /// One record.
    ///
    /// # Errors
    ///
    /// Whatever should end the task.
    fn process(&mut self, record: Record<K, V>, ctx: &ProcessorContext<'_, K2, V2>) -> Flow;

    /// A call that was asked for with [`ProcessorContext::schedule`].
    ///
    /// # Errors
    ///
    /// Whatever should end the task.
    fn punctuate(
        &mut self,
        _schedule: ScheduleId,
        _timestamp: i64,
        _ctx: &ProcessorContext<'_, K2, V2>,
    ) -> Flow {
        Ok(())
    }

    /// After the last record.
    ///
    /// # Errors
    ///
    /// Whatever should be said of it.
    fn close(&mut self, _ctx: &ProcessorContext<'_, K2, V2>) -> Flow {
        Ok(())
    }
}

/// What a processor sees of its task.
pub struct ProcessorContext<'a, K, V> {
    ctx: &'a Context<'a>,
    output: PhantomData<fn(K, V)>,
}

impl<K, V> std::fmt::Debug for ProcessorContext<'_, K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessorContext").field("node", &self.ctx.node_name()).finish()
    }
}

impl<'a, K: Data, V: Data> ProcessorContext<'a, K, V> {
    fn new(ctx: &'a Context<'a>) -> Self {
        Self { ctx, output: PhantomData }
    }

    /// Hands a record to everything below.
    ///
    /// # Errors
    ///
    /// What was said there.
    pub fn forward(&self, record: Record<K, V>) -> Flow {
        self.ctx.forward(record)
    }

    /// Hands a record to one child.
    ///
    /// # Errors
    ///
    /// There is none of this name, or what it said.
    pub fn forward_to(&self, child: &str, record: Record<K, V>) -> Flow {
        self.ctx.forward_to(child, record)
    }

    /// Asks for a call of [`Processor::punctuate`] each `interval`.
    pub fn schedule(&self, interval: Duration, kind: PunctuationKind) -> ScheduleId {
        let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
        self.ctx.schedule(interval_ms, kind)
    }

    /// Takes the wish back.
    pub fn cancel(&self, schedule: ScheduleId) {
        self.ctx.cancel(schedule);
    }

    /// Asks for a commit soon.
    pub fn commit(&self) {
        self.ctx.commit();
    }

    /// The task.
    pub fn task(&self) -> TaskId {
        self.ctx.task()
    }

    /// Where the record at hand came from; `None` in a punctuation.
    pub fn origin(&self) -> Option<Origin> {
        self.ctx.origin()
    }

    /// Event time of the task, or -1.
    pub fn stream_time(&self) -> i64 {
        self.ctx.stream_time()
    }

    /// Time of day, milliseconds since the epoch.
    pub fn wall_ms(&self) -> i64 {
        self.ctx.wall_ms()
    }
}

struct Own<P, K2, V2> {
    processor: P,
    output: PhantomData<fn(K2, V2)>,
}

impl<K, V, K2, V2, P> Step<K, V> for Own<P, K2, V2>
where
    K: Data,
    V: Data,
    K2: Data,
    V2: Data,
    P: Processor<K, V, K2, V2>,
{
    fn init(&mut self, ctx: &Context<'_>) -> Flow {
        self.processor.init(&ProcessorContext::new(ctx))
    }

    fn process(&mut self, record: Record<K, V>, ctx: &Context<'_>) -> Flow {
        self.processor.process(record, &ProcessorContext::new(ctx))
    }

    fn punctuate(&mut self, schedule: ScheduleId, timestamp: i64, ctx: &Context<'_>) -> Flow {
        self.processor.punctuate(schedule, timestamp, &ProcessorContext::new(ctx))
    }

    fn close(&mut self, ctx: &Context<'_>) -> Flow {
        self.processor.close(&ProcessorContext::new(ctx))
    }
}

impl<K: Data, V: Data> KStream<K, V> {
    /// Hands the stream to a processor, which is connected to the stores of these names.
    pub fn process<K2: Data, V2: Data, P, F>(&self, make: F, stores: &[&str]) -> KStream<K2, V2>
    where
        P: Processor<K, V, K2, V2> + 'static,
        F: Fn() -> P + Send + Sync + 'static,
    {
        let name = match &self.next_name {
            Some(name) => name.clone(),
            None => self.builder.new_name("KSTREAM-PROCESSOR-"),
        };
        let stores: Vec<String> = stores.iter().map(|store| (*store).to_owned()).collect();
        let spec_name = name.clone();
        let node_id = self.builder.add(
            &[self.node],
            &name,
            NodeTraits::default(),
            move |topology, parents| {
                topology.add_node(NodeSpec {
                    name: spec_name.clone(),
                    parents: parents.to_vec(),
                    kind: NodeKind::Processor {
                        make: Arc::new(move || {
                            node::<K, V>(Own { processor: make(), output: PhantomData })
                        }),
                        stores: Vec::new(),
                    },
                })?;
                stores.iter().try_for_each(|store| topology.connect_store(&spec_name, store))
            },
        );
        KStream {
            name,
            keys: None,
            values: None,
            sources: self.sources.clone(),
            needs_repartition: true,
            node: node_id,
            builder: self.builder.clone(),
            next_name: None,
            repartitioned: Rc::default(),
        }
    }
}

/// The description of a store of values by key, and, in a processor, the way into it.
pub struct KeyValueStore<K, V> {
    store: StoreRef<K, V>,
    logging: bool,
}

impl<K, V> Clone for KeyValueStore<K, V> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), logging: self.logging }
    }
}

impl<K, V> std::fmt::Debug for KeyValueStore<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyValueStore").field("name", &self.store.name).finish_non_exhaustive()
    }
}

impl<K: HasSerde, V: HasSerde> KeyValueStore<K, V> {
    /// A store with the serdes of its types, and with a changelog.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self::with(name, K::serde(), V::serde())
    }
}

impl<K: Data, V: Data> KeyValueStore<K, V> {
    /// A store with these serdes, and with a changelog.
    #[must_use]
    pub fn with(name: &str, keys: SerdeOf<K>, values: SerdeOf<V>) -> Self {
        Self { store: StoreRef { name: name.into(), keys, values }, logging: true }
    }

    /// Without a changelog: what is in memory is lost with the process.
    #[must_use]
    pub fn without_logging(self) -> Self {
        Self { logging: false, ..self }
    }

    /// The store of the processor's task.
    ///
    /// # Errors
    ///
    /// The processor is not connected to it.
    pub fn open<K2, V2>(
        &self,
        ctx: &ProcessorContext<'_, K2, V2>,
    ) -> Result<OpenStore<K, V>, Error> {
        Ok(OpenStore(self.store.open(ctx.ctx)?))
    }
}

/// A store that a processor has opened.
pub struct OpenStore<K, V>(Handle<K, V, PlainKeyValue>);

impl<K, V> std::fmt::Debug for OpenStore<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenStore").finish_non_exhaustive()
    }
}

impl<K: Data, V: Data> OpenStore<K, V> {
    /// The value of a key.
    ///
    /// # Errors
    ///
    /// What the serde or the disk said.
    pub fn get<K2, V2>(
        &self,
        ctx: &ProcessorContext<'_, K2, V2>,
        key: &K,
    ) -> Result<Option<V>, Error> {
        self.0.get(ctx.ctx, key)
    }

    /// Sets the value of a key; `None` deletes it.
    ///
    /// # Errors
    ///
    /// What the serde or the disk said.
    pub fn put<K2, V2>(
        &self,
        ctx: &ProcessorContext<'_, K2, V2>,
        key: &K,
        value: Option<&V>,
    ) -> Flow {
        self.0.put(ctx.ctx, key, value)
    }

    /// All of it, in the order of the keys' bytes.
    ///
    /// # Errors
    ///
    /// What the serde or the disk said.
    pub fn all<K2, V2>(&self, ctx: &ProcessorContext<'_, K2, V2>) -> Result<Vec<(K, V)>, Error> {
        self.0.all(ctx.ctx)
    }
}

impl StreamsBuilder {
    /// Adds a store for processors to use.
    pub fn add_state_store<K: Data, V: Data>(&self, store: &KeyValueStore<K, V>) {
        let spec = StoreSpec {
            name: store.store.name.as_ref().to_owned(),
            kind: StoreKind::KeyValue { timestamped: false },
            caching: false,
            logging: store.logging,
        };
        let name = spec.name.clone();
        self.builder().add(&[ROOT], &name, NodeTraits::default(), move |topology, _| {
            topology.add_store(spec, &[])
        });
    }
}

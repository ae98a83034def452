//! Joins of two tables by a key that the left one has in its values.

use super::graph::{NodeTraits, TellParent};
use super::settings::{Consumed, Materialized};
use super::table::KTable;
use crate::dsl::builder::source_spec;
use crate::engine::node;
use crate::processors::ends::Sink;
use crate::processors::foreign_key_join::{
    Answer, AnswerSerde, ForeignJoiner, ForeignKeyOf, KeySchema, Resolve, Subscribe, Subscription,
    SubscriptionSerde, answer_change, answer_subscription, receive,
};
use crate::processors::table_source::SourceTable;
use crate::record::{Change, Data};
use crate::serdes::{HasSerde, SerdeOf};
use crate::stores::handles::StoreRef;
use crate::stores::{StoreKind, StoreSpec};
use crate::topology::{InternalTopic, NodeFactory, NodeKind, NodeSpec};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const REGISTRATION: &str = "KTABLE-FK-JOIN-SUBSCRIPTION-REGISTRATION-";
const PROCESSOR: &str = "KTABLE-FK-JOIN-SUBSCRIPTION-PROCESSOR-";
const RESPONSE: &str = "KTABLE-FK-JOIN-SUBSCRIPTION-RESPONSE-";
const RESOLVER: &str = "KTABLE-FK-JOIN-SUBSCRIPTION-RESPONSE-RESOLVER-PROCESSOR-";
const STORE: &str = "KTABLE-FK-JOIN-SUBSCRIPTION-STATE-STORE-";
const OUTPUT: &str = "KTABLE-FK-JOIN-OUTPUT-";

/// A flag that is set once the parent turns out to be a versioned table, for processors that are made later.
fn drops_older() -> (Arc<AtomicBool>, NodeTraits) {
    let flag = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&flag);
    let on_versioned_parent: TellParent = Rc::new(move |_| told.store(true, Ordering::Relaxed));
    (flag, NodeTraits { on_versioned_parent: Some(on_versioned_parent), ..NodeTraits::default() })
}

impl<K: HasSerde, V: HasSerde> KTable<K, V> {
    /// Joins each row with that of `other` whose key `foreign_key` finds in it (KIP-213). The tables need not have the same
    /// number of partitions.
    pub fn join_foreign<F, V2, VR, E, J>(
        &self,
        other: &KTable<F, V2>,
        foreign_key: E,
        joiner: J,
        materialized: Materialized<K, VR>,
    ) -> KTable<K, VR>
    where
        F: HasSerde,
        V2: HasSerde,
        VR: HasSerde,
        E: Fn(&K, &V) -> Option<F> + Send + Sync + 'static,
        J: Fn(&V, &V2) -> Option<VR> + Send + Sync + 'static,
    {
        let joiner: ForeignJoiner<V, V2, VR> = Arc::new(move |left, right| joiner(left, right?));
        self.foreign(other, Arc::new(foreign_key), joiner, materialized, false)
    }

    /// As [`Self::join_foreign`], with every row of this table in the result.
    pub fn left_join_foreign<F, V2, VR, E, J>(
        &self,
        other: &KTable<F, V2>,
        foreign_key: E,
        joiner: J,
        materialized: Materialized<K, VR>,
    ) -> KTable<K, VR>
    where
        F: HasSerde,
        V2: HasSerde,
        VR: HasSerde,
        E: Fn(&K, &V) -> Option<F> + Send + Sync + 'static,
        J: Fn(&V, Option<&V2>) -> Option<VR> + Send + Sync + 'static,
    {
        self.foreign(other, Arc::new(foreign_key), Arc::new(joiner), materialized, true)
    }

    fn foreign<F: HasSerde, V2: HasSerde, VR: HasSerde>(
        &self,
        other: &KTable<F, V2>,
        foreign_key: ForeignKeyOf<K, V, F>,
        joiner: ForeignJoiner<V, V2, VR>,
        materialized: Materialized<K, VR>,
        is_left: bool,
    ) -> KTable<K, VR> {
        other.supplier.send_old_values(true);
        self.supplier.send_old_values(true);
        let builder = &self.builder;
        let keys = self.keys.clone().unwrap_or_else(K::serde);
        let values = self.values.clone().unwrap_or_else(V::serde);
        let foreign_keys = other.keys.clone().unwrap_or_else(F::serde);
        let foreign_values = other.values.clone().unwrap_or_else(V2::serde);
        let own = self.next_name.as_deref();
        let name = |suffix: &str, prefix: &str| builder.suffixed_or(own, suffix, prefix);

        // The order of these calls is that of Java's: it is in the names.
        let topic = format!("{}-topic", name("-subscription-registration", REGISTRATION));
        let send_name = name("-subscription-registration-processor", REGISTRATION);
        let subscriptions: SerdeOf<Subscription<K>> = Arc::new(SubscriptionSerde(keys.clone()));
        let internal = topic.clone();
        builder.topology(|topology| {
            topology.internal_topics.insert(internal, InternalTopic::default());
        });
        let send = {
            let (foreign_key, foreign_keys) = (Arc::clone(&foreign_key), foreign_keys.clone());
            let values = values.clone();
            let (is_versioned, traits) = drops_older();
            let make: NodeFactory = Arc::new(move || {
                node::<K, Change<V>>(Subscribe {
                    foreign_key: Arc::clone(&foreign_key),
                    foreign_keys: foreign_keys.clone(),
                    values: values.clone(),
                    is_left,
                    drops_older: is_versioned.load(Ordering::Relaxed),
                })
            });
            self.step_with(&[self.node], &send_name, traits, make, None, Vec::new())
        };
        let sink_name = name("-subscription-registration-sink", "KTABLE-SINK-");
        let sink = {
            let (keys, values) = (foreign_keys.clone(), subscriptions.clone());
            let make = move |topic| {
                node(Sink {
                    topic,
                    topic_of: None,
                    keys: keys.clone(),
                    values: values.clone(),
                    partitioner: None,
                })
            };
            self.sink(&[send], &sink_name, &topic, make)
        };
        let source_name = name("-subscription-registration-source", "KTABLE-SOURCE-");
        let source =
            self.source(sink, &source_name, &topic, foreign_keys.clone(), subscriptions.clone());
        let mut right_sources = other.sources.clone();
        right_sources.insert(source_name);
        builder.topology(|topology| topology.copartition_groups.push(right_sources));
        let store_name = name("-subscription-store", STORE);
        let spec = StoreSpec {
            name: store_name.clone(),
            kind: StoreKind::KeyValue { timestamped: true },
            logging: true,
            caching: false,
        };
        let store = StoreRef {
            name: store_name.as_str().into(),
            keys: bytes::Bytes::serde(),
            values: subscriptions,
        };
        let schema = KeySchema { keys: keys.clone(), foreign_keys };
        let receive_name = name("-subscription-receive", PROCESSOR);
        let received = {
            let (schema, store) = (schema.clone(), store.clone());
            let make: NodeFactory = Arc::new(move || receive(schema.clone(), store.clone()));
            let traits = NodeTraits::default();
            self.step_with(&[source], &receive_name, traits, make, Some(spec.clone()), Vec::new())
        };
        let right = other.supplier.getter();
        let answer_name = name("-subscription-join-foreign", PROCESSOR);
        let answered = {
            let stores = right.stores.clone();
            let make: NodeFactory = Arc::new(move || answer_subscription::<K, F, V2>(&right));
            let traits = NodeTraits::default();
            self.step_with(&[received], &answer_name, traits, make, None, stores)
        };
        let change_name = name("-foreign-join-subscription", PROCESSOR);
        let changed = {
            let (is_versioned, traits) = drops_older();
            let make: NodeFactory = Arc::new(move || {
                let drops_older = is_versioned.load(Ordering::Relaxed);
                answer_change::<K, F, V2>(schema.clone(), store.clone(), drops_older)
            });
            self.step_with(&[other.node], &change_name, traits, make, Some(spec), Vec::new())
        };
        let topic = format!("{}-topic", name("-subscription-response", RESPONSE));
        let internal = topic.clone();
        builder.topology(|topology| {
            topology.internal_topics.insert(internal, InternalTopic::default());
        });
        let answers: SerdeOf<Answer<V2>> = Arc::new(AnswerSerde(foreign_values));
        let sink_name = name("-subscription-response-sink", "KTABLE-SINK-");
        let sink = {
            let (keys, values) = (keys.clone(), answers.clone());
            let make = move |topic| {
                node(Sink {
                    topic,
                    topic_of: None,
                    keys: keys.clone(),
                    values: values.clone(),
                    partitioner: Some(Arc::new(|_: Option<&K>, answer: Option<&Answer<V2>>| {
                        answer.and_then(|answer| answer.partition)
                    })),
                })
            };
            self.sink(&[answered], &sink_name, &topic, make)
        };
        builder.link(&[changed], sink);
        let source_name = name("-subscription-response-source", "KTABLE-SOURCE-");
        let source = self.source(sink, &source_name, &topic, keys.clone(), answers);
        let mut sources = self.sources.clone();
        sources.insert(source_name);
        builder.topology(|topology| topology.copartition_groups.push(sources.clone()));
        let left = self.supplier.getter();
        let resolve_name = name("-subscription-response-resolver", RESOLVER);
        let resolved = {
            let stores = left.stores.clone();
            let make: NodeFactory = Arc::new(move || {
                node::<K, Answer<V2>>(Resolve {
                    left: (left.make)(),
                    values: values.clone(),
                    joiner: Arc::clone(&joiner),
                    is_left,
                })
            });
            let traits = NodeTraits::default();
            self.step_with(&[source], &resolve_name, traits, make, None, stores)
        };
        let result_name = name("-result", OUTPUT);
        let (materialized, queryable) = materialized.named_or(|| builder.new_store_name(OUTPUT));
        let result_values = materialized.value_serde().unwrap_or_else(VR::serde);
        let supplier =
            SourceTable::new(&materialized, queryable.clone(), keys.clone(), result_values.clone());
        let traits = NodeTraits {
            output_versioned: Some(materialized.history_ms.is_some()),
            ..NodeTraits::default()
        };
        let node = {
            let (supplier, name) = (supplier.clone(), result_name.clone());
            builder.add(&[resolved], &result_name, traits, move |topology, parents| {
                supplier.write(topology, &name, parents, None)
            })
        };
        KTable {
            name: result_name,
            keys: Some(keys),
            values: Some(result_values),
            sources,
            node,
            builder: builder.clone(),
            supplier: Rc::new(supplier),
            queryable,
            next_name: None,
        }
    }

    /// Adds a processor, its store, and the stores of others that it reads.
    fn step_with(
        &self,
        parents: &[usize],
        name: &str,
        traits: NodeTraits,
        make: NodeFactory,
        store: Option<StoreSpec>,
        reads: Vec<String>,
    ) -> usize {
        let own = name.to_owned();
        self.builder.add(parents, name, traits, move |topology, parents| {
            topology.add_node(NodeSpec {
                name: own.clone(),
                parents: parents.to_vec(),
                kind: NodeKind::Processor { make, stores: Vec::new() },
            })?;
            if let Some(store) = store {
                topology.add_store(store, &[&own])?;
            }
            for store in reads {
                topology.connect_store(&own, &store)?;
            }
            Ok(())
        })
    }

    fn sink(
        &self,
        parents: &[usize],
        name: &str,
        topic: &str,
        make: impl Fn(Option<Arc<str>>) -> Box<dyn crate::engine::Node> + Send + Sync + 'static,
    ) -> usize {
        let (own, topic) = (name.to_owned(), topic.to_owned());
        self.builder.add(parents, name, NodeTraits::default(), move |topology, parents| {
            topology.add_node(NodeSpec {
                name: own,
                parents: parents.to_vec(),
                kind: NodeKind::Sink { topic: Some(topic), make: Arc::new(make) },
            })
        })
    }

    fn source<K2: Data, V2: Data>(
        &self,
        sink: usize,
        name: &str,
        topic: &str,
        keys: SerdeOf<K2>,
        values: SerdeOf<V2>,
    ) -> usize {
        let spec =
            source_spec(name, vec![topic.to_owned()], keys, values, &Consumed::<K2, V2>::new());
        self.builder
            .add(&[sink], name, NodeTraits::default(), move |topology, _| topology.add_node(spec))
    }
}

//! Where streams and tables come from.

use super::graph::{Builder, NodeTraits, ROOT};
use super::settings::{Consumed, Materialized};
use super::stream::KStream;
use super::stream_join::GlobalTable;
use super::table::{KTable, TableSupplier};
use crate::error::Error;
use crate::processors::ends::source;
use crate::processors::table_source::SourceTable;
use crate::record::Data;
use crate::serdes::{HasSerde, SerdeOf};
use crate::topology::{NodeKind, NodeSpec, Topology, java_set_order};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

/// The beginning of an application; see the module.
#[derive(Default)]
pub struct StreamsBuilder {
    builder: Option<Builder>,
    reuse_source_topics: bool,
}

impl std::fmt::Debug for StreamsBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamsBuilder").finish_non_exhaustive()
    }
}

impl StreamsBuilder {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self { builder: Some(Builder::new()), reuse_source_topics: false }
    }

    /// Lets tables be restored from the topics they are read from, instead of from changelogs of their own.
    #[must_use]
    pub fn reusing_source_topics(self) -> Self {
        Self { reuse_source_topics: true, ..self }
    }

    pub(super) fn builder(&self) -> &Builder {
        self.builder.as_ref().expect("made by `new`")
    }

    /// The records of some topics.
    pub fn stream<K: HasSerde, V: HasSerde>(
        &self,
        topics: &[&str],
        consumed: Consumed<K, V>,
    ) -> KStream<K, V> {
        let builder = self.builder();
        let name = builder.name_or(consumed.name.as_deref(), "KSTREAM-SOURCE-");
        // Java keeps topics in a hash set, and in another one behind it.
        let topics: Vec<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
        let topics = java_set_order(&java_set_order(&topics));
        let keys = consumed.keys.clone().unwrap_or_else(K::serde);
        let values = consumed.values.clone().unwrap_or_else(V::serde);
        let traits = NodeTraits {
            source_topics: Some(topics.iter().cloned().collect()),
            ..NodeTraits::default()
        };
        let spec = source_spec(&name, topics, keys.clone(), values.clone(), &consumed);
        let node = builder.add(&[ROOT], &name, traits, move |topology, _| topology.add_node(spec));
        KStream {
            keys: Some(keys),
            values: Some(values),
            sources: BTreeSet::from([name.clone()]),
            needs_repartition: false,
            name,
            node,
            builder: builder.clone(),
            next_name: None,
            repartitioned: Rc::default(),
        }
    }

    /// A topic as a table: the newest value of each key.
    pub fn table<K: HasSerde, V: HasSerde>(
        &self,
        topic: &str,
        consumed: Consumed<K, V>,
        materialized: Materialized<K, V>,
    ) -> KTable<K, V> {
        let builder = self.builder();
        let keys =
            materialized.keys.clone().or_else(|| consumed.keys.clone()).unwrap_or_else(K::serde);
        let values = materialized
            .values
            .clone()
            .or_else(|| consumed.values.clone())
            .unwrap_or_else(V::serde);
        // The generated name of the store takes its number before the nodes do.
        let (materialized, queryable) =
            materialized.named_or(|| builder.new_store_name(&format!("{topic}-")));
        let source_name =
            builder.suffixed_or(consumed.name.as_deref(), "-source", "KSTREAM-SOURCE-");
        let name = builder.name_or(consumed.name.as_deref(), "KTABLE-SOURCE-");
        let spec = source_spec(
            &source_name,
            vec![topic.to_owned()],
            keys.clone(),
            values.clone(),
            &consumed,
        );
        let supplier =
            SourceTable::new(&materialized, queryable.clone(), keys.clone(), values.clone());
        let traits = NodeTraits {
            output_versioned: Some(materialized.history_ms.is_some()),
            ..NodeTraits::default()
        };
        let reuse = self.reuse_source_topics.then(|| topic.to_owned());
        let node = {
            let (supplier, name, source_name) =
                (supplier.clone(), name.clone(), source_name.clone());
            builder.add(&[ROOT], &source_name.clone(), traits, move |topology, _| {
                topology.add_node(spec)?;
                supplier.write(topology, &name, std::slice::from_ref(&source_name), reuse)
            })
        };
        // A child names the table's processor as its parent, not the source.
        builder.rename(node, &name);
        KTable {
            name,
            keys: Some(keys),
            values: Some(values),
            sources: BTreeSet::from([source_name]),
            node,
            builder: builder.clone(),
            supplier: Rc::new(supplier) as Rc<dyn TableSupplier<K, V>>,
            queryable,
            next_name: None,
        }
    }

    /// A topic as a table that every instance holds whole. It is read to its end before the application starts.
    pub fn global_table<K: HasSerde, V: HasSerde>(
        &self,
        topic: &str,
        consumed: Consumed<K, V>,
        materialized: Materialized<K, V>,
    ) -> GlobalTable<K, V> {
        let builder = self.builder();
        let keys =
            materialized.keys.clone().or_else(|| consumed.keys.clone()).unwrap_or_else(K::serde);
        let values = materialized
            .values
            .clone()
            .or_else(|| consumed.values.clone())
            .unwrap_or_else(V::serde);
        if materialized.history_ms.is_some() {
            builder.fail(Error::Topology("a global table cannot be versioned".to_owned()));
        }
        let (materialized, _) =
            materialized.named_or(|| builder.new_store_name(&format!("{topic}-")));
        let source = builder.suffixed_or(consumed.name.as_deref(), "-source", "KSTREAM-SOURCE-");
        let name = builder.name_or(consumed.name.as_deref(), "KTABLE-SOURCE-");
        let supplier =
            SourceTable::new(&materialized, Some(String::new()), keys.clone(), values.clone());
        let getter = supplier.getter();
        let source_node = source_spec(&source, vec![topic.to_owned()], keys, values, &consumed);
        let topic = topic.to_owned();
        builder.add(&[ROOT], &source.clone(), NodeTraits::default(), move |topology, _| {
            supplier.write_global(topology, source_node, &name, &topic)
        });
        GlobalTable { getter, queryable: materialized.store_name().to_owned() }
    }

    /// The topology of all that was called.
    ///
    /// # Errors
    ///
    /// What cannot be: the first mistake in the calls, or names and topics that collide.
    pub fn build(self) -> Result<Topology, Error> {
        self.builder().build()
    }
}

pub(super) fn source_spec<K: Data, V: Data>(
    name: &str,
    topics: Vec<String>,
    keys: SerdeOf<K>,
    values: SerdeOf<V>,
    consumed: &Consumed<K, V>,
) -> NodeSpec {
    NodeSpec {
        name: name.to_owned(),
        parents: Vec::new(),
        kind: NodeKind::Source {
            topics,
            pattern: None,
            make: Arc::new(move || source(keys.clone(), values.clone())),
            extractor: consumed.extractor.clone(),
            reset: consumed.reset,
        },
    }
}

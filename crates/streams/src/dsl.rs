//! Streams and tables: the operators that applications are written with.
//!
//! ```
//! use afluente_streams::dsl::{Consumed, Produced, StreamsBuilder};
//!
//! let builder = StreamsBuilder::new();
//! builder
//!     .stream::<String, String>(&["lines"], Consumed::new())
//!     .flat_map_values(|_, line| {
//!         let words: Vec<_> = line.iter().flat_map(|line| line.split(' ')).map(|word| Some(word.to_owned())).collect();
//!         words
//!     })
//!     .group_by(|_, word| word.cloned())
//!     .count()
//!     .to_stream()
//!     .to("counts", Produced::new());
//! let topology = builder.build()?;
//! assert!(topology.describe().starts_with("Topologies:"));
//! # Ok::<(), afluente_streams::Error>(())
//! ```
//!
//! A null is `None`: operators on streams see keys and values as options, because Kafka's records may lack either. Operators on
//! tables see only what is there. The next operator after `named` carries that name; others get the names that Kafka Streams
//! would generate.

mod builder;
mod cogroup;
mod foreign_key_join;
mod graph;
mod grouped_stream;
mod grouped_table;
mod process;
mod settings;
mod stream;
mod stream_join;
mod suppress;
mod table;
mod windowed;
mod windows;

pub use builder::StreamsBuilder;
pub use cogroup::{CogroupedStream, WindowedCogroup};
pub use grouped_stream::GroupedStream;
pub use grouped_table::GroupedTable;
pub use process::{KeyValueStore, OpenStore, Processor, ProcessorContext};
pub use settings::{Consumed, Grouped, Joined, Materialized, Partitioner, Produced, Repartitioned};
pub use stream::{Branches, KStream};
pub use stream_join::GlobalTable;
pub use suppress::BufferConfig;
pub use table::KTable;
pub use windowed::{SessionWindowedStream, SlidingWindowedStream, TimeWindowedStream};
pub use windows::{EmitStrategy, JoinWindows, SessionWindows, SlidingWindows, TimeWindows};

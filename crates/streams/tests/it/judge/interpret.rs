//! Runs a described topology through our test driver.

use super::functions::{
    Text, aggregate, flat, foreign, joined, map_value, merged, pred, reduced, select_key, subtract,
};
use afluente_streams::driver::TestDriver;
use afluente_streams::dsl::{
    Branches, BufferConfig, Consumed, EmitStrategy, GlobalTable, Grouped, GroupedStream,
    GroupedTable, JoinWindows, Joined, KStream, KTable, Materialized, Produced, Repartitioned,
    SessionWindowedStream, SessionWindows, SlidingWindowedStream, SlidingWindows, StreamsBuilder,
    TimeWindowedStream, TimeWindows,
};
use afluente_streams::engine::NO_TIMESTAMP;
use afluente_streams::record::{Header, Headers, Record, Windowed};
use afluente_streams::stores::StoreKind;
use afluente_streams::{Error, Topology};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use std::time::Duration;

type S = String;
type W = Windowed<String>;

enum Node {
    Nothing,
    StreamSS(KStream<S, S>),
    StreamSL(KStream<S, i64>),
    StreamWS(KStream<W, S>),
    StreamWL(KStream<W, i64>),
    TableSS(KTable<S, S>),
    TableSL(KTable<S, i64>),
    TableWS(KTable<W, S>),
    TableWL(KTable<W, i64>),
    Group(GroupedStream<S, S>),
    Windows(TimeWindowedStream<S, S>),
    Sliding(SlidingWindowedStream<S, S>),
    Session(SessionWindowedStream<S, S>),
    GroupTable(GroupedTable<S, S>),
    Global(GlobalTable<S, S>),
    SplitSS(Split<S, S>),
}

struct Split<K, V>(Branches<K, V>, KStream<K, V>);

/// Names the variants of streams and tables by their types.
trait Wrap<V>: Text {
    fn stream(stream: KStream<Self, V>) -> Node
    where
        Self: Sized;
    fn table(table: KTable<Self, V>) -> Node
    where
        Self: Sized;
}

macro_rules! wrap {
    ($key:ty, $value:ty, $stream:ident, $table:ident) => {
        impl Wrap<$value> for $key {
            fn stream(stream: KStream<Self, $value>) -> Node {
                Node::$stream(stream)
            }
            fn table(table: KTable<Self, $value>) -> Node {
                Node::$table(table)
            }
        }
    };
}
wrap!(S, S, StreamSS, TableSS);
wrap!(S, i64, StreamSL, TableSL);
wrap!(W, S, StreamWS, TableWS);
wrap!(W, i64, StreamWL, TableWL);

pub(crate) fn run(case: &Value) -> Value {
    let mut answer = Map::new();
    if let Err(error) = run_into(case, &mut answer) {
        answer.insert("error".to_owned(), Value::String(error.to_string()));
    }
    Value::Object(answer)
}

fn run_into(case: &Value, answer: &mut Map<String, Value>) -> Result<(), Error> {
    let topology = build(case)?;
    answer.insert("describe".to_owned(), Value::String(topology.describe()));
    let mut driver = if case["cache"].as_bool() == Some(true) {
        TestDriver::with_caches(&topology, "app")?
    } else {
        TestDriver::new(&topology, "app")?
    };
    for input in case["inputs"].as_array().unwrap() {
        if let Some(by_ms) = input["advance"].as_i64() {
            driver.advance_wall_ms(by_ms)?;
            continue;
        }
        let bytes =
            |value: &Value| value.as_str().map(|text| Bytes::copy_from_slice(text.as_bytes()));
        let headers = input["headers"].as_array().map_or(Vec::new(), |headers| {
            headers
                .iter()
                .map(|header| Header {
                    key: header[0].as_str().unwrap().to_owned(),
                    value: bytes(&header[1]),
                })
                .collect()
        });
        driver.pipe(
            input["topic"].as_str().unwrap(),
            Record {
                key: bytes(&input["key"]),
                value: bytes(&input["value"]),
                timestamp: input["ts"].as_i64().unwrap(),
                headers: Headers::new(headers),
            },
        )?;
    }
    let topics: Vec<String> = driver.written_topics().map(str::to_owned).collect();
    let mut outputs = Map::new();
    for topic in topics {
        let mut rows = Vec::new();
        while let Some(record) = driver.read(&topic) {
            let headers: Vec<Value> = record
                .headers
                .as_slice()
                .iter()
                .map(|header| json!([header.key, hex(header.value.as_deref())]))
                .collect();
            rows.push(json!([
                hex(record.key.as_deref()),
                hex(record.value.as_deref()),
                (record.timestamp != NO_TIMESTAMP).then_some(record.timestamp),
                headers
            ]));
        }
        outputs.insert(topic, Value::Array(rows));
    }
    answer.insert("outputs".to_owned(), Value::Object(outputs));
    let mut stores = Map::new();
    for name in driver.store_names() {
        let kind = driver.store_kind(&name)?;
        let mut rows: Vec<String> = driver
            .store_contents(&name)?
            .into_iter()
            .map(|(key, value)| store_row(kind, &key, &value))
            .collect();
        rows.sort_unstable();
        if kind == StoreKind::Suppressed || name.ends_with("-Buffer") {
            // Java's buffers show nothing of what they hold; their changelogs do.
            rows = vec!["other".to_owned()];
        }
        if matches!(kind, StoreKind::Versioned { .. }) {
            rows = versions(&driver, &name)?;
        }
        stores.insert(name, json!(rows));
    }
    answer.insert("stores".to_owned(), Value::Object(stores));
    driver.close()
}

/// What each key had at the times asked for.
fn versions(driver: &TestDriver, store: &str) -> Result<Vec<String>, Error> {
    let mut rows = Vec::new();
    for key in ["a", "b", "c", "a\u{0}", "", "k0", "k1", "k2", "k3"] {
        for time in (0..6_000).step_by(37) {
            if let Some((value, from)) = driver.versioned_get(store, key.as_bytes(), time)? {
                let value = hex(Some(&value)).as_str().unwrap().to_owned();
                rows.push(format!(
                    "{}@{time}={value} since {from}",
                    hex(Some(key.as_bytes())).as_str().unwrap()
                ));
            }
        }
    }
    rows.sort_unstable();
    Ok(rows)
}

fn store_row(kind: StoreKind, key: &[u8], value: &[u8]) -> String {
    let time = |bytes: &[u8]| i64::from_be_bytes(bytes.try_into().unwrap());
    let value = hex(Some(value)).as_str().unwrap().to_owned();
    match kind {
        StoreKind::Window { .. } => {
            let (key, rest) = key.split_at(key.len() - 12);
            format!("{}@{}={value}", hex(Some(key)).as_str().unwrap(), time(&rest[..8]))
        }
        StoreKind::Session { .. } => {
            let (key, rest) = key.split_at(key.len() - 16);
            let (end, start) = (time(&rest[..8]), time(&rest[8..]));
            format!("{}@{start}-{end}={value}", hex(Some(key)).as_str().unwrap())
        }
        _ => format!("{}={value}", hex(Some(key)).as_str().unwrap()),
    }
}

fn hex(bytes: Option<&[u8]>) -> Value {
    bytes.map_or(Value::Null, |bytes| {
        Value::String(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    })
}

fn build(case: &Value) -> Result<Topology, Error> {
    let mut builder = StreamsBuilder::new();
    if case["reuse"].as_bool() == Some(true) {
        builder = builder.reusing_source_topics();
    }
    let mut nodes: Vec<Node> = Vec::new();
    for op in case["ops"].as_array().unwrap() {
        let node = node(&builder, &nodes, &Op(op));
        nodes.push(node);
    }
    builder.build()
}

struct Op<'a>(&'a Value);

impl Op<'_> {
    fn n(&self) -> i64 {
        self.0["n"].as_i64().unwrap_or(0)
    }

    fn name(&self) -> Option<&str> {
        self.0["name"].as_str()
    }

    fn at(&self, field: &str) -> usize {
        usize::try_from(self.0[field].as_u64().unwrap()).unwrap()
    }

    fn ms(&self, field: &str) -> Duration {
        Duration::from_millis(self.0[field].as_u64().unwrap())
    }

    fn is(&self, field: &str) -> bool {
        self.0[field].as_bool() == Some(true)
    }

    fn emit(&self) -> EmitStrategy {
        if self.is("final") { EmitStrategy::OnWindowClose } else { EmitStrategy::OnWindowUpdate }
    }

    fn materialized<K, V>(&self) -> Materialized<K, V> {
        match (self.0["store"].as_str(), self.0["history"].as_u64()) {
            (Some(store), Some(ms)) => Materialized::as_versioned(store, Duration::from_millis(ms)),
            (Some(store), None) => Materialized::named(store),
            (None, _) => Materialized::new(),
        }
    }

    fn asked<K, V>(&self) -> Option<Materialized<K, V>> {
        self.is("materialized").then(|| self.materialized())
    }

    fn grouped<K, V>(&self) -> Grouped<K, V> {
        self.name().map_or_else(Grouped::new, |name| Grouped::new().named(name))
    }

    fn stream<K: Text, V: Text>(&self, stream: &KStream<K, V>) -> KStream<K, V> {
        self.name().map_or_else(|| stream.clone(), |name| stream.named(name))
    }

    fn table<K: Text, V: Text>(&self, table: &KTable<K, V>) -> KTable<K, V> {
        self.name().map_or_else(|| table.clone(), |name| table.named(name))
    }
}

fn node(builder: &StreamsBuilder, nodes: &[Node], op: &Op<'_>) -> Node {
    let kind = op.0["op"].as_str().unwrap();
    match kind {
        "stream" => {
            let topics: Vec<&str> = op.0["topics"]
                .as_array()
                .unwrap()
                .iter()
                .map(|topic| topic.as_str().unwrap())
                .collect();
            let consumed = op.name().map_or_else(Consumed::new, |name| Consumed::new().named(name));
            return Node::StreamSS(builder.stream(&topics, consumed));
        }
        "table" => {
            let consumed = op.name().map_or_else(Consumed::new, |name| Consumed::new().named(name));
            let topic = op.0["topic"].as_str().unwrap();
            return Node::TableSS(builder.table(topic, consumed, op.materialized()));
        }
        "globalTable" => {
            let consumed = op.name().map_or_else(Consumed::new, |name| Consumed::new().named(name));
            let topic = op.0["topic"].as_str().unwrap();
            return Node::Global(builder.global_table(topic, consumed, op.materialized()));
        }
        _ => {}
    }
    match &nodes[op.at("in")] {
        Node::Nothing | Node::Global(_) => unreachable!("{kind} of nothing"),
        Node::StreamSS(stream) => text_stream_op(kind, nodes, stream, op),
        Node::StreamSL(stream) => stream_op(kind, stream, op),
        Node::StreamWS(stream) => stream_op(kind, stream, op),
        Node::StreamWL(stream) => stream_op(kind, stream, op),
        Node::TableSS(table) => text_table_op(kind, nodes, table, op),
        Node::TableSL(table) => text_table_op(kind, nodes, table, op),
        Node::TableWS(table) if kind == "suppressFinal" => Node::TableWS(final_table(table, op)),
        Node::TableWL(table) if kind == "suppressFinal" => Node::TableWL(final_table(table, op)),
        Node::TableWS(table) => table_op(kind, table, op),
        Node::TableWL(table) => table_op(kind, table, op),
        Node::Group(group) if kind == "cogroup" => cogroup_op(nodes, group, op),
        Node::Group(group) => group_op(kind, group, op),
        Node::Windows(group) => windows_op(kind, group, op),
        Node::Sliding(group) => sliding_op(kind, group, op),
        Node::Session(group) => session_op(kind, group, op),
        Node::GroupTable(group) => group_table_op(kind, group, op),
        Node::SplitSS(split) => {
            let rest = split.0.default_branch(None);
            Node::StreamSS(if op.0["which"] == "1" { split.1.clone() } else { rest })
        }
    }
}

fn text_stream_op(kind: &str, nodes: &[Node], stream: &KStream<S, S>, op: &Op<'_>) -> Node {
    let n = op.n();
    match kind {
        "merge" => {
            let Node::StreamSS(other) = &nodes[op.at("other")] else { unreachable!() };
            Node::StreamSS(op.stream(stream).merge(other))
        }
        "split" => {
            let split = op.stream(stream).split();
            let first = split.branch(None, move |key, value| pred(n, key, value));
            Node::SplitSS(Split(split, first))
        }
        "repartition" => {
            let mut repartitioned = Repartitioned::new();
            if let Some(name) = op.name() {
                repartitioned = repartitioned.named(name);
            }
            if let Some(partitions) = op.0["partitions"].as_i64() {
                repartitioned = repartitioned.with_partitions(i32::try_from(partitions).unwrap());
            }
            Node::StreamSS(stream.repartition(repartitioned))
        }
        "streamTableJoin" => Node::StreamSS(match &nodes[op.at("other")] {
            Node::TableSS(table) => stream_table_join(&op.stream(stream), table, op),
            Node::TableSL(table) => stream_table_join(&op.stream(stream), table, op),
            _ => unreachable!("a join with another kind of table"),
        }),
        "globalJoin" => {
            let Node::Global(table) = &nodes[op.at("other")] else { unreachable!() };
            let stream = op.stream(stream);
            let key_of = move |key: Option<&S>, value: Option<&S>| select_key(n, key, value);
            Node::StreamSS(if op.0["kind"] == "inner" {
                stream.join_global(table, key_of, move |_, l, r| joined(n, Some(l), Some(r)))
            } else {
                stream.left_join_global(table, key_of, move |_, l, r| joined(n, Some(l), r))
            })
        }
        "streamJoin" => {
            let Node::StreamSS(other) = &nodes[op.at("other")] else { unreachable!() };
            let windows = JoinWindows::of_difference(Duration::ZERO)
                .before(op.ms("before"))
                .after(op.ms("after"))
                .with_grace(op.ms("grace"));
            let stream = op.stream(stream);
            Node::StreamSS(match op.0["kind"].as_str().unwrap() {
                "inner" => stream.join(other, move |_, l, r| joined(n, Some(l), Some(r)), windows),
                "left" => stream.left_join(other, move |_, l, r| joined(n, Some(l), r), windows),
                _ => stream.outer_join(other, move |_, l, r| joined(n, l, r), windows),
            })
        }
        "toTable" => Node::TableSS(op.stream(stream).to_table(op.materialized())),
        "groupByKey" => Node::Group(stream.group_by_key_with(op.grouped())),
        "groupBy" => Node::Group(
            stream.group_by_with(move |key, value| select_key(n, key, value), op.grouped()),
        ),
        _ => stream_op(kind, stream, op),
    }
}

fn stream_op<K, V>(kind: &str, stream: &KStream<K, V>, op: &Op<'_>) -> Node
where
    K: Text + Wrap<V> + Wrap<S>,
    V: Text,
    S: Wrap<V>,
{
    let n = op.n();
    let stream = &op.stream(stream);
    match kind {
        "filter" => K::stream(stream.filter(move |key, value| pred(n, key, value))),
        "filterNot" => K::stream(stream.filter_not(move |key, value| pred(n, key, value))),
        "mapValues" => {
            K::stream(stream.map_values(move |key, value| map_value(n, key, value.as_ref())))
        }
        "selectKey" => S::stream(stream.select_key(move |key, value| select_key(n, key, value))),
        "map" => Node::StreamSS(stream.map(move |key, value| {
            (
                select_key(n, key.as_ref(), value.as_ref()),
                map_value(n, key.as_ref(), value.as_ref()),
            )
        })),
        "flatMap" => Node::StreamSS(stream.flat_map(move |key, value| {
            flat(n, value.as_ref())
                .into_iter()
                .map(|value| (select_key(n, key.as_ref(), value.as_ref()), value))
                .collect::<Vec<_>>()
        })),
        "flatMapValues" => {
            K::stream(stream.flat_map_values(move |_, value| flat(n, value.as_ref())))
        }
        "peek" => K::stream(stream.peek(|_, _| {})),
        "foreach" => {
            stream.foreach(|_, _| {});
            Node::Nothing
        }
        "to" => {
            stream.to(op.0["topic"].as_str().unwrap(), Produced::new());
            Node::Nothing
        }
        other => unreachable!("{other} of a stream"),
    }
}

fn text_table_op<V>(kind: &str, nodes: &[Node], table: &KTable<S, V>, op: &Op<'_>) -> Node
where
    V: Text,
    S: Wrap<V>,
{
    if kind == "foreignJoin" {
        return match &nodes[op.at("other")] {
            Node::TableSS(other) => Node::TableSS(foreign_join(table, other, op)),
            Node::TableSL(other) => Node::TableSS(foreign_join(table, other, op)),
            _ => unreachable!("a join with another kind of table"),
        };
    }
    if kind != "tableJoin" {
        return table_op(kind, table, op);
    }
    match &nodes[op.at("other")] {
        Node::TableSS(other) => Node::TableSS(table_join(table, other, op)),
        Node::TableSL(other) => Node::TableSS(table_join(table, other, op)),
        _ => unreachable!("a join with another kind of table"),
    }
}

fn stream_table_join<V: Text>(
    stream: &KStream<S, S>,
    table: &KTable<S, V>,
    op: &Op<'_>,
) -> KStream<S, S> {
    let n = op.n();
    if op.0["grace"].is_number() {
        let how = Joined::new().with_grace_period(op.ms("grace"));
        return stream.join_table_with(table, move |_, l, r| joined(n, Some(l), Some(r)), how);
    }
    if op.0["kind"] == "inner" {
        stream.join_table(table, move |_, l, r| joined(n, Some(l), Some(r)))
    } else {
        stream.left_join_table(table, move |_, l, r| joined(n, Some(l), r))
    }
}

fn table_join<V: Text, V2: Text>(
    table: &KTable<S, V>,
    other: &KTable<S, V2>,
    op: &Op<'_>,
) -> KTable<S, S> {
    let n = op.n();
    let table = op.table(table);
    match op.0["kind"].as_str().unwrap() {
        "inner" => table.join(other, move |l, r| joined(n, Some(l), Some(r)), op.asked()),
        "left" => table.left_join(other, move |l, r| joined(n, Some(l), r), op.asked()),
        _ => table.outer_join(other, move |l, r| joined(n, l, r), op.asked()),
    }
}

fn foreign_join<V: Text, V2: Text>(
    table: &KTable<S, V>,
    other: &KTable<S, V2>,
    op: &Op<'_>,
) -> KTable<S, S> {
    let n = op.n();
    let table = op.table(table);
    let key = move |key: &S, value: &V| foreign(n, Some(key), Some(value));
    if op.0["kind"] == "inner" {
        table.join_foreign(other, key, move |l, r| joined(n, Some(l), Some(r)), op.materialized())
    } else {
        table.left_join_foreign(other, key, move |l, r| joined(n, Some(l), r), op.materialized())
    }
}

fn final_table<V: Text>(table: &KTable<W, V>, op: &Op<'_>) -> KTable<W, V> {
    op.table(table).suppress_until_window_closes(BufferConfig::unbounded())
}

fn table_op<K, V>(kind: &str, table: &KTable<K, V>, op: &Op<'_>) -> Node
where
    K: Text + Wrap<V> + Wrap<S>,
    V: Text,
{
    let n = op.n();
    let table = &op.table(table);
    match kind {
        "tableFilter" => K::table(
            table.filter_with(move |key, value| pred(n, Some(key), Some(value)), op.asked()),
        ),
        "tableMapValues" => {
            K::table(table.map_values_with(
                move |key, value| map_value(n, Some(key), Some(&value)),
                op.asked(),
            ))
        }
        "toStream" => K::stream(table.to_stream()),
        "suppress" => {
            let mut buffer = BufferConfig::unbounded();
            if let Some(records) = op.0["records"].as_u64() {
                buffer = buffer.with_max_records(records).emit_early_when_full();
            }
            if let Some(bytes) = op.0["bytes"].as_u64() {
                buffer = buffer.with_max_bytes(bytes).emit_early_when_full();
            }
            K::table(table.suppress_until_time_limit(op.ms("wait"), buffer))
        }
        "tableGroupBy" => Node::GroupTable(table.group_by(
            move |key, value| (select_key(n, Some(key), Some(value)), Some(value.text())),
            op.grouped(),
        )),
        other => unreachable!("{other} of a table"),
    }
}

fn cogroup_op(nodes: &[Node], group: &GroupedStream<S, S>, op: &Op<'_>) -> Node {
    let n = op.n();
    let add = move |_: &S, value: Option<S>, before: S| aggregate(n, value.as_ref(), &before);
    let mut groups = group.cogroup(add);
    for other in op.0["others"].as_array().unwrap() {
        let Node::Group(other) = &nodes[usize::try_from(other.as_u64().unwrap()).unwrap()] else {
            unreachable!()
        };
        groups = groups.cogroup(other, add);
    }
    let groups = op.name().map_or_else(|| groups.clone(), |name| groups.named(name));
    let grace = op.ms("grace");
    match op.0["windows"].as_str().unwrap() {
        "window" => {
            let windows = TimeWindows::of_size(op.ms("size")).with_grace(grace);
            let windows = windows.advance_by(op.ms("advance"));
            Node::TableWS(groups.windowed_by(windows).aggregate(String::new, op.materialized()))
        }
        "sliding" => {
            let windows = SlidingWindows::of_difference(op.ms("size")).with_grace(grace);
            let groups = groups.windowed_by_sliding(windows);
            Node::TableWS(groups.aggregate(String::new, op.materialized()))
        }
        "session" => {
            let windows = SessionWindows::of_gap(op.ms("size")).with_grace(grace);
            let merge = |_: &S, one: S, other: S| merged(&one, &other);
            let groups = groups.windowed_by_session(windows);
            Node::TableWS(groups.aggregate(String::new, merge, op.materialized()))
        }
        _ => Node::TableSS(groups.aggregate(String::new, op.materialized())),
    }
}

fn group_op(kind: &str, group: &GroupedStream<S, S>, op: &Op<'_>) -> Node {
    let n = op.n();
    let named = op.name().map_or_else(|| group.clone(), |name| group.named(name));
    match kind {
        "window" => Node::Windows(
            group
                .windowed_by(
                    TimeWindows::of_size(op.ms("size"))
                        .with_grace(op.ms("grace"))
                        .advance_by(op.ms("advance")),
                )
                .emit(op.emit()),
        ),
        "sliding" => Node::Sliding(
            group
                .windowed_by_sliding(
                    SlidingWindows::of_difference(op.ms("size")).with_grace(op.ms("grace")),
                )
                .emit(op.emit()),
        ),
        "session" => Node::Session(
            group
                .windowed_by_session(
                    SessionWindows::of_gap(op.ms("size")).with_grace(op.ms("grace")),
                )
                .emit(op.emit()),
        ),
        "count" => Node::TableSL(match op.asked() {
            Some(materialized) => named.count_with(materialized),
            None => named.count(),
        }),
        "reduce" => {
            Node::TableSS(named.reduce_with(|one, other| reduced(&one, &other), op.materialized()))
        }
        _ => Node::TableSS(named.aggregate(
            String::new,
            move |_, value, before| aggregate(n, Some(&value), &before),
            op.materialized(),
        )),
    }
}

macro_rules! windowed {
    ($name:ident, $group:ty, $($merge:expr)?) => {
        fn $name(kind: &str, group: &$group, op: &Op<'_>) -> Node {
            let n = op.n();
            let group = op.name().map_or_else(|| group.clone(), |name| group.clone().named(name));
            match kind {
                "count" => Node::TableWL(match op.asked() {
                    Some(materialized) => group.count_with(materialized),
                    None => group.count(),
                }),
                "reduce" => Node::TableWS(
                    group.reduce(|one, other| reduced(&one, &other), op.materialized()),
                ),
                _ => Node::TableWS(group.aggregate(
                    String::new,
                    move |_, value, before| aggregate(n, value.as_ref(), &before),
                    $($merge,)?
                    op.materialized(),
                )),
            }
        }
    };
}

windowed!(windows_op, TimeWindowedStream<S, S>,);
windowed!(sliding_op, SlidingWindowedStream<S, S>,);
windowed!(session_op, SessionWindowedStream<S, S>, |_, one: String, other: String| merged(&one, &other));

fn group_table_op(kind: &str, group: &GroupedTable<S, S>, op: &Op<'_>) -> Node {
    let n = op.n();
    match kind {
        "count" => Node::TableSL(group.count(op.materialized())),
        "reduce" => Node::TableSS(group.reduce(
            move |one, other| aggregate(n, Some(&other), &one),
            move |one, other| subtract(n, &other, &one),
            op.materialized(),
        )),
        _ => Node::TableSS(group.aggregate(
            String::new,
            move |_, value, before| aggregate(n, Some(&value), &before),
            move |_, value, before| subtract(n, &value, &before),
            op.materialized(),
        )),
    }
}

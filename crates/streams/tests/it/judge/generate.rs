//! Draws topologies and inputs.

use serde_json::{Value, json};

/// SplitMix64: the same everywhere, for ever.
pub(crate) struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    fn one_in(&mut self, parts: usize) -> bool {
        self.below(parts) == 0
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// What a node of the description is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Nothing,
    /// With windowed keys, with numbers for values.
    Stream {
        windowed: bool,
        numbers: bool,
    },
    Table {
        windowed: bool,
        numbers: bool,
    },
    Group,
    WindowedGroup,
    GroupTable,
    Global,
    Split,
}

const TEXTS: Kind = Kind::Stream { windowed: false, numbers: false };
const TEXT_TABLE: Kind = Kind::Table { windowed: false, numbers: false };

struct Drawing {
    dice: Dice,
    ops: Vec<Value>,
    kinds: Vec<Kind>,
    topics: Vec<String>,
    names: usize,
}

pub(crate) fn case(seed: u64) -> Value {
    let mut drawing = Drawing {
        dice: Dice(seed),
        ops: Vec::new(),
        kinds: Vec::new(),
        topics: Vec::new(),
        names: 0,
    };
    drawing.sources();
    let steps = 2 + drawing.dice.below(9);
    for _ in 0..steps {
        drawing.step();
    }
    drawing.finish();
    let inputs = drawing.inputs();
    let reuse = drawing.dice.one_in(8);
    let cache = drawing.dice.one_in(2) && drawing.may_be_cached();
    json!({"ops": drawing.ops, "inputs": inputs, "seed": seed, "reuse": reuse, "cache": cache})
}

impl Drawing {
    fn add(&mut self, kind: Kind, op: Value) -> usize {
        self.ops.push(op);
        self.kinds.push(kind);
        self.ops.len() - 1
    }

    fn name(&mut self) -> Option<String> {
        if self.dice.one_in(5) {
            self.names += 1;
            Some(format!("{}{}", self.dice.pick(&["my-op", "x", "zz-step"]), self.names))
        } else {
            None
        }
    }

    fn store(&mut self) -> Option<String> {
        if self.dice.one_in(3) {
            self.names += 1;
            Some(format!("store{}", self.names))
        } else {
            None
        }
    }

    fn n(&mut self) -> usize {
        self.dice.below(20)
    }

    fn sources(&mut self) {
        for at in 0..1 + self.dice.below(3) {
            let name = self.name();
            if at > 0 && self.dice.one_in(5) {
                let topic = format!("global{at}");
                self.topics.push(topic.clone());
                let store = self.store();
                let op = json!({"op": "globalTable", "topic": topic, "name": name, "store": store});
                self.add(Kind::Global, op);
            } else if self.dice.one_in(3) {
                let topic = format!("table{at}");
                self.topics.push(topic.clone());
                let store = self.store();
                self.add(
                    TEXT_TABLE,
                    json!({"op": "table", "topic": topic, "name": name, "store": store}),
                );
            } else {
                let mut topics = vec![format!("in{at}")];
                if self.dice.one_in(4) {
                    topics.push(format!("in{at}b"));
                }
                self.topics.extend(topics.clone());
                self.add(TEXTS, json!({"op": "stream", "topics": topics, "name": name}));
            }
        }
    }

    /// A join of a stream with whatever there is.
    fn join(&mut self, at: usize) {
        let (name, n) = (self.name(), self.n());
        match self.dice.below(5) {
            0 => {
                let Some(other) = self.any(|kind| kind == Kind::Global) else { return };
                let kind = self.dice.pick(&["inner", "left"]);
                let op = json!({
                    "op": "globalJoin", "in": at, "other": other, "kind": kind, "n": n, "name": name,
                });
                self.add(TEXTS, op);
            }
            1 | 2 => {
                let other = self.any(|kind| matches!(kind, Kind::Table { windowed: false, .. }));
                let Some(other) = other else { return };
                let kind = self.dice.pick(&["inner", "left"]);
                let op = json!({
                    "op": "streamTableJoin", "in": at, "other": other, "kind": kind, "n": n, "name": name,
                });
                self.add(TEXTS, op);
            }
            _ => {
                let Some(other) = self.any(|kind| kind == TEXTS) else { return };
                let kind = self.dice.pick(&["inner", "left", "outer"]);
                let (before, after) =
                    (self.dice.pick(&[0, 5, 20, 60]), self.dice.pick(&[5, 20, 60]));
                let grace = self.dice.pick(&[0, 0, 10, 100]);
                let op = json!({
                    "op": "streamJoin", "in": at, "other": other, "kind": kind, "n": n, "name": name,
                    "before": before, "after": after, "grace": grace,
                });
                self.add(TEXTS, op);
            }
        }
    }

    fn any(&mut self, wanted: impl Fn(Kind) -> bool) -> Option<usize> {
        let found: Vec<usize> =
            (0..self.kinds.len()).filter(|at| wanted(self.kinds[*at])).collect();
        if found.is_empty() { None } else { Some(self.dice.pick(&found)) }
    }

    fn step(&mut self) {
        let Some(at) = self.any(|kind| matches!(kind, Kind::Stream { .. } | Kind::Table { .. }))
        else {
            return;
        };
        match self.kinds[at] {
            Kind::Stream { windowed: false, numbers: false } if !self.dice.one_in(3) => {
                self.text_stream_step(at);
            }
            Kind::Stream { windowed, numbers } => self.stream_step(at, windowed, numbers),
            Kind::Table { windowed, numbers } => self.table_step(at, windowed, numbers),
            _ => unreachable!("asked for streams and tables"),
        }
    }

    fn stream_step(&mut self, at: usize, windowed: bool, numbers: bool) {
        let (name, n) = (self.name(), self.n());
        let op = self.dice.pick(&[
            "filter",
            "filterNot",
            "mapValues",
            "selectKey",
            "map",
            "flatMap",
            "flatMapValues",
            "peek",
            "foreach",
        ]);
        let kind = match op {
            "filter" | "filterNot" | "peek" => Kind::Stream { windowed, numbers },
            "mapValues" | "flatMapValues" => Kind::Stream { windowed, numbers: false },
            "selectKey" => Kind::Stream { windowed: false, numbers },
            "foreach" => Kind::Nothing,
            _ => TEXTS,
        };
        self.add(kind, json!({"op": op, "in": at, "n": n, "name": name}));
    }

    fn text_stream_step(&mut self, at: usize) {
        let (name, n) = (self.name(), self.n());
        match self.dice.below(11) {
            8.. => self.join(at),
            0 => {
                let other = self.any(|kind| kind == TEXTS).unwrap_or(at);
                if other != at {
                    self.add(TEXTS, json!({"op": "merge", "in": at, "other": other, "name": name}));
                }
            }
            1 => {
                let split =
                    self.add(Kind::Split, json!({"op": "split", "in": at, "n": n, "name": name}));
                let which = self.dice.pick(&["1", "0"]);
                self.add(TEXTS, json!({"op": "branch", "in": split, "which": which}));
            }
            2 => {
                self.add(TEXTS, json!({"op": "repartition", "in": at, "name": name}));
            }
            3 => {
                let store = self.store();
                self.add(
                    TEXT_TABLE,
                    json!({"op": "toTable", "in": at, "name": name, "store": store}),
                );
            }
            _ => {
                let op = self.dice.pick(&["groupByKey", "groupBy"]);
                let group =
                    self.add(Kind::Group, json!({"op": op, "in": at, "n": n, "name": name}));
                for _ in 0..1 + self.dice.below(5) / 4 {
                    self.aggregate(group);
                }
            }
        }
    }

    /// Several groups in one aggregate.
    fn cogroup(&mut self, group: usize) {
        let groups: Vec<usize> =
            (0..group).filter(|at| self.kinds[*at] == Kind::Group && self.dice.one_in(2)).collect();
        let windows = self.dice.pick(&["", "", "window", "sliding", "session"]);
        let size = self.dice.pick(&[5, 10, 30, 100]);
        let advance = self.dice.pick(&[size, size, 5, 3]);
        let grace = self.dice.pick(&[0, 5, 20, 100, 5000]);
        let (name, n, store) = (self.name(), self.n(), self.store());
        let op = json!({
            "op": "cogroup", "in": group, "others": groups, "n": n, "name": name, "store": store,
            "windows": windows, "size": size, "advance": advance.min(size), "grace": grace,
        });
        self.add(Kind::Table { windowed: !windows.is_empty(), numbers: false }, op);
    }

    fn aggregate(&mut self, group: usize) {
        if self.dice.one_in(6) {
            return self.cogroup(group);
        }
        let windows = self.dice.pick(&["", "", "window", "window", "sliding", "session"]);
        let group = if windows.is_empty() {
            group
        } else {
            let size = self.dice.pick(&[5, 10, 30, 100]);
            let advance = self.dice.pick(&[size, size, 5, 3]);
            let grace = self.dice.pick(&[0, 0, 5, 20, 100, 5000]);
            let is_final = self.dice.one_in(4);
            let windowed = json!({
                "op": windows, "in": group, "size": size, "advance": advance, "grace": grace, "final": is_final,
            });
            self.add(Kind::WindowedGroup, windowed)
        };
        let (name, n, store) = (self.name(), self.n(), self.store());
        let op = self.dice.pick(&["count", "count", "reduce", "aggregate"]);
        let kind = Kind::Table { windowed: !windows.is_empty(), numbers: op == "count" };
        let materialized = store.is_some() || self.dice.one_in(3);
        let op = json!({
            "op": op, "in": group, "n": n, "name": name, "store": store, "materialized": materialized,
        });
        self.add(kind, op);
    }

    fn table_step(&mut self, at: usize, windowed: bool, numbers: bool) {
        let (name, n) = (self.name(), self.n());
        let materialized = self.dice.one_in(2);
        let store = if materialized { self.store() } else { None };
        match self.dice.below(10) {
            9 => {
                let is_final = windowed && !self.dice.one_in(3);
                let op = if is_final { "suppressFinal" } else { "suppress" };
                let wait = self.dice.pick(&[0, 5, 30, 100]);
                let records =
                    if self.dice.one_in(2) { Some(self.dice.pick(&[1, 2, 5])) } else { None };
                let bytes =
                    if self.dice.one_in(4) { Some(self.dice.pick(&[1, 120, 300])) } else { None };
                let op = json!({
                    "op": op, "in": at, "name": name, "wait": wait, "records": records, "bytes": bytes,
                });
                self.add(Kind::Table { windowed, numbers }, op);
            }
            0 | 1 => {
                let kind = Kind::Stream { windowed, numbers };
                self.add(kind, json!({"op": "toStream", "in": at, "name": name}));
            }
            // A windowed table has no serde for a key-value store of its own in this description.
            2 => {
                let materialized = materialized && !windowed;
                let store = store.filter(|_| materialized);
                let op = json!({
                    "op": "tableFilter", "in": at, "n": n, "name": name, "store": store, "materialized": materialized, "numbers": numbers,
                });
                self.add(Kind::Table { windowed, numbers }, op);
            }
            3 => {
                let materialized = materialized && !windowed;
                let store = store.filter(|_| materialized);
                let op = json!({
                    "op": "tableMapValues", "in": at, "n": n, "name": name, "store": store, "materialized": materialized,
                });
                self.add(Kind::Table { windowed, numbers: false }, op);
            }
            4 => {
                let group = self.add(
                    Kind::GroupTable,
                    json!({"op": "tableGroupBy", "in": at, "n": n, "name": name}),
                );
                let (n, store) = (self.n(), self.store());
                let op = self.dice.pick(&["count", "reduce", "aggregate"]);
                let kind = Kind::Table { windowed: false, numbers: op == "count" };
                let op = json!({
                    "op": op, "in": group, "n": n, "store": store, "materialized": store.is_some(),
                });
                self.add(kind, op);
            }
            5 | 6 => {
                let other = self.any(|kind| matches!(kind, Kind::Table { windowed: false, .. }));
                let Some(other) = other.filter(|_| !windowed) else { return };
                let kind = self.dice.pick(&["inner", "left"]);
                let op = json!({
                    "op": "foreignJoin", "in": at, "other": other, "kind": kind, "n": n, "name": name, "store": store,
                });
                self.add(TEXT_TABLE, op);
            }
            _ => {
                let other = self.any(|kind| matches!(kind, Kind::Table { windowed: false, .. }));
                let Some(other) = other.filter(|other| *other != at && !windowed) else { return };
                let kind = self.dice.pick(&["inner", "left", "outer"]);
                let op = json!({
                    "op": "tableJoin", "in": at, "other": other, "kind": kind, "n": n, "name": name, "store": store, "materialized": materialized,
                });
                self.add(TEXT_TABLE, op);
            }
        }
    }

    /// Two things that Java's caches do are no model. They pass updates of tumbling windows on whose results are asked for at
    /// their close; and they still give sessions that are expired, as long as these happen to be in memory.
    fn may_be_cached(&self) -> bool {
        self.ops.iter().all(|op| {
            let is_final = op["op"] == "window" && op["final"] == true;
            let is_session = op["op"] == "session" || op["windows"] == "session";
            let expires = is_session && op["grace"].as_i64() < Some(5_000);
            !(is_final || expires)
        })
    }

    /// Makes some tables versioned, and lets some streams wait for them.
    fn version(&mut self) {
        for at in 0..self.ops.len() {
            let group = self.ops[at]["in"].as_u64().map(|at| usize::try_from(at).unwrap());
            let is_table = matches!(self.kinds[at], Kind::Table { windowed: false, .. });
            let is_windowed = group.is_some_and(|at| self.kinds[at] == Kind::WindowedGroup);
            let has_store = self.ops[at]["store"].is_string();
            if is_table && has_store && !is_windowed && self.dice.one_in(2) {
                self.ops[at]["history"] = json!(self.dice.pick(&[0, 20, 100, 1_000, 50_000]));
                self.ops[at]["segment"] = json!(self.dice.pick(&[1, 7, 300, 60_000]));
            }
            if self.ops[at]["op"] == "streamTableJoin" && self.ops[at]["kind"] == "inner" {
                let table = usize::try_from(self.ops[at]["other"].as_u64().unwrap()).unwrap();
                let history = self.ops[table]["history"].as_i64();
                let grace = self.dice.pick(&[0, 5, 30, 200]);
                if history.is_some_and(|history| history >= grace) {
                    self.ops[at]["grace"] = json!(grace);
                }
            }
        }
    }

    /// Lets everything be seen that is not used yet.
    fn finish(&mut self) {
        self.version();
        for at in 0..self.kinds.len() {
            let is_used = self.ops.iter().any(|op| op["in"] == at || op["other"] == at);
            if is_used && !self.dice.one_in(6) {
                continue;
            }
            let topic = format!("out{at}");
            match self.kinds[at] {
                Kind::Stream { .. } => {
                    self.add(Kind::Nothing, json!({"op": "to", "in": at, "topic": topic}));
                }
                Kind::Table { windowed, numbers } => {
                    let kind = Kind::Stream { windowed, numbers };
                    let stream = self.add(kind, json!({"op": "toStream", "in": at}));
                    self.add(Kind::Nothing, json!({"op": "to", "in": stream, "topic": topic}));
                }
                _ => {}
            }
        }
    }

    fn inputs(&mut self) -> Vec<Value> {
        let mut time: i64 = self.dice.pick(&[0, 50, 1_000]);
        let mut inputs = Vec::new();
        let jump = self.dice.pick(&[4, 12, 60]);
        for _ in 0..10 + self.dice.below(50) {
            if self.dice.one_in(12) {
                inputs.push(json!({"advance": self.dice.pick(&[100, 900, 5_000])}));
            }
            let topic = self.dice.below(self.topics.len());
            time += i64::try_from(self.dice.below(jump)).unwrap();
            let back = if self.dice.one_in(4) { self.dice.below(jump * 4) } else { 0 };
            let at = (time - i64::try_from(back).unwrap()).max(0);
            let key = (!self.dice.one_in(12))
                .then(|| self.dice.pick(&["a", "b", "c", "a\u{0}", ""]).to_owned());
            let value = (!self.dice.one_in(8)).then(|| format!("v{}", self.dice.below(30)));
            let headers =
                if self.dice.one_in(6) { json!([["h", "1"], ["h", null]]) } else { json!([]) };
            inputs.push(json!({
                "topic": self.topics[topic], "key": key, "value": value, "ts": at, "headers": headers,
            }));
        }
        inputs
    }
}

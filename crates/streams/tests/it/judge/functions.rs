//! The functions that topologies are made of; all work on texts. Their twins are in tests/java/StreamsJudge.java.

use afluente_streams::record::Windowed;
use afluente_streams::serdes::HasSerde;

/// What can be read as a text.
pub(crate) trait Text: HasSerde {
    fn text(&self) -> String;
}

impl Text for String {
    fn text(&self) -> String {
        self.clone()
    }
}

impl Text for i64 {
    fn text(&self) -> String {
        self.to_string()
    }
}

impl Text for Windowed<String> {
    fn text(&self) -> String {
        format!("{}@{}-{}", self.key, self.window.start_ms, self.window.end_ms)
    }
}

pub(crate) fn h(text: Option<&str>) -> i64 {
    text.map_or(7, |text| text.bytes().fold(0, |sum, byte| (sum * 3 + i64::from(byte)) % 1009))
}

fn hash<T: Text>(value: Option<&T>) -> i64 {
    h(value.map(Text::text).as_deref())
}

fn tail(text: String, length: usize) -> String {
    if text.len() > length { text[text.len() - length..].to_owned() } else { text }
}

pub(crate) fn pred<K: Text, V: Text>(n: i64, key: Option<&K>, value: Option<&V>) -> bool {
    (hash(key) * (n + 1) + hash(value) * 3 + n) % 4 != 0
}

pub(crate) fn map_value<K: Text, V: Text>(
    n: i64,
    key: Option<&K>,
    value: Option<&V>,
) -> Option<String> {
    let Some(value) = value else {
        return (n % 2 != 0).then(|| format!("N{n}"));
    };
    if (hash(Some(value)) + n) % 9 == 0 {
        return None;
    }
    Some(tail(format!("{}m{}", value.text(), hash(key) % 10), 12))
}

pub(crate) fn foreign<K: Text, V: Text>(
    n: i64,
    key: Option<&K>,
    value: Option<&V>,
) -> Option<String> {
    let mix = hash(key) + hash(value) * 5 + n;
    let key = ["a", "b", "c", "k0", "k1", "k2"][usize::try_from(mix % 6).unwrap()];
    (mix % 11 != 0).then(|| key.to_owned())
}

pub(crate) fn select_key<K: Text, V: Text>(
    n: i64,
    key: Option<&K>,
    value: Option<&V>,
) -> Option<String> {
    let mix = hash(key) + hash(value) * 5 + n;
    (mix % 11 != 0).then(|| format!("k{}", mix % 4))
}

pub(crate) fn flat<V: Text>(n: i64, value: Option<&V>) -> Vec<Option<String>> {
    let mix = (hash(value) + n) % 4;
    let text = value.map_or_else(|| "null".to_owned(), Text::text);
    (0..mix).map(|at| (at != 2).then(|| tail(format!("f{at}{text}"), 12))).collect()
}

pub(crate) fn aggregate<V: Text>(n: i64, value: Option<&V>, aggregate: &str) -> Option<String> {
    let text = value.map_or_else(|| "null".to_owned(), Text::text);
    ((hash(value) + n) % 13 != 0).then(|| tail(format!("{aggregate}+{text}"), 16))
}

pub(crate) fn subtract<V: Text>(n: i64, value: &V, aggregate: &str) -> Option<String> {
    ((hash(Some(value)) + n) % 13 != 1).then(|| tail(format!("{aggregate}-{}", value.text()), 16))
}

pub(crate) fn joined<L: Text, R: Text>(
    n: i64,
    left: Option<&L>,
    right: Option<&R>,
) -> Option<String> {
    let text = |value: Option<String>| value.unwrap_or_else(|| "null".to_owned());
    let (l, r) = (text(left.map(Text::text)), text(right.map(Text::text)));
    ((hash(left) + hash(right) + n) % 17 != 0).then(|| tail(format!("{l}|{r}"), 20))
}

pub(crate) fn reduced(one: &str, other: &str) -> String {
    tail(format!("{one},{other}"), 14)
}

pub(crate) fn merged(one: &str, other: &str) -> String {
    tail(format!("{one}&{other}"), 16)
}

//! Answers as text in which what must differ between two brokers is replaced: ids, addresses, times.

use super::peer::Answer;
use afluente_protocol::api_key::ApiKey;
use regex_lite::{Captures, Regex};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::LazyLock;

/// What a value is replaced with.
#[derive(Clone, Copy)]
enum With {
    /// The same word wherever it stands.
    Word(&'static str),
    /// A word and a number that says which of its kind it is, in the order of appearance.
    Numbered(&'static str),
}

/// A field or a form of text, and what its second group is replaced with.
static RULES: LazyLock<Vec<(Regex, With)>> = LazyLock::new(|| {
    let rule = |pattern: &str, with| (Regex::new(pattern).expect("a pattern of ours"), with);
    vec![
        rule(r"(\bport: )(\d+)()", With::Word("PORT")),
        rule(r"(\bthrottle_time_ms: )(\d+)()", With::Word("0")),
        rule(r#"(\bcluster_id: (?:Some\(\s*)?)("[^"]*")()"#, With::Word("CLUSTER")),
        rule(
            r"(\b(?:topic_id|client_instance_id|topic_ids?): )([\w-]{22})()",
            With::Numbered("uuid"),
        ),
        rule(
            r"(\b(?:producer_id|current_producer_id|new_producer_id): )(\d+)()",
            With::Numbered("producer"),
        ),
        rule(r"(\bsession_id: )([1-9]\d*)()", With::Numbered("session")),
        rule(
            r"()(\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b)()",
            With::Numbered("member"),
        ),
        rule(
            r"(\b(?:log_append_time_ms|last_timestamp|transaction_start_time_ms|push_interval_ms|subscription_id|usable_bytes|total_bytes|partition_size|size): )(-?\d+)()",
            With::Word("N"),
        ),
        rule(r#"(\blog_dir: )("[^"]*")()"#, With::Word("DIR")),
        // The tests of the coordinator hold them; here, one late step would hide what comes after.
        rule(
            r"(\b(?:group_epoch|assignment_epoch|member_epoch): )([1-9]\d*)()",
            With::Word("EPOCH"),
        ),
        rule(r"(member epoch \(|group coordinator \()(\d+)()", With::Word("EPOCH")),
        // Ids that a broker gives to members of the consumer protocol.
        rule(r#"(\bmember_id: (?:Some\(\s*)?")([\w-]{22})(")"#, With::Numbered("member")),
        rule(r"()(\b127\.0\.0\.1:\d+)()", With::Word("ADDRESS")),
    ]
});

/// How far the metadata log has got, and in which epoch.
static METADATA_LOG: LazyLock<Regex> = LazyLock::new(|| {
    let fields = r"(\b(?:leader_epoch|high_watermark|log_end_offset): )\d+";
    Regex::new(fields).expect("a pattern of ours")
});

/// What a client is asked for.
static REQUESTED_METRICS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"requested_metrics: \[[^\]]*\]").expect("a pattern of ours"));

/// Puts what the protocol leaves without an order into one, and takes out what only one side serves by design.
pub(crate) fn settle_order(key: ApiKey, (apache, ours): &mut (String, String)) {
    match key {
        ApiKey::ApiVersions => {
            let lists = [elements(apache, "ApiVersion {"), elements(ours, "ApiVersion {")];
            let key = |it: &String| it.lines().nth(1).map(str::to_owned);
            let keys = lists.each_ref().map(|list| list.iter().filter_map(key).collect::<Vec<_>>());
            let in_both =
                |it: &&String| key(it).is_some_and(|key| keys.iter().all(|of| of.contains(&key)));
            let [of_apache, of_ours] =
                lists.each_ref().map(|list| list.iter().filter(in_both).cloned().collect());
            (*apache, *ours) = (of_apache, of_ours);
        }
        ApiKey::DescribeConfigs | ApiKey::CreateTopics => {
            for text in [apache, ours] {
                sort_elements(text, "DescribeConfigsResourceResult {");
                sort_elements(text, "CreatableTopicConfigs {");
            }
        }
        ApiKey::ConsumerGroupHeartbeat | ApiKey::ConsumerGroupDescribe => {
            for text in [apache, ours] {
                sort_elements(text, "TopicPartitions {");
                sort_values(text);
            }
        }
        ApiKey::DescribeTransactions => {
            for text in [apache, ours] {
                sort_values(text);
            }
        }
        ApiKey::DescribeQuorum => {
            for text in [apache, ours] {
                *text = METADATA_LOG.replace_all(text, "${1}N").into_owned();
            }
        }
        ApiKey::GetTelemetrySubscriptions => {
            for text in [apache, ours] {
                *text = REQUESTED_METRICS.replace(text, "requested_metrics: []").into_owned();
            }
        }
        ApiKey::Produce => {
            // Of a batch that is refused, whether the log's start is told depends on who refuses it.
            for text in [apache, ours] {
                *text = text.replace("log_start_offset: -1", "log_start_offset: 0");
            }
        }
        ApiKey::DeleteGroups => {
            for text in [apache, ours] {
                sort_elements(text, "DeletableGroupResult {");
            }
        }
        ApiKey::ListConfigResources => {
            for text in [apache, ours] {
                sort_elements(text, "ConfigResource {");
            }
        }
        _ => {}
    }
}

/// Whether Apache Kafka failed where an answer was due: there is nothing to compare then.
pub(crate) fn is_failure(apache: &str) -> bool {
    apache.contains("error_code: -1,")
}

/// The structs that open with `head`, from it to the line that closes them.
fn elements(text: &str, head: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() != head {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        let mut element = format!("{line}\n");
        for line in lines.by_ref() {
            element.push_str(line);
            element.push('\n');
            if line.len() - line.trim_start().len() == indent {
                break;
            }
        }
        found.push(element);
    }
    found
}

/// Sorts lines that follow each other and hold a bare value: an array of texts or numbers.
fn sort_values(text: &mut String) {
    let is_value = |line: &&str| {
        let line = line.trim().trim_end_matches(',');
        line.starts_with('"') || line.parse::<i64>().is_ok()
    };
    let mut lines: Vec<&str> = text.lines().collect();
    for run in lines.chunk_by_mut(|one, next| is_value(one) && is_value(next)) {
        run.sort_unstable();
    }
    *text = lines.join("\n");
}

fn sort_elements(text: &mut String, head: &str) {
    let found = elements(text, head);
    if found.is_empty() {
        return;
    }
    let mut sorted = found.clone();
    let differs = |name: &str| format!("name: \"{name}\"");
    let skipped = ["durability", "min.insync.replicas"].map(differs);
    sorted.retain(|element| !skipped.iter().any(|name| element.contains(name.as_str())));
    sorted.sort_unstable();
    let mut rest = text.clone();
    for element in &found {
        rest = rest.replacen(element.as_str(), "", 1);
    }
    *text = rest + &sorted.concat();
}

/// The names given to ids of one broker during a script.
#[derive(Default)]
pub(crate) struct Names(BTreeMap<(&'static str, String), usize>);

impl Names {
    /// An answer as lines that can be compared.
    pub(crate) fn text<M: Debug>(&mut self, answer: &Answer<M>) -> String {
        let mut text = format!("{answer:#?}");
        for (pattern, with) in RULES.iter() {
            let replace = |found: &Captures<'_>| {
                let word = match with {
                    With::Word(word) => (*word).to_owned(),
                    With::Numbered(kind) => self.number(kind, &found[2]),
                };
                format!("{}{word}", &found[1])
            };
            text = pattern.replace_all(&text, replace).into_owned();
        }
        text
    }

    fn number(&mut self, kind: &'static str, value: &str) -> String {
        // No id at all is the same on both sides.
        if value.bytes().all(|byte| byte == b'A') {
            return "none".to_owned();
        }
        let next = self.0.keys().filter(|(other, _)| *other == kind).count();
        let number = *self.0.entry((kind, value.to_owned())).or_insert(next);
        format!("{kind}#{number}")
    }
}

//! Paths into a message: `value.lines[*].sku`.

use serde_json::Value;
use std::borrow::Cow;

/// Where a path begins, and the steps from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) root: Root,
    pub(crate) steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Root {
    Key,
    Value,
    Header(String),
    Partition,
    Offset,
    Timestamp,
    Size,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Name(String),
    Index(usize),
    Each,
}

impl Path {
    /// What of `value` it leads to.
    pub(super) fn walk<'a>(&self, value: &'a Value) -> Vec<Cow<'a, Value>> {
        let mut found = vec![value];
        for step in &self.steps {
            found = match step {
                Step::Name(name) => found.into_iter().filter_map(|value| value.get(name)).collect(),
                Step::Index(index) => {
                    found.into_iter().filter_map(|value| value.get(index)).collect()
                }
                Step::Each => found.into_iter().filter_map(Value::as_array).flatten().collect(),
            };
        }
        found.into_iter().map(Cow::Borrowed).collect()
    }
}

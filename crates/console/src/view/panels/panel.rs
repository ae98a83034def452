//! What a panel is, as it is kept and shown.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewPanel {
    pub(crate) title: String,
    pub(crate) topic: String,
    pub(crate) field: Option<String>,
    pub(crate) aggregate: Aggregate,
    pub(crate) filter: Option<String>,
    pub(crate) group_by: Option<String>,
    pub(crate) top: usize,
    pub(crate) window_ms: i64,
    pub(crate) kind: Kind,
    pub(crate) unit: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Panel {
    pub(crate) id: String,
    #[serde(flatten)]
    pub(crate) panel: NewPanel,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredDashboard {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) panels: Vec<Panel>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Aggregate {
    Count,
    Rate,
    Sum,
    Avg,
    Min,
    Max,
    P50,
    P95,
    P99,
    Distinct,
    Last,
}

impl Aggregate {
    pub(crate) fn needs_field(self) -> bool {
        !matches!(self, Self::Count | Self::Rate)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Kind {
    Line,
    Number,
    Bars,
}

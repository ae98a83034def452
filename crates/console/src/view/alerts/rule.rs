//! What a rule is, as it is kept and shown.

use afluente_httpd::problem::Problem;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewRule {
    pub(crate) name: String,
    pub(crate) enabled: bool,
    pub(crate) source: Source,
    pub(crate) op: Op,
    pub(crate) threshold: f64,
    pub(crate) for_ms: i64,
    pub(crate) severity: Severity,
    pub(crate) targets: Vec<Target>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StoredRule {
    pub(crate) id: String,
    #[serde(flatten)]
    pub(crate) rule: NewRule,
    pub(crate) silenced_until: Option<i64>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Rule {
    #[serde(flatten)]
    pub(crate) stored: StoredRule,
    pub(crate) state: &'static str,
    pub(crate) since: Option<i64>,
    pub(crate) value: Option<f64>,
    pub(crate) delivery_error: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AlertEvent {
    pub(crate) id: String,
    pub(crate) rule_id: String,
    pub(crate) rule_name: String,
    pub(crate) severity: Severity,
    pub(crate) from: i64,
    pub(crate) to: Option<i64>,
    pub(crate) peak: Option<f64>,
    pub(crate) threshold: f64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum Source {
    Panel { panel_id: String },
    Lag { group: String, unit: LagUnit },
    Disk,
    NoData { topic: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum LagUnit {
    Messages,
    Seconds,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub(crate) enum Target {
    Console,
    Webhook { url: String },
    Topic { topic: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Op {
    #[serde(rename = ">")]
    Greater,
    #[serde(rename = ">=")]
    GreaterOrEqual,
    #[serde(rename = "<")]
    Less,
    #[serde(rename = "<=")]
    LessOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Severity {
    Info,
    Warning,
    Critical,
}

impl Severity {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl Op {
    pub(crate) fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::Greater => value > threshold,
            Self::GreaterOrEqual => value >= threshold,
            Self::Less => value < threshold,
            Self::LessOrEqual => value <= threshold,
        }
    }

    /// The worse of two values.
    pub(crate) fn worse(self, one: f64, other: f64) -> f64 {
        match self {
            Self::Greater | Self::GreaterOrEqual => one.max(other),
            Self::Less | Self::LessOrEqual => one.min(other),
        }
    }
}

/// How long a rule may wait before it fires.
const FOR_MS_MAX: i64 = 7 * 86_400_000;
const TARGETS_MAX: usize = 10;

impl NewRule {
    pub(crate) fn check(&self, what: &str) -> Result<(), Problem> {
        let wrong = |why: &str, field: &str| Err(Problem::invalid(what, why).field(field));
        if self.name.trim().is_empty() || self.name.len() > 200 {
            return wrong("a name has 1 to 200 bytes", "name");
        }
        if !(0..=FOR_MS_MAX).contains(&self.for_ms) {
            return wrong("it may hold for up to seven days", "forMs");
        }
        if !self.threshold.is_finite() {
            return wrong("the threshold is no number", "threshold");
        }
        if self.targets.len() > TARGETS_MAX {
            return wrong("there are too many targets", "targets");
        }
        for target in &self.targets {
            if let Target::Webhook { url } = target {
                super::deliver::Webhook::parse(url)
                    .map_err(|why| Problem::invalid(what, why).field("targets"))?;
            }
        }
        Ok(())
    }
}

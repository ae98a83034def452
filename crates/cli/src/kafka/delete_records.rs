//! `kafka-delete-records`: deletes the records of partitions up to an offset.

use super::options::{Options, Spec, value};
use super::out::Out;
use super::{Failure, Run, Running, Tool};
use afluente_client::{Admin, TopicPartition};
use anyhow::Context;
use serde::Deserialize;
use std::collections::BTreeMap;

pub(super) const TOOL: Tool = Tool {
    name: "delete-records",
    about: "Delete the records of partitions before an offset.",
    specs: SPECS,
    run: Run::Admin(run),
};

const SPECS: &[Spec] = &[value(
    "offset-json-file",
    "FILE",
    "What to delete, as {\"partitions\": [{\"topic\": \"t\", \"partition\": 0, \"offset\": 1}]}; \
     offset -1 deletes all that are there.",
)];

#[derive(Deserialize)]
struct File {
    #[serde(default = "only_version")]
    version: i64,
    partitions: Vec<Entry>,
}

const VERSION: i64 = 1;

fn only_version() -> i64 {
    VERSION
}

#[derive(Deserialize)]
struct Entry {
    topic: String,
    partition: i32,
    offset: i64,
}

fn run(admin: Admin, options: Options, mut out: Out) -> Running {
    Box::pin(async move {
        let path = options.require("offset-json-file")?;
        #[allow(clippy::disallowed_methods, reason = "the command line names files of the user")]
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("could not read the file {path:?}"))?;
        let file: File = serde_json::from_str(&text)
            .with_context(|| format!("{path} does not have the form that --help shows"))?;
        if file.version != VERSION {
            let told = format!("Not supported version field value {}", file.version);
            return Err(anyhow::anyhow!(told).into());
        }
        let mut before = BTreeMap::new();
        for entry in file.partitions {
            let partition = TopicPartition::new(entry.topic, entry.partition);
            if before.insert(partition.clone(), entry.offset).is_some() {
                return Err(Failure::Failed(anyhow::anyhow!(
                    "Offset json file contains duplicate topic partitions: {partition}"
                )));
            }
        }
        out.line("Executing records delete operation")?;
        let results = admin.delete_records(before).await?;
        out.line("Records delete operation completed:")?;
        for (partition, result) in results {
            match result {
                Ok(low) => out.line(format!("partition: {partition}\tlow_watermark: {low}"))?,
                Err(error) => out.line(format!("partition: {partition}\terror: {error}"))?,
            }
        }
        Ok(out)
    })
}

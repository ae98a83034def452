//! `kafka-broker-api-versions`: which versions of which API each broker speaks.

use super::options::Options;
use super::out::Out;
use super::{Run, Running, Tool};
use afluente_client::Admin;
use afluente_protocol::api_key::ApiKey;

pub(super) const TOOL: Tool = Tool {
    name: "broker-api-versions",
    about: "Show which versions of which API each broker speaks.",
    specs: &[],
    run: Run::Admin(run),
};

fn run(admin: Admin, _options: Options, mut out: Out) -> Running {
    Box::pin(async move {
        let versions = admin.broker_versions().await?;
        let cluster = admin.describe_cluster(false).await?;
        for broker in cluster.brokers {
            let Some(versions) = versions.get(&broker.id) else { continue };
            let rack = broker.rack.as_deref().unwrap_or("null");
            let head = format!(
                "{}:{} (id: {} rack: {rack} isFenced: {})",
                broker.host, broker.port, broker.id, broker.is_fenced
            );
            let versions = match versions {
                Ok(versions) => versions,
                Err(error) => {
                    out.line(format!("{head} -> ERROR: {error}"))?;
                    continue;
                }
            };
            let mut lines = Vec::new();
            let offered: Vec<(i16, (i16, i16))> = versions.apis().collect();
            // Those of a client that the broker does not offer are shown too.
            let ours =
                ApiKey::ALL.iter().filter(|key| key.on_broker() && key.supported().is_some());
            let mut numbers: Vec<i16> = ours.map(|key| key.number()).collect();
            numbers.extend(offered.iter().map(|(number, _)| number));
            numbers.sort_unstable();
            numbers.dedup();
            for number in numbers {
                let key = ApiKey::from_i16(number);
                let name = key.map_or_else(|| "UNKNOWN".to_owned(), |key| key.name().to_owned());
                let range = offered.iter().find(|(one, _)| *one == number).map(|(_, range)| *range);
                let shown = match range {
                    None => "UNSUPPORTED".to_owned(),
                    Some((min, max)) => {
                        let range =
                            if min == max { min.to_string() } else { format!("{min} to {max}") };
                        let usable = key.and_then(|key| versions.common(key, i16::MAX));
                        let usable = usable
                            .map_or_else(|| "UNKNOWN".to_owned(), |version| version.to_string());
                        format!("{range} [usable: {usable}]")
                    }
                };
                lines.push(format!("\t{name}({number}): {shown}"));
            }
            out.line(format!("{head} -> ("))?;
            out.line(lines.join(",\n"))?;
            out.line(")")?;
        }
        Ok(out)
    })
}

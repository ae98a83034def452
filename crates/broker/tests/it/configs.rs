//! Configurations that are set and described while the broker runs.

use crate::support::{Client, TestBroker, run};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages as m;
use m::describe_configs_response::DescribeConfigsResourceResult;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

async fn set(client: &mut Client, broker: &str, configs: &[(&str, &str)]) -> i16 {
    use m::incremental_alter_configs_request as alter;
    let configs = configs.iter().map(|(name, value)| alter::AlterableConfig {
        name: (*name).into(),
        config_operation: 0,
        value: Some((*value).into()),
    });
    let resource = alter::AlterConfigsResource {
        resource_type: BROKER,
        resource_name: broker.into(),
        configs: configs.collect(),
    };
    let request =
        alter::IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    client.call(&request, 1).await.responses[0].error_code
}

async fn described(
    client: &mut Client,
    resource: (i8, &str),
    key: &str,
) -> Vec<DescribeConfigsResourceResult> {
    use m::describe_configs_request as describe;
    let resource = describe::DescribeConfigsResource {
        resource_type: resource.0,
        resource_name: resource.1.into(),
        configuration_keys: Some(vec![key.into()]),
    };
    let request = describe::DescribeConfigsRequest {
        resources: vec![resource],
        include_synonyms: true,
        ..Default::default()
    };
    client.call(&request, 4).await.results.remove(0).configs
}

#[test]
fn compaction_gets_no_more_threads_than_there_is_memory_for() {
    run(async {
        let settings = [("log.cleaner.dedupe.buffer.size", "2097154"), ("node.id", "1")];
        let broker = TestBroker::start(&settings).await;
        let mut client = broker.connect().await;
        let (threads, buffer) = ("log.cleaner.threads", "log.cleaner.dedupe.buffer.size");
        for (configs, expected) in [
            (vec![(threads, "2")], ErrorCode::None),
            (vec![(threads, "3"), (buffer, "99999999")], ErrorCode::InvalidRequest),
            (vec![(threads, "0")], ErrorCode::InvalidRequest),
            (vec![(buffer, "2097152")], ErrorCode::InvalidRequest),
            (vec![(threads, "1"), (buffer, "2097152")], ErrorCode::None),
        ] {
            assert_eq!(set(&mut client, "1", &configs).await, expected.code(), "{configs:?}");
        }
    });
}

#[test]
fn a_default_in_another_unit_is_told_only_behind_a_value() {
    run(async {
        let broker = TestBroker::start(&[("node.id", "1")]).await;
        let mut client = broker.with_topic(1).await;
        let told = |configs: &[DescribeConfigsResourceResult]| {
            let synonyms = configs[0].synonyms.iter();
            let names: Vec<String> = synonyms
                .map(|it| format!("{}={}", it.name, it.value.as_deref().unwrap_or("null")))
                .collect();
            (configs[0].value.clone(), names.join(" "))
        };
        let topic = told(&described(&mut client, (TOPIC, "t"), "retention.ms").await);
        assert_eq!(topic, (Some("604800000".into()), String::new()));

        assert_eq!(set(&mut client, "", &[("log.retention.ms", "-5")]).await, 0);
        let both = "log.retention.ms=-5 log.retention.hours=168".to_owned();
        let topic = told(&described(&mut client, (TOPIC, "t"), "retention.ms").await);
        assert_eq!(topic, (Some("-1".into()), both.clone()));
        let broker = told(&described(&mut client, (BROKER, "1"), "log.retention.ms").await);
        assert_eq!(broker, (Some("-5".into()), both));
    });
}

#[test]
fn a_key_that_nobody_knows_is_shown_without_its_value() {
    run(async {
        let broker = TestBroker::start(&[("node.id", "1")]).await;
        let mut client = broker.connect().await;
        for of in ["", "1"] {
            assert_eq!(set(&mut client, "", &[("of.a.plug.in", "secret")]).await, 0);
            let configs = described(&mut client, (BROKER, of), "of.a.plug.in").await;
            assert_eq!((configs.len(), configs[0].is_sensitive), (1, true), "{of:?}");
            assert_eq!(configs[0].value, None, "{of:?}");
        }
    });
}

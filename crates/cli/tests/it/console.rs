//! The console in front of real brokers: our binary and Apache Kafka, by the same steps.
#![allow(
    clippy::disallowed_methods,
    reason = "a test drives processes from outside, by the standard library"
)]

use afluente_harness::broker::{Broker, Program};
use afluente_harness::java::{Jars, Java};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// A console process. Dropping it kills it.
struct Console {
    child: Child,
    address: String,
}

impl Console {
    fn start(bootstrap: &str, more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_afluente"))
            .args(["console", "--listen", "127.0.0.1:0", "--bootstrap-server", bootstrap])
            .args(more)
            .env_clear()
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let address = loop {
            let mut line = String::new();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "it stopped before it listened");
            if let Some((_, rest)) = line.split_once("the console is on http://") {
                break rest.split('/').next().unwrap().to_owned();
            }
        };
        // The rest of the log has to go somewhere, or the process waits for a reader.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { child, address }
    }

    fn ask(&self, method: &str, path: &str, content_type: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )
        .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let body = if head.contains("transfer-encoding: chunked") {
            unchunk(body)
        } else {
            body.to_owned()
        };
        (status, body)
    }

    fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask("GET", path, "application/json", "");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let (status, body) = self.ask(method, path, "application/json", &body.to_string());
        (status, serde_json::from_str(&body).unwrap_or(Value::Null))
    }

    /// Events of a search.
    fn lines(&self, path: &str) -> Vec<Value> {
        let (status, body) = self.ask("GET", path, "application/json", "");
        assert_eq!(status, 200, "{path}: {body}");
        body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn messages(&self, path: &str) -> Vec<Value> {
        let events = self.lines(path);
        assert_eq!(events.last().unwrap()["type"], "done", "{events:?}");
        events
            .into_iter()
            .filter(|event| event["type"] == "message")
            .map(|event| event["message"].clone())
            .collect()
    }

    /// Asks again until the console has looked at the cluster and the answer is good.
    fn until(&self, path: &str, is_good: impl Fn(&Value) -> bool) -> Value {
        loop {
            let value = self.get(path);
            if is_good(&value) {
                return value;
            }
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // A process that is gone needs no killing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn unchunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            break;
        }
        whole.push_str(&rest[..size]);
        body = &rest[size + 2..];
    }
    whole
}

#[test]
fn every_screen_works_on_our_broker() {
    let binary = env!("CARGO_BIN_EXE_afluente").into();
    let broker = Broker::start(Program::Afluente(binary), &[("http.listener", "")]).unwrap();
    screens(&broker);
}

#[test]
fn every_screen_works_on_apache_kafka() {
    let Some(java) = Java::or_skip(Jars::Kafka, "the console on Apache Kafka") else { return };
    let broker = Broker::start(Program::Apache(java), &[]).unwrap();
    screens(&broker);
}

fn screens(broker: &Broker) {
    let console = Console::start(&broker.bootstrap(), &[]);
    let info = console.get("/api/info");
    assert_eq!((&info["server"], &info["readOnly"]), (&json!("other"), &json!(false)));
    console.until("/api/overview", |overview| overview["totals"]["brokers"] == 1);
    topics(&console);
    messages(&console);
    groups(&console);
    cluster(&console);
    dashboards_and_alerts(&console);
    let hits = console.get("/api/search?q=ord");
    assert_eq!(
        (&hits["items"][0]["kind"], &hits["items"][0]["id"]),
        (&json!("topic"), &json!("orders"))
    );
    let (status, page) = console.ask("GET", "/topics/orders", "", "");
    assert!(status == 200 && page.contains("<!doctype html>"), "{page}");
    let (status, problem) = console.send("GET", "/api/nothing", &Value::Null);
    assert_eq!((status, &problem["error"]["code"]), (404, &json!("NOT_FOUND")));
}

fn topics(console: &Console) {
    let wanted =
        json!({ "name": "orders", "partitions": 3, "configs": { "retention.ms": "3600000" } });
    let (status, row) = console.send("POST", "/api/topics", &wanted);
    assert_eq!(
        (status, &row["partitions"], &row["retentionMs"]),
        (200, &json!(3), &json!(3_600_000)),
        "{row}"
    );
    let (status, problem) = console.send("POST", "/api/topics", &wanted);
    assert_eq!(
        (status, &problem["error"]["code"], &problem["error"]["field"]),
        (409, &json!("TOPIC_ALREADY_EXISTS"), &json!("name"))
    );
    let (status, problem) = console.send("POST", "/api/topics", &json!({ "name": "bad name" }));
    assert_eq!((status, &problem["error"]["code"]), (400, &json!("INVALID_TOPIC_EXCEPTION")));

    let (status, detail) =
        console.send("POST", "/api/topics/orders/partitions", &json!({ "count": 4 }));
    assert_eq!((status, detail["partitionList"].as_array().unwrap().len()), (200, 4), "{detail}");
    let (status, row) =
        console.send("POST", "/api/topics/orders/clone", &json!({ "name": "orders-2" }));
    assert_eq!(
        (status, &row["partitions"], &row["retentionMs"]),
        (200, &json!(4), &json!(3_600_000)),
        "{row}"
    );

    let change = json!({ "set": { "retention.ms": "7200000" }, "reset": [] });
    let (status, configs) = console.send("PATCH", "/api/topics/orders/configs", &change);
    assert_eq!(status, 200, "{configs}");
    let of = |configs: &Value| {
        let items = configs["items"].as_array().unwrap();
        items.iter().find(|entry| entry["name"] == "retention.ms").unwrap().clone()
    };
    assert_eq!(
        (&of(&configs)["value"], &of(&configs)["overridden"]),
        (&json!("7200000"), &json!(true))
    );
    let (_, configs) =
        console.send("PATCH", "/api/topics/orders/configs", &json!({ "reset": ["retention.ms"] }));
    assert_eq!(
        (&of(&configs)["value"], &of(&configs)["overridden"], &of(&configs)["defaultValue"]),
        (&json!("604800000"), &json!(false), &json!("604800000"))
    );
    let bad = json!({ "set": { "retention.ms": "soon" } });
    let (status, problem) = console.send("PATCH", "/api/topics/orders/configs", &bad);
    assert_eq!(
        (status, &problem["error"]["field"]),
        (400, &json!("configs.retention.ms")),
        "{problem}"
    );
    assert!(!console.get("/api/topic-configs")["items"].as_array().unwrap().is_empty());

    let (status, problem) = console.send("DELETE", "/api/topics/orders-2", &Value::Null);
    assert_eq!((status, &problem["error"]["code"]), (409, &json!("CONFIRMATION_MISSING")));
    let (status, _) = console.send("DELETE", "/api/topics/orders-2?confirm=orders-2", &Value::Null);
    assert_eq!(status, 204);
    let page = console.until("/api/topics?q=ORD&sort=-messages", |page| page["total"] == 1);
    assert_eq!(page["items"][0]["name"], "orders");
}

fn messages(console: &Console) {
    let message = |n: i64| {
        json!({
            "key": { "text": format!("k{n}") },
            "value": { "text": format!("{{\"n\":{n},\"store\":\"S{:02}\",\"big\":9007199254740993}}", n % 3) },
            "headers": [{ "name": "trace", "value": { "text": format!("t{n}") } }],
            "timestamp": 1_700_000_000_000_i64 + n * 1_000,
        })
    };
    // Far in the past, so that retention by time has to let them be.
    let (status, _) = console.send(
        "PATCH",
        "/api/topics/orders/configs",
        &json!({ "set": { "retention.ms": "-1" } }),
    );
    assert_eq!(status, 200);
    let all: Vec<Value> = (0..200).map(message).collect();
    let (status, produced) =
        console.send("POST", "/api/topics/orders/messages", &json!({ "messages": all }));
    assert_eq!((status, produced["items"].as_array().unwrap().len()), (200, 200), "{produced}");
    let tombstone =
        json!({ "messages": [{ "key": { "text": "k1" }, "value": null, "partition": 0 }] });
    let (status, _) = console.send("POST", "/api/topics/orders/messages", &tombstone);
    assert_eq!(status, 200);

    let newest = console.messages("/api/topics/orders/messages?limit=5");
    assert_eq!((newest.len(), &newest[0]["value"]), (5, &Value::Null), "{newest:?}");
    assert_eq!(newest[1]["key"]["text"], "k199");
    assert!(newest[1]["value"]["text"].as_str().unwrap().contains("9007199254740993"));
    assert_eq!(newest[1]["headers"][0]["value"]["text"], "t199");

    let oldest = console.messages("/api/topics/orders/messages?from=oldest&limit=1000");
    assert_eq!(oldest.len(), 201);
    let filter = "value.n%20%3E%20100%20%26%26%20value.store%20%3D%3D%20%22S01%22";
    let found = console
        .messages(&format!("/api/topics/orders/messages?from=oldest&limit=1000&filter={filter}"));
    assert_eq!(found.len(), (101..200).filter(|n| n % 3 == 1).count());
    let found = console.messages(
        "/api/topics/orders/messages?from=time&time=1700000190000&limit=1000&until=1700000195000",
    );
    assert_eq!(found.len(), 6, "{found:?}");
    assert_eq!(console.messages("/api/topics/orders/messages?q=T42").len(), 1);
    assert_eq!(console.messages("/api/topics/orders/messages?header=trace%3Dt42").len(), 1);
    let (status, problem) =
        console.send("GET", "/api/topics/orders/messages?filter=value.n%20%3E", &Value::Null);
    assert_eq!((status, &problem["error"]["code"]), (400, &json!("INVALID_FILTER")));

    // Page by page, forward and backward, each message comes once.
    for from in ["oldest", "newest"] {
        let (mut offsets, mut cursor) = (std::collections::BTreeSet::new(), String::new());
        loop {
            let events = console.lines(&format!(
                "/api/topics/orders/messages?from={from}&limit=40&cursor={cursor}"
            ));
            for message in events
                .iter()
                .filter(|event| event["type"] == "message")
                .map(|event| &event["message"])
            {
                let place = (message["partition"].as_i64(), message["offset"].as_i64());
                assert!(offsets.insert(place), "{from}: {place:?} came twice");
            }
            match events.last().unwrap()["next"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(offsets.len(), 201, "{from}");
    }

    let (partition, offset) = (&newest[1]["partition"], &newest[1]["offset"]);
    let one = console.get(&format!("/api/topics/orders/messages/{partition}/{offset}"));
    assert!(one["value"]["base64"].is_string(), "{one}");
    let histogram = console
        .get("/api/topics/orders/histogram?fromMs=1700000000000&toMs=1700000200000&buckets=4");
    assert_eq!(histogram["counts"], json!([50, 50, 50, 50]), "{histogram}");
    let fields = console.get("/api/topics/orders/fields");
    assert!(
        fields["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|field| field["path"] == "value.n" && field["type"] == "number"),
        "{fields}"
    );
    let (_, check) = console.send("POST", "/api/filters/check", &json!({ "filter": "value.n >" }));
    assert_eq!((&check["ok"], &check["position"]), (&json!(false), &json!(9)));

    more_than_one_answer_holds(console);
    for (format, content_type) in [("jsonl", "application/x-ndjson"), ("csv", "text/csv")] {
        let (status, exported) =
            console.ask("GET", &format!("/api/topics/orders/export?format={format}"), "", "");
        assert_eq!(status, 200);
        let name = format!("copy-{format}");
        let (status, _) =
            console.send("POST", "/api/topics", &json!({ "name": name, "partitions": 4 }));
        assert_eq!(status, 200);
        let path = format!("/api/topics/{name}/import?format={format}");
        let (status, events) = console.ask("POST", &path, content_type, &exported);
        let done: Value = serde_json::from_str(events.lines().last().unwrap()).unwrap();
        assert_eq!(
            (status, &done["type"], &done["produced"], &done["failed"]),
            (200, &json!("done"), &json!(201), &json!(0)),
            "{events}"
        );
        let (_, again) =
            console.ask("GET", &format!("/api/topics/{name}/export?format={format}"), "", "");
        let sorted = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&again), sorted(&exported), "what is carried over is the same");
    }
}

/// What a broker leaves out of an answer that is full has to come with the next.
fn more_than_one_answer_holds(console: &Console) {
    let (status, _) =
        console.send("POST", "/api/topics", &json!({ "name": "large", "partitions": 4 }));
    assert_eq!(status, 200);
    for n in 0..12 {
        let message = |partition: i32| {
            let value = format!("{{\"n\":{n},\"filler\":\"{}\"}}", "x".repeat(300_000));
            json!({ "partition": partition, "value": { "text": value } })
        };
        let all: Vec<Value> = (0..4).map(message).collect();
        let (status, produced) =
            console.send("POST", "/api/topics/large/messages", &json!({ "messages": all }));
        assert_eq!(status, 200, "{produced}");
    }
    for from in ["oldest", "newest"] {
        let path = format!(
            "/api/topics/large/messages?from={from}&limit=1000&maxBytes=9&filter=value.n%20%3E%3D%200"
        );
        assert_eq!(console.messages(&path).len(), 48, "{from}");
    }
    let (status, exported) = console.ask("GET", "/api/topics/large/export?format=jsonl", "", "");
    assert_eq!((status, exported.lines().count()), (200, 48));
    let (status, _) = console.send("DELETE", "/api/topics/large?confirm=large", &Value::Null);
    assert_eq!(status, 204);
}

fn groups(console: &Console) {
    // A group without members is made by giving it offsets.
    let reset = json!({ "topics": [{ "topic": "orders" }], "to": { "kind": "earliest" } });
    let (status, preview) = console.send("POST", "/api/groups/readers/offsets", &reset);
    assert_eq!(
        (status, preview["items"].as_array().unwrap().len(), &preview["allowed"]),
        (200, 4, &json!(true)),
        "{preview}"
    );
    let page = console.until("/api/groups?q=read", |page| page["items"][0]["lag"] == 201);
    assert_eq!(
        (&page["items"][0]["group"], &page["items"][0]["state"]),
        (&json!("readers"), &json!("Empty")),
        "{page}"
    );
    let detail = console.get("/api/groups/readers");
    assert_eq!(detail["offsets"].as_array().unwrap().len(), 4);
    assert_eq!(console.get("/api/topics/orders/groups")["items"][0]["lag"], 201);

    let steps = [
        (json!({ "to": { "kind": "latest" } }), 0, 201),
        (json!({ "to": { "kind": "shift", "by": 5 } }), 0, 20),
        (json!({ "to": { "kind": "time", "timeMs": 1_700_000_100_000_i64 } }), 0, 100),
        (json!({ "to": { "kind": "offset", "offset": 1_000_000 } }), 0, 201),
        (
            json!({ "to": { "kind": "explicit", "offsets": [{ "topic": "orders", "partition": 0, "offset": 1 }] } }),
            0,
            1,
        ),
    ];
    for (reset, reread, skipped) in steps {
        let (status, preview) = console.send("POST", "/api/groups/readers/offsets/preview", &reset);
        assert_eq!(
            (status, &preview["reread"], &preview["skipped"]),
            (200, &json!(reread), &json!(skipped)),
            "{reset}: {preview}"
        );
    }
    let (status, done) =
        console.send("POST", "/api/groups/readers/offsets", &json!({ "to": { "kind": "latest" } }));
    assert_eq!((status, &done["skipped"]), (200, &json!(201)), "{done}");
    let copy = json!({ "to": { "kind": "group", "group": "readers" } });
    let (status, done) = console.send("POST", "/api/groups/others/offsets", &copy);
    assert_eq!((status, done["items"].as_array().unwrap().len()), (200, 4), "{done}");
    let (status, _) =
        console.send("DELETE", "/api/groups/others/offsets?topic=orders", &Value::Null);
    assert_eq!(status, 204);
    let (status, _) = console.send("DELETE", "/api/groups/readers?confirm=readers", &Value::Null);
    assert_eq!(status, 204);
    console.until("/api/groups?q=readers", |page| page["total"] == 0);
    let (status, problem) = console.send("GET", "/api/groups/nobody", &Value::Null);
    assert_eq!((status, &problem["error"]["code"]), (404, &json!("GROUP_ID_NOT_FOUND")));
}

fn cluster(console: &Console) {
    // Sizes are those of segment files, which are written a moment after the journal.
    let cluster = console.until("/api/cluster", |cluster| {
        cluster["brokers"][0]["logDirs"][0]["sizeBytes"].as_i64().is_some_and(|bytes| bytes > 0)
    });
    assert!(cluster["quorum"]["leaderId"].is_number(), "{cluster}");
    let id = &cluster["brokers"][0]["id"];
    assert_eq!(console.get(&format!("/api/brokers/{id}"))["id"], *id);
    let configs = console.get(&format!("/api/brokers/{id}/configs"));
    let has =
        |name: &str| configs["items"].as_array().unwrap().iter().any(|entry| entry["name"] == name);
    assert!(has("log.retention.ms") && has("num.partitions"), "{configs}");

    // What counts for all brokers is all of it, and not only what was changed at run time.
    let defaults = console.get("/api/brokers/default/configs");
    assert!(defaults["items"].as_array().unwrap().len() > 100, "{defaults}");
    let of = |configs: &Value| {
        let items = configs["items"].as_array().unwrap();
        items.iter().find(|entry| entry["name"] == "log.retention.ms").unwrap().clone()
    };
    let change = json!({ "set": { "log.retention.ms": "7200000" } });
    let (status, configs) = console.send("PATCH", "/api/brokers/default/configs", &change);
    assert_eq!(status, 200, "{configs}");
    // A broker hears of it a moment after the controller.
    let is_set = |configs: &Value| {
        of(configs)["value"] == "7200000" && of(configs)["overridden"] == json!(true)
    };
    console.until("/api/brokers/default/configs", is_set);
    let change = json!({ "reset": ["log.retention.ms"] });
    let (status, configs) = console.send("PATCH", "/api/brokers/default/configs", &change);
    assert_eq!(status, 200, "{configs}");
    console.until("/api/brokers/default/configs", |configs| !is_set(configs));
    let (status, problem) = console.send("GET", "/api/brokers/77/configs", &Value::Null);
    assert_eq!((status, &problem["error"]["code"]), (404, &json!("NOT_FOUND")));
}

fn dashboards_and_alerts(console: &Console) {
    let built_in = console.get("/api/dashboards");
    assert!(built_in["items"].as_array().unwrap().iter().all(|one| one["builtIn"] == true));
    let (status, dashboard) = console.send("POST", "/api/dashboards", &json!({ "title": "Mine" }));
    assert_eq!(status, 200, "{dashboard}");
    let panel = json!({
        "title": "Orders", "topic": "orders", "field": "value.n", "aggregate": "sum", "filter": null,
        "groupBy": "value.store", "top": 5, "windowMs": 60_000, "kind": "bars", "unit": "",
    });
    let id = dashboard["id"].as_str().unwrap();
    let (status, made) = console.send("POST", &format!("/api/dashboards/{id}/panels"), &panel);
    assert_eq!((status, &made["title"]), (200, &json!("Orders")), "{made}");
    let mut wrong = panel.clone();
    wrong["filter"] = json!("value.n >");
    let (status, problem) = console.send("POST", &format!("/api/dashboards/{id}/panels"), &wrong);
    assert_eq!((status, &problem["error"]["code"]), (400, &json!("INVALID_FILTER")));
    let (status, _) = console.send("DELETE", "/api/dashboards/demo-flights", &Value::Null);
    assert_eq!(status, 400);

    let rule = json!({
        "name": "Silence", "enabled": true, "source": { "kind": "noData", "topic": "orders" }, "op": ">=",
        "threshold": 0, "forMs": 0, "severity": "warning", "targets": [{ "kind": "topic", "topic": "alerts" }],
    });
    let (status, _) =
        console.send("POST", "/api/topics", &json!({ "name": "alerts", "partitions": 1 }));
    assert_eq!(status, 200);
    let (status, made) = console.send("POST", "/api/alerts/rules", &rule);
    assert_eq!(status, 200, "{made}");
    console.until("/api/alerts/history", |page| page["total"] == 1);
    console.until("/api/overview", |overview| overview["firingAlerts"] == 1);
    let overview = console.get("/api/overview");
    let problems = overview["problems"].as_array().unwrap();
    assert!(
        problems.iter().any(|one| one["code"] == "ALERT_FIRING" && one["subject"] == "Silence"),
        "{overview}"
    );
    console.until("/api/topics/alerts", |topic| topic["messages"] == 1);
    let (status, preview) = console.send("POST", "/api/alerts/preview", &rule);
    assert_eq!((status, preview["firings"].as_array().unwrap().len()), (200, 1), "{preview}");
    let id = made["id"].as_str().unwrap();
    let (status, _) = console.send("DELETE", &format!("/api/alerts/rules/{id}"), &Value::Null);
    assert_eq!(status, 204);
}

#[test]
fn a_console_that_only_looks_refuses_changes_and_a_cluster_that_is_away_is_told() {
    let console = Console::start("127.0.0.1:1", &["--read-only"]);
    let (status, problem) = console.send("POST", "/api/topics", &json!({ "name": "a" }));
    assert_eq!((status, &problem["error"]["code"]), (403, &json!("READ_ONLY")));
    let (status, _) = console.send("POST", "/api/filters/check", &json!({ "filter": "true" }));
    assert_eq!(status, 200);
    assert_eq!(console.get("/api/topics")["total"], 0);
}

#[test]
fn a_broker_with_console_and_demo_stops_without_a_complaint() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_afluente"))
        .args(["serve", "--listen", "127.0.0.1:0", "--console", "127.0.0.1:0", "--demo"])
        .args(["--override", "http.listener=127.0.0.1:0", "--data-dir"])
        .arg(dir.path())
        .env_clear()
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    // Orders are joined last: everything before has come up by then.
    assert!(log.any(|line| line.contains("\"after\":\"Running\"")), "the demo does not run");
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let rest: Vec<String> = log.collect();
    assert!(child.wait().unwrap().success(), "{rest:#?}");
    let is_complaint = |line: &&String| line.contains("\"WARN\"") || line.contains("\"ERROR\"");
    assert_eq!(rest.iter().find(is_complaint), None);
    assert!(rest.last().unwrap().contains("stopped"), "{rest:#?}");
}

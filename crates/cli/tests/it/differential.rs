//! The same requests to Apache Kafka 4.3.1 and to our binary: the answers must be equal.
//!
//! A script is a sequence of requests, valid ones and invalid ones, drawn from a seed ([`scripts`]). Both brokers get it,
//! and what they answer is compared as text, after ids, addresses and times have been replaced ([`normal`]). What may differ
//! is listed in `docs/differences.md`, and nowhere else.
//!
//! `AFLUENTE_DIFFERENTIAL_SEEDS=first..last` runs other seeds than the ones of CI, `AFLUENTE_DIFFERENTIAL_SCRIPT=name`
//! only one of the scripts, and `AFLUENTE_DIFFERENTIAL_TRACE=1` prints each request with both answers.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "drives real processes; the `env` door is for code that can be simulated"
)]

mod normal;
mod peer;
mod scripts;

use afluente_harness::broker::{Broker, Program};
use afluente_harness::java::{Jars, Java};
use afluente_protocol::message::Request;
use peer::{Answer, Peer};
use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};

/// Seeds that a run takes by default.
const SEEDS: std::ops::Range<u64> = 1..9;

/// How many findings are told in full.
const TOLD_MAX: usize = 100;

/// Both brokers and what has come of the requests so far.
pub(crate) struct Both {
    pub(crate) apache: Peer,
    pub(crate) ours: Peer,
    script: String,
    requests: usize,
    /// By API and the first line that differs: how often, and the first time in full.
    findings: BTreeMap<String, (usize, String)>,
    /// Whether each request and both answers are printed.
    is_traced: bool,
}

#[test]
fn requests_are_answered_as_apache_kafka_answers_them() {
    let Some(java) = Java::or_skip(Jars::Kafka, "the differential test of requests") else {
        return;
    };
    let overrides = [
        ("group.min.session.timeout.ms", "1000"),
        // How long Apache Kafka collects changes of a group before it assigns anew.
        ("group.consumer.assignment.interval.ms", "0"),
        ("auto.create.topics.enable", "false"),
    ];
    let apache = Broker::start(Program::Apache(java), &overrides).unwrap();
    let ours = Program::Afluente(env!("CARGO_BIN_EXE_afluente").into());
    let ours = Broker::start(ours, &overrides).unwrap();
    let mut both = Both {
        apache: Peer::new(apache),
        ours: Peer::new(ours),
        script: String::new(),
        requests: 0,
        findings: BTreeMap::new(),
        is_traced: std::env::var_os("AFLUENTE_DIFFERENTIAL_TRACE").is_some(),
    };
    let only = std::env::var("AFLUENTE_DIFFERENTIAL_SCRIPT").ok();
    for seed in seeds() {
        for (name, script) in scripts::SCRIPTS {
            if only.as_ref().is_some_and(|only| only != name) {
                continue;
            }
            both.script = format!("{name}, seed {seed}");
            both.apache.forget();
            both.ours.forget();
            script(&mut both, &mut scripts::Dice::new(name, seed));
        }
    }
    assert!(both.findings.is_empty(), "{}", both.report());
    assert!(only.is_some() || both.requests > 500, "only {} requests were compared", both.requests);
}

fn seeds() -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("AFLUENTE_DIFFERENTIAL_SEEDS") else { return SEEDS };
    let (first, last) = text.split_once("..").expect("AFLUENTE_DIFFERENTIAL_SEEDS is first..last");
    first.parse().unwrap()..last.parse().unwrap()
}

impl Both {
    /// Sends a request to both and compares; `make` is told whom it is for, since ids differ.
    pub(crate) fn ask<R: Request + Debug>(
        &mut self,
        version: i16,
        make: impl Fn(&Peer) -> R,
    ) -> (Answer<R::Response>, Answer<R::Response>)
    where
        R::Response: Debug,
    {
        let request = make(&self.apache);
        let apache = self.apache.ask(&request, version);
        let ours = self.ours.ask(&make(&self.ours), version);
        self.requests += 1;
        let mut texts = (self.apache.names.text(&apache), self.ours.names.text(&ours));
        normal::settle_order(R::KEY, &mut texts);
        if self.is_traced {
            eprintln!("{} {request:?}\n  apache {apache:?}\n  ours   {ours:?}", self.script);
        }
        if texts.0 != texts.1 && !normal::is_failure(&texts.0) {
            self.found(&format!("{:?} v{version}", R::KEY), &format!("{request:?}"), &texts);
        }
        (apache, ours)
    }

    /// Sends bytes as they are, behind a size, and compares what comes back.
    pub(crate) fn ask_raw(&mut self, what: &str, frame: &[u8]) {
        let answers = (self.apache.ask_raw(frame), self.ours.ask_raw(frame));
        self.requests += 1;
        let texts = (format!("{:?}", answers.0), format!("{:?}", answers.1));
        if texts.0 != texts.1 {
            self.found(what, &format!("{frame:?}"), &texts);
        }
    }

    fn found(&mut self, what: &str, request: &str, (apache, ours): &(String, String)) {
        let mut differences = String::new();
        let lines: Vec<&str> = ours.lines().collect();
        let theirs: Vec<&str> = apache.lines().collect();
        for at in 0..lines.len().max(theirs.len()) {
            let (left, right) = (theirs.get(at).unwrap_or(&""), lines.get(at).unwrap_or(&""));
            if left != right {
                let _ = writeln!(
                    differences,
                    "    apache {}\n    ours   {}",
                    left.trim(),
                    right.trim()
                );
            }
        }
        let api = what.split(' ').next().unwrap_or(what);
        let first: String = differences.lines().take(2).collect();
        let key = format!("{api} {first}");
        let full = || format!("{what} ({})\n  request {request}\n{differences}", self.script);
        let entry = self.findings.entry(key).or_insert_with(|| (0, full()));
        entry.0 += 1;
    }

    fn report(&self) -> String {
        let mut text =
            format!("{} requests, {} kinds of difference\n", self.requests, self.findings.len());
        for (count, full) in self.findings.values().take(TOLD_MAX) {
            let lines: Vec<&str> = full.lines().take(14).collect();
            let _ = writeln!(text, "{count} times: {}", lines.join("\n"));
        }
        text
    }
}

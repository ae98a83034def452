//! The heartbeats of a member of a classic group, in a task of its own.
//!
//! They go on while the program works and while the poll calls the listener; not while the member
//! joins, when its JoinGroup request is sign of life enough.

use super::super::race::{Either, race};
use super::super::shared::Shared;
use crate::client::Target;
use crate::error::Error;
use afluente_env::watch;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::heartbeat_request::HeartbeatRequest;
use std::sync::Arc;

/// For whom to send them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Beating {
    pub(super) member_id: String,
    pub(super) generation_id: i32,
}

/// What an answer said, for the generation that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    Nothing,
    /// The group rebalances.
    Rebalance(Beating),
    /// The coordinator does not know this member, or takes another one for it.
    Lost(Beating, ErrorCode),
    /// The group refuses the member.
    Refused(Beating, String, ErrorCode),
}

/// The task and how to speak with it.
pub(super) struct Heartbeats {
    beating: watch::Sender<Option<Beating>>,
    pub(super) heard: watch::Receiver<Heard>,
}

impl Heartbeats {
    /// Starts the task, which ends with this value.
    pub(super) fn start(shared: &Arc<Shared>) -> Self {
        let (beating, orders) = watch::channel(None);
        let (tell, heard) = watch::channel(Heard::Nothing);
        shared.client.env().tasks.spawn(run(Arc::clone(shared), orders, tell));
        Self { beating, heard }
    }

    /// Sends heartbeats for this generation, or none.
    pub(super) fn send_for(&self, beating: Option<Beating>) {
        self.beating.send_replace(beating);
    }
}

async fn run(
    shared: Arc<Shared>,
    mut orders: watch::Receiver<Option<Beating>>,
    tell: watch::Sender<Heard>,
) {
    let group_id = shared.config.group_id.clone().unwrap_or_default();
    let target = Target::group(&*group_id);
    let clock = shared.client.env().clock.clone();
    let mut failures = 0;
    loop {
        let beating = orders.borrow_and_update().clone();
        let Some(beating) = beating else {
            if orders.changed().await.is_err() {
                return;
            }
            continue;
        };
        let interval = match failures {
            0 => shared.config.heartbeat_interval,
            failures => shared
                .client
                .config()
                .retry_backoff
                .wait(failures, &shared.client.env().rng)
                .min(shared.config.heartbeat_interval),
        };
        match race(orders.changed(), clock.sleep(interval)).await {
            Either::Left(Err(_)) => return,
            Either::Left(Ok(())) => {
                failures = 0;
                continue;
            }
            Either::Right(()) => {}
        }
        let request = HeartbeatRequest {
            group_id: group_id.clone(),
            generation_id: beating.generation_id,
            member_id: beating.member_id.clone(),
            group_instance_id: shared.config.group_instance_id.clone(),
        };
        let deadline = shared.client.deadline_in(shared.config.session_timeout);
        let outcome = match shared.client.send_once(&target, &request, deadline).await {
            Ok(answer) => Error::check(answer.error_code, None, || format!("group {group_id}")),
            Err(error) => Err(error),
        };
        let Err(error) = outcome else {
            failures = 0;
            continue;
        };
        shared.client.noticed(&target, &error);
        match error.error_code() {
            Some(ErrorCode::RebalanceInProgress) => {
                failures = 0;
                tell.send_replace(Heard::Rebalance(beating));
            }
            Some(
                code @ (ErrorCode::UnknownMemberId
                | ErrorCode::IllegalGeneration
                | ErrorCode::FencedInstanceId),
            ) => {
                tell.send_replace(Heard::Lost(beating, code));
                failures += 1;
            }
            Some(code) if !error.is_retriable() => {
                tell.send_replace(Heard::Refused(beating, error.to_string(), code));
                failures += 1;
            }
            _ => failures += 1,
        }
    }
}

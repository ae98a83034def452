//! A member of a classic group: JoinGroup, SyncGroup, Heartbeat, LeaveGroup.
//!
//! ```text
//!  give up ──▶ JoinGroup ──▶ SyncGroup ──▶ take on ──▶ heartbeats ──┐
//!     ▲         (the leader assigns between the two)                │ rebalance, new topics,
//!     └──────────────────────────────────────────────────────────────┘ new subscription
//! ```
//!
//! With the eager protocol everything is given up before joining. With the cooperative one (KIP-429)
//! the member goes on with what it has; what the assignment takes away is given up after it, and
//! then the member joins once more, so that the partitions can go to their new owners.

mod round;

use super::super::assignor::RebalanceProtocol;
use super::super::error::ConsumerError;
use super::super::race::{Either, race};
use super::super::shared::Shared;
use super::heartbeats::{Beating, Heard, Heartbeats};
use super::topics::{self, Shape, Subscribed};
use super::{Event, Leaving, Partitions};
use crate::client::Target;
use crate::error::Error;
use crate::metadata::TopicsAsked;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What the task knows of its member.
struct Member {
    shared: Arc<Shared>,
    group_id: String,
    target: Target,
    protocol: RebalanceProtocol,
    heartbeats: Heartbeats,
    /// Empty before the coordinator has given one.
    member_id: String,
    /// -1 outside of a generation.
    generation_id: i32,
    is_leader: bool,
    /// The shape of the topics of all members when this one, the leader, assigned.
    assigned_shape: Option<(BTreeSet<String>, Shape)>,
    /// What the program has.
    owned: Partitions,
    /// The last time that the program unsubscribed, as far as the member has followed it.
    given_up_at: u64,
    failures: u32,
}

/// Why a stable member goes on to something else.
enum Turn {
    Rejoin(&'static str),
    Lost(ErrorCode),
    Refused(ConsumerError),
    Leave(Leaving),
}

/// Why a round of joining did not end with an assignment.
enum Missed {
    /// Join again, at once.
    Again,
    /// Join again after a while.
    Later,
    /// This member is not known any more.
    Lost(ErrorCode),
    /// The group does not take this member.
    Refused(ConsumerError),
}

pub(super) async fn run(shared: Arc<Shared>) {
    let is_cooperative = shared
        .config
        .assignors
        .iter()
        .all(|assignor| assignor.protocol() == RebalanceProtocol::Cooperative);
    let group_id = shared.config.group_id.clone().unwrap_or_default();
    let mut member = Member {
        heartbeats: Heartbeats::start(&shared),
        target: Target::group(&*group_id),
        group_id,
        protocol: match is_cooperative {
            true => RebalanceProtocol::Cooperative,
            false => RebalanceProtocol::Eager,
        },
        member_id: String::new(),
        generation_id: -1,
        is_leader: false,
        assigned_shape: None,
        owned: Partitions::new(),
        given_up_at: 0,
        failures: 0,
        shared,
    };
    member.run().await;
}

impl Member {
    async fn run(&mut self) {
        let shared = Arc::clone(&self.shared);
        loop {
            let given_up_at = shared.group.given_up_at();
            if self.given_up_at != given_up_at {
                // Also if it subscribed again since: nothing of before is in its hands any more.
                self.given_up_at = given_up_at;
                self.owned.clear();
                self.leave(Leaving::Unsubscribed).await;
                self.lose(ErrorCode::UnknownMemberId).await;
            }
            let (subscribed, version) = shared.group.subscribed();
            let Some(subscribed) = subscribed else {
                if !self.wait_for_subscription().await {
                    return self.leave(Leaving::Closed).await;
                }
                continue;
            };
            let turn = match race(self.generation(&subscribed, version), shared.leaving()).await {
                Either::Left(turn) => turn,
                Either::Right(leaving) => Turn::Leave(leaving),
            };
            match turn {
                Turn::Rejoin(reason) => {
                    tracing::debug!(group = self.group_id, reason, "joining again");
                }
                Turn::Lost(code) => self.lose(code).await,
                Turn::Refused(error) => {
                    self.lose(error.error_code().unwrap_or_default()).await;
                    shared.fail(error);
                    // It is up to the program: it may poll again.
                    self.pause().await;
                }
                Turn::Leave(Leaving::Closed) => return self.leave(Leaving::Closed).await,
                Turn::Leave(leaving) => {
                    self.leave(leaving).await;
                    self.lose(ErrorCode::UnknownMemberId).await;
                    if leaving == Leaving::PolledTooSeldom {
                        shared.polled_again().await;
                    }
                }
            }
        }
    }

    /// Joins, and lives through a generation.
    async fn generation(&mut self, subscribed: &Subscribed, version: u64) -> Turn {
        let shared = Arc::clone(&self.shared);
        let mut orders = shared.work();
        let rejoins = shared.group.rejoins();
        match self.join(subscribed).await {
            Ok(()) => self.failures = 0,
            Err(Missed::Again) => return Turn::Rejoin("the group has moved on"),
            Err(Missed::Later) => {
                self.pause().await;
                return Turn::Rejoin("an attempt failed");
            }
            Err(Missed::Lost(code)) => return Turn::Lost(code),
            Err(Missed::Refused(error)) => return Turn::Refused(error),
        }
        let mut metadata_changes = shared.client.watch_metadata();
        // A time of its own: metadata of other topics, as those that the fetcher asks for, come
        // meanwhile and say nothing about these.
        let max_age = shared.client.renewal_interval();
        let mut refresh_at = shared.now() + max_age.saturating_sub(shared.client.metadata_age());
        loop {
            orders.borrow_and_update();
            if shared.group.subscribed().1 != version {
                return Turn::Rejoin("another subscription");
            }
            if shared.group.rejoins() != rejoins {
                return Turn::Rejoin("the program asks for it");
            }
            let heard = self.heartbeats.heard.borrow_and_update().clone();
            if let Some(turn) = self.turn_of(heard) {
                return turn;
            }
            if self.topics_changed(subscribed, &metadata_changes.borrow_and_update().clone()) {
                return Turn::Rejoin("the topics changed");
            }
            let rung = race(orders.changed(), metadata_changes.changed());
            let heard = race(self.heartbeats.heard.changed(), rung);
            let clock = &shared.client.env().clock;
            if let Either::Right(()) = race(heard, clock.sleep_until(refresh_at)).await {
                self.refresh(subscribed).await;
                refresh_at = shared.now() + max_age;
            }
        }
    }

    /// Asks for the metadata of what is subscribed to, as the leader by all members; a failure is
    /// no harm, it is old and good.
    async fn refresh(&mut self, subscribed: &Subscribed) {
        let deadline = self.shared.attempt_deadline();
        let mut asked = subscribed.asked();
        if let (TopicsAsked::Named(names), Some((topics, _)), true) =
            (&mut asked, &self.assigned_shape, self.is_leader)
        {
            names.extend(topics.iter().cloned());
        }
        if let Err(error) = self.shared.client.refresh(&asked, deadline).await {
            tracing::debug!(%error, "could not refresh metadata");
            self.failures += 1;
            self.pause().await;
        }
    }

    fn turn_of(&self, heard: Heard) -> Option<Turn> {
        let is_mine = |beating: &Beating| {
            beating.generation_id == self.generation_id && beating.member_id == self.member_id
        };
        match heard {
            Heard::Rebalance(beating) if is_mine(&beating) => Some(Turn::Rejoin("a rebalance")),
            Heard::Lost(beating, ErrorCode::FencedInstanceId) if is_mine(&beating) => {
                Some(Turn::Refused(self.refusal(ErrorCode::FencedInstanceId)))
            }
            Heard::Lost(beating, code) if is_mine(&beating) => Some(Turn::Lost(code)),
            Heard::Refused(beating, message, code) if is_mine(&beating) => {
                let about = format!("group {}", self.group_id);
                let error = Error::Broker { about, code, message: Some(message) };
                Some(Turn::Refused(error.into()))
            }
            _ => None,
        }
    }

    fn refusal(&self, code: ErrorCode) -> ConsumerError {
        Error::Broker { about: format!("group {}", self.group_id), code, message: None }.into()
    }

    /// Whether a rebalance would give another assignment: the leader watches the topics of all, and
    /// everybody what its own pattern matches.
    fn topics_changed(
        &self,
        subscribed: &Subscribed,
        metadata: &crate::metadata::ClusterMetadata,
    ) -> bool {
        let Some((topics, shape)) = &self.assigned_shape else { return false };
        if self.is_leader && topics::shape(topics, metadata) != *shape {
            return true;
        }
        matches!(subscribed, Subscribed::Pattern(_))
            && !subscribed.topics(&self.shared, metadata).is_subset(topics)
    }

    /// Hands an event to the poll and waits until it is done; heartbeats go on.
    async fn hand(&self, event: Event) {
        // The other end goes away with the event, when another one takes its place or the program
        // unsubscribes.
        let _ = self.shared.hand(event, self.given_up_at).await;
    }

    /// The member is not in the group any more: the program loses what it has.
    async fn lose(&mut self, code: ErrorCode) {
        tracing::info!(group = self.group_id, code = code.name(), "not a member any more");
        self.heartbeats.send_for(None);
        self.generation_id = -1;
        self.is_leader = false;
        self.assigned_shape = None;
        // In an old generation, the id is still good.
        if code != ErrorCode::IllegalGeneration {
            self.member_id.clear();
        }
        self.shared.group.set_member("", -1);
        let owned = std::mem::take(&mut self.owned);
        if !owned.is_empty() && !self.shared.is_closed() {
            self.hand_unless_closed(Event::Lose(owned)).await;
        }
    }

    async fn hand_unless_closed(&self, event: Event) {
        let handed = self.shared.hand(event, self.given_up_at);
        self.shared.unless_closed(handed).await;
    }

    async fn pause(&mut self) {
        self.failures += 1;
        let until = self.shared.retry_at(self.failures);
        let pause = self.shared.client.env().clock.sleep_until(until);
        self.shared.unless_closed(pause).await;
    }

    /// Gives false if the consumer is closed.
    async fn wait_for_subscription(&mut self) -> bool {
        let mut orders = self.shared.work();
        while !self.shared.is_closed() {
            orders.borrow_and_update();
            if self.shared.group.subscribed().0.is_some() {
                return true;
            }
            self.shared.wait(&mut orders, None).await;
        }
        false
    }

    /// Tells the coordinator; a static member stays, so that it can come back.
    async fn leave(&mut self, leaving: Leaving) {
        self.heartbeats.send_for(None);
        let is_static = self.shared.config.group_instance_id.is_some();
        let member_id = std::mem::take(&mut self.member_id);
        self.generation_id = -1;
        if member_id.is_empty() || (is_static && leaving == Leaving::Closed) {
            return;
        }
        let reason = match leaving {
            Leaving::Closed => "the consumer is closed",
            Leaving::Unsubscribed => "the consumer unsubscribed",
            Leaving::PolledTooSeldom => "max.poll.interval.ms passed without a poll",
        };
        if leaving == Leaving::PolledTooSeldom {
            tracing::warn!(group = self.group_id, "leaving the group: {reason}");
        }
        let deadline = self.shared.attempt_deadline();
        let sent = async {
            let connection = self.shared.client.connection(&self.target, deadline).await?;
            let key = afluente_protocol::api_key::ApiKey::LeaveGroup;
            let version = connection.version_of(key)?;
            let member = MemberIdentity {
                member_id: member_id.clone(),
                group_instance_id: None,
                reason: Some(reason.to_owned()),
            };
            let request = LeaveGroupRequest {
                group_id: self.group_id.clone(),
                member_id: if version < 3 { member_id.clone() } else { String::new() },
                members: if version < 3 { Vec::new() } else { vec![member] },
            };
            let timeout = self.shared.client.attempt_timeout(deadline);
            connection.submit(&request, version, timeout).await?.await
        };
        // If it is not heard, the session runs out.
        if let Err(error) = sent.await {
            let error: Error = error;
            tracing::debug!(group = self.group_id, %error, "could not leave");
        }
    }
}

//! One of the two brokers, a connection to it, and what a script has learnt from it.

use super::normal::Names;
use afluente_harness::broker::Broker;
use afluente_protocol::frame::{read_response_header, request_frame};
use afluente_protocol::message::{Message, Request};
use afluente_protocol::reader::Reader;
use afluente_protocol::uuid::Uuid;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// A broker that is silent for so long does not mean to answer.
const SILENCE: Duration = Duration::from_secs(40);

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer<M> {
    Response(M),
    Closed,
    /// Bytes that are no such response.
    Strange(String),
}

impl<M> Answer<M> {
    pub(crate) fn response(&self) -> Option<&M> {
        match self {
            Answer::Response(response) => Some(response),
            Answer::Closed | Answer::Strange(_) => None,
        }
    }
}

pub(crate) struct Peer {
    broker: Broker,
    stream: Option<TcpStream>,
    next_id: i32,
    pub(crate) names: Names,
    /// Of topics by name.
    pub(crate) topic_ids: BTreeMap<String, Uuid>,
    /// Id and epoch of the producer that the script last initialised.
    pub(crate) producer: (i64, i16),
    /// Of the group member that the script last joined.
    pub(crate) member_id: String,
    /// Of that member, in a group of the KIP-848 protocol; 0 before it has joined.
    pub(crate) member_epoch: i32,
    /// Of the incremental fetch session that the script last opened.
    pub(crate) session_id: i32,
}

impl Peer {
    pub(crate) fn new(broker: Broker) -> Self {
        Self {
            broker,
            stream: None,
            next_id: 1,
            names: Names::default(),
            topic_ids: BTreeMap::new(),
            producer: (-1, -1),
            member_id: String::new(),
            member_epoch: 0,
            session_id: 0,
        }
    }

    /// Begins a script: nothing is known, and the connection is a new one.
    pub(crate) fn forget(&mut self) {
        self.stream = None;
        self.names = Names::default();
        self.topic_ids.clear();
        self.producer = (-1, -1);
        self.member_id.clear();
        self.member_epoch = 0;
        self.session_id = 0;
    }

    /// The id of a topic that the script has made; an unknown one otherwise.
    pub(crate) fn topic_id(&self, name: &str) -> Uuid {
        self.topic_ids.get(name).copied().unwrap_or(Uuid([7; 16]))
    }

    pub(crate) fn ask<R: Request + Debug>(
        &mut self,
        request: &R,
        version: i16,
    ) -> Answer<R::Response> {
        let id = self.next_id;
        self.next_id += 1;
        let frame = request_frame(request, version, id, Some("script"))
            .unwrap_or_else(|error| panic!("{request:?} in version {version}: {error}"))
            .into_bytes();
        let Some(frame) = self.exchange(&frame) else { return Answer::Closed };
        let mut reader = Reader::new(frame.into());
        match read_response_header(&mut reader, R::KEY, version) {
            Ok(answered) if answered == id => {}
            other => return Answer::Strange(format!("{other:?}")),
        }
        let response = R::Response::decode(&mut reader, version);
        match response.and_then(|response| reader.expect_end().map(|()| response)) {
            Ok(response) => Answer::Response(response),
            Err(error) => Answer::Strange(error.to_string()),
        }
    }

    /// Sends `frame` behind its size; gives the answer's bytes, `None` if there is none.
    pub(crate) fn ask_raw(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = i32::try_from(frame.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend_from_slice(frame);
        self.exchange(&bytes)
    }

    fn exchange(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let stream = self.stream.get_or_insert_with(|| {
            let stream = TcpStream::connect(self.broker.bootstrap()).unwrap();
            stream.set_read_timeout(Some(SILENCE)).unwrap();
            stream.set_nodelay(true).unwrap();
            stream
        });
        let answer = (|| {
            stream.write_all(bytes)?;
            let mut size = [0; 4];
            stream.read_exact(&mut size)?;
            let mut frame = vec![0; usize::try_from(i32::from_be_bytes(size)).unwrap()];
            stream.read_exact(&mut frame)?;
            Ok::<_, std::io::Error>(frame)
        })();
        if answer.is_err() {
            self.stream = None;
        }
        answer.ok()
    }
}

//! Transactions over sockets, as a client that is late or lost speaks.

use crate::support::{Client, TestBroker, produce_request, run};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::end_txn_request::EndTxnRequest;
use afluente_protocol::messages::end_txn_response::EndTxnResponse;
use afluente_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use afluente_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use afluente_protocol::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use afluente_protocol::numbers::{ProducerEpoch, ProducerId};
use afluente_protocol::records::{
    BatchBuilder, BatchOptions, BatchProducer, Compressor, NewRecord,
};

const NAME: &str = "payments";
/// Of `Produce`: the first with which a partition joins a transaction by being written (KIP-890).
const PRODUCE: i16 = 12;
/// Of `EndTxn`: the first that ends a transaction and gives the epoch of the next one.
const END: i16 = 5;

fn code_of(number: i16) -> Option<ErrorCode> {
    ErrorCode::from_i16(number).filter(|_| number != 0)
}

async fn init(client: &mut Client) -> (i64, i16) {
    let find = FindCoordinatorRequest {
        key_type: 1,
        coordinator_keys: vec![NAME.to_owned()],
        ..Default::default()
    };
    let request = InitProducerIdRequest {
        transactional_id: Some(NAME.to_owned()),
        transaction_timeout_ms: 60_000,
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    };
    loop {
        client.call(&find, 4).await;
        let answer = client.call(&request, 5).await;
        match code_of(answer.error_code) {
            None => return (answer.producer_id, answer.producer_epoch),
            Some(code) => assert!(code.is_retriable(), "{code:?}"),
        }
    }
}

/// Writes one record in the transaction; gives the error.
async fn write(
    client: &mut Client,
    (id, epoch): (i64, i16),
    base_sequence: i32,
) -> Option<ErrorCode> {
    let producer = BatchProducer { id: ProducerId(id), epoch: ProducerEpoch(epoch), base_sequence };
    let options = BatchOptions { producer, is_transactional: true, ..Default::default() };
    let mut builder = BatchBuilder::new(options);
    let record = NewRecord { timestamp: 0, key: None, value: Some(b"1 EUR"), headers: &[] };
    builder.append(&record).unwrap();
    let mut request = produce_request(0, builder.finish(&mut Compressor::new()).unwrap(), -1);
    request.transactional_id = Some(NAME.to_owned());
    loop {
        let answer = client.call(&request, PRODUCE).await;
        let code = code_of(answer.responses[0].partition_responses[0].error_code);
        // The end of the last transaction is written behind its answer.
        if code != Some(ErrorCode::ConcurrentTransactions) {
            return code;
        }
    }
}

async fn end(client: &mut Client, (id, epoch): (i64, i16), committed: bool) -> EndTxnResponse {
    let request = EndTxnRequest {
        transactional_id: NAME.to_owned(),
        producer_id: id,
        producer_epoch: epoch,
        committed,
    };
    client.call(&request, END).await
}

/// Up to where everything is decided.
async fn last_stable_offset(client: &mut Client) -> i64 {
    let partition =
        ListOffsetsPartition { partition_index: 0, current_leader_epoch: -1, timestamp: -1 };
    let request = ListOffsetsRequest {
        replica_id: -1,
        isolation_level: 1,
        topics: vec![ListOffsetsTopic { name: "t".into(), partitions: vec![partition] }],
        ..Default::default()
    };
    client.call(&request, 7).await.topics[0].partitions[0].offset
}

/// Waits until a transaction is decided in the log, up to `offset`.
async fn decided(client: &mut Client, offset: i64) {
    while last_stable_offset(client).await < offset {}
}

/// Found by Jepsen in Kafka's protocol before KIP-890: a client commits, hears nothing, asks again
/// on another connection, is told that it is done and begins the next transaction; then the first
/// request arrives, and commits half of that one.
#[test]
fn an_end_that_comes_late_on_another_connection_does_not_tear_the_next_transaction() {
    run(async {
        for late_commits in [true, false] {
            let broker = TestBroker::start(&[]).await;
            let mut slow = broker.with_topic(1).await;
            let mut quick = broker.connect().await;
            let first = init(&mut quick).await;
            assert_eq!(write(&mut quick, first, 0).await, None);
            // The request on `slow` is on its way, and this is the second attempt.
            let ended = end(&mut quick, first, true).await;
            assert_eq!(ended.error_code, 0);
            let next = (ended.producer_id, ended.producer_epoch);
            assert_ne!(next, first, "the epoch is what tells a late request");
            decided(&mut quick, 2).await;

            assert_eq!(write(&mut quick, next, 0).await, None);
            let late = end(&mut slow, first, late_commits).await;
            let code = code_of(late.error_code);
            assert_eq!(code, Some(ErrorCode::ProducerFenced));
            assert_eq!(write(&mut slow, first, 1).await, Some(ErrorCode::InvalidProducerEpoch));
            // The transaction is open and whole: it goes on, and ends as its producer says.
            assert_eq!(last_stable_offset(&mut quick).await, 2);
            assert_eq!(write(&mut quick, next, 1).await, None);
            assert_eq!(end(&mut quick, next, false).await.error_code, 0);
            decided(&mut quick, 5).await;
        }
    });
}

/// The answer to an end may be lost as well: the same request again is told the same.
#[test]
fn an_end_that_is_asked_for_twice_is_told_the_same_epoch_twice() {
    run(async {
        let broker = TestBroker::start(&[]).await;
        let mut client = broker.with_topic(1).await;
        let first = init(&mut client).await;
        assert_eq!(write(&mut client, first, 0).await, None);
        let ended = end(&mut client, first, true).await;
        decided(&mut client, 2).await;
        let again = end(&mut client, first, true).await;
        let identity = |answer: &EndTxnResponse| {
            (answer.error_code, answer.producer_id, answer.producer_epoch)
        };
        assert_eq!(identity(&ended), identity(&again));
        // An abort of what is committed is another matter.
        let opposite = end(&mut client, first, false).await;
        assert_ne!(opposite.error_code, 0);
        assert_eq!(last_stable_offset(&mut client).await, 2);
    });
}

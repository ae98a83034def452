//! Real flights, replayed by their own times: those that left New York City in a week of 2013.
//!
//! The source has the departure from the gate and the minutes in the air; a flight is shown as
//! landed so many minutes after its departure. Where the data comes from: `data/README.md`.

use crate::pace::Pace;
use crate::record::{Outgoing, Topic};
use flate2::read::GzDecoder;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Read as _;

/// Departures, landings and cancellations, keyed by flight.
pub const FLIGHTS: Topic = Topic::of("flights", 3);

static FLIGHTS_CSV: &[u8] = include_bytes!("../data/flights.csv.gz");
static AIRLINES_CSV: &str = include_str!("../data/airlines.csv");
static AIRPORTS_CSV: &str = include_str!("../data/airports.csv");

const MINUTE_MS: i64 = 60_000;

/// Between the last event of the week and its first one again.
const PAUSE_MS: i64 = 60 * MINUTE_MS;

/// The week, and how far it has been replayed.
#[derive(Debug)]
pub struct Replay {
    /// Ordered by time.
    events: Vec<Event>,
    speed: f64,
    pace: Pace,
    /// Where the replay is, in the week's own time.
    at_ms: f64,
    next: usize,
    in_the_air: i64,
}

#[derive(Debug)]
struct Event {
    at_ms: i64,
    what: What,
    flight: std::sync::Arc<Flight>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum What {
    Landed,
    Departed,
    Cancelled,
}

#[derive(Debug)]
struct Flight {
    number: String,
    carrier: String,
    tail: String,
    origin: String,
    destination: String,
    scheduled_ms: i64,
    delay_minutes: Option<i64>,
    arrival_delay_minutes: Option<i64>,
    air_minutes: Option<i64>,
    distance_miles: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FlightEvent<'a> {
    event: What,
    flight: &'a str,
    carrier: &'a str,
    airline: &'a str,
    tail: &'a str,
    origin: &'a str,
    destination: &'a str,
    destination_name: Option<&'a str>,
    /// Unix milliseconds, in 2013.
    scheduled_departure: i64,
    time: i64,
    /// Minutes, at the gate: of the departure, or of the arrival.
    delay: Option<i64>,
    distance: i64,
    in_the_air: i64,
}

impl Replay {
    /// Unpacks the week. A `speed` of 60 replays an hour in a minute.
    ///
    /// # Panics
    /// If the data in this crate is not what its tests have seen.
    #[must_use]
    pub fn start(speed: f64) -> Self {
        let events = events();
        let at_ms = events[0].at_ms as f64;
        Self { events, speed, pace: Pace::new(), at_ms, next: 0, in_the_air: 0 }
    }

    /// What happened since the last step. After the last flight the week begins again.
    pub fn step(&mut self, now_ms: i64) -> Vec<Outgoing> {
        self.at_ms += self.pace.elapsed_ms(now_ms) as f64 * self.speed;
        let mut records = Vec::new();
        while let Some(event) = self.events.get(self.next) {
            if event.at_ms as f64 > self.at_ms {
                return records;
            }
            self.next += 1;
            self.in_the_air += match event.what {
                What::Departed => 1,
                What::Landed => -1,
                What::Cancelled => 0,
            };
            records.push(event.record(self.in_the_air));
        }
        let last_ms = self.events.last().map_or(0, |event| event.at_ms);
        if self.at_ms > (last_ms + PAUSE_MS) as f64 {
            (self.at_ms, self.next, self.in_the_air) = (self.events[0].at_ms as f64, 0, 0);
        }
        records
    }
}

impl Event {
    fn record(&self, in_the_air: i64) -> Outgoing {
        let flight = &*self.flight;
        let value = FlightEvent {
            event: self.what,
            flight: &flight.number,
            carrier: &flight.carrier,
            airline: column(AIRLINES_CSV, &flight.carrier).unwrap_or(&flight.carrier),
            tail: &flight.tail,
            origin: &flight.origin,
            destination: &flight.destination,
            destination_name: column(AIRPORTS_CSV, &flight.destination),
            scheduled_departure: flight.scheduled_ms,
            time: self.at_ms,
            delay: match self.what {
                What::Departed => flight.delay_minutes,
                What::Landed => flight.arrival_delay_minutes,
                What::Cancelled => None,
            },
            distance: flight.distance_miles,
            in_the_air,
        };
        Outgoing::new(FLIGHTS.name, &flight.number, &value)
    }
}

/// The second column of the line whose first one is `key`.
fn column(csv: &'static str, key: &str) -> Option<&'static str> {
    let fields = csv.lines().filter_map(|line| line.split_once(','));
    let (_, rest) = fields.into_iter().find(|(first, _)| *first == key)?;
    rest.split(',').next()
}

fn events() -> Vec<Event> {
    let mut text = String::new();
    GzDecoder::new(FLIGHTS_CSV).read_to_string(&mut text).expect("the data is whole");
    let mut lines = text.lines();
    let head = lines.next().expect("the data has a first line").split(',');
    let columns: BTreeMap<&str, usize> = head.enumerate().map(|(at, name)| (name, at)).collect();
    let mut events = Vec::new();
    for line in lines {
        let fields: Vec<&str> = line.split(',').collect();
        let field = |name: &str| fields[columns[name]];
        let number = |name: &str| field(name).parse::<i64>().ok();
        let hour = hour_ms(field("time_hour")).expect("each flight has an hour");
        let scheduled_ms = hour + number("minute").expect("and a minute") * MINUTE_MS;
        let flight = std::sync::Arc::new(Flight {
            number: format!("{}{}", field("carrier"), field("flight")),
            carrier: field("carrier").to_owned(),
            tail: field("tailnum").to_owned(),
            origin: field("origin").to_owned(),
            destination: field("dest").to_owned(),
            scheduled_ms,
            delay_minutes: number("dep_delay"),
            arrival_delay_minutes: number("arr_delay"),
            air_minutes: number("air_time"),
            distance_miles: number("distance").expect("and a distance"),
        });
        let mut happens = |at_ms, what| {
            events.push(Event { at_ms, what, flight: std::sync::Arc::clone(&flight) });
        };
        let Some(delay) = flight.delay_minutes else {
            happens(scheduled_ms, What::Cancelled);
            continue;
        };
        let departed_ms = scheduled_ms + delay * MINUTE_MS;
        // Without its minutes in the air a flight was diverted: it left, and is not seen again.
        if let Some(minutes) = flight.air_minutes {
            happens(departed_ms, What::Departed);
            happens(departed_ms + minutes * MINUTE_MS, What::Landed);
        }
    }
    events.sort_by_key(|event| (event.at_ms, event.what));
    events
}

/// Unix milliseconds of `2013-02-04T10:00:00Z`.
fn hour_ms(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T')?;
    let mut parts = date.split('-').map(str::parse::<i64>);
    let (year, month, day) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    let hour: i64 = time.get(..2)?.parse().ok()?;
    // Days from civil, for years that begin in March: the leap day is then the last one.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let era_day = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    Some((era_day - 719_468) * 86_400_000 + hour * 3_600_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_read_as_unix_time() {
        assert_eq!(hour_ms("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(hour_ms("2013-02-04T10:00:00Z"), Some(1_359_972_000_000));
        assert_eq!(hour_ms("2000-02-29T23:00:00Z"), Some(951_865_200_000));
        assert_eq!(hour_ms("nonsense"), None);
    }

    #[test]
    fn the_week_is_replayed_by_its_own_times_and_begins_again() {
        let mut replay = Replay::start(3_600.0);
        let count = replay.events.len();
        let (mut records, mut now_ms) = (Vec::new(), 0);
        while replay.next < count {
            now_ms += 50;
            records.extend(replay.step(now_ms));
        }
        assert!(
            (160_000..200_000).contains(&now_ms),
            "a week at an hour a second took {now_ms} ms"
        );
        let values: Vec<serde_json::Value> = records
            .iter()
            .map(|record| serde_json::from_slice(record.value.as_ref().unwrap()).unwrap())
            .collect();
        let of = |event: &str| values.iter().filter(|value| value["event"] == event).count();
        assert_eq!(of("cancelled"), 929);
        assert_eq!(of("departed"), of("landed"));
        assert!(of("departed") > 5_000);
        let times: Vec<i64> = values.iter().map(|value| value["time"].as_i64().unwrap()).collect();
        assert!(times.is_sorted());
        let most = values.iter().filter_map(|value| value["inTheAir"].as_i64()).max().unwrap();
        assert!((100..400).contains(&most), "{most}");
        assert!(values.iter().all(|value| value["inTheAir"].as_i64().unwrap() >= 0));
        assert!(values.iter().any(|value| value["airline"] == "United Air Lines Inc."));
        // An hour later, and the first flight leaves again.
        let again: Vec<_> = (1..=60).flat_map(|step| replay.step(now_ms + step * 50)).collect();
        assert!(!again.is_empty());
    }
}

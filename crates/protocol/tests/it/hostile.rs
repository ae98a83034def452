//! Damaged and malicious messages: never a panic, never memory that the bytes do not justify.

use afluente_protocol_schema::sample::{Dice, Sampler, Tags};
use bytes::Bytes;

use crate::allocation::peak_of;
use crate::subject::{self, Subject};

/// How many bytes of memory a byte on the wire may cost. An empty string is one byte there and 24
/// in memory, and a struct has room for fields that its version lacks.
const MEMORY_PER_BYTE_MAX: usize = 40;
/// What an error and the smallest message may cost.
const MEMORY_MIN: usize = 4096;

/// Decodes without looking at the result; panics if that costs more than it may.
fn decode(subject: &Subject, bytes: &Bytes, version: i16) -> usize {
    let (_, peak) = peak_of(|| subject.decode(bytes.clone(), version).is_ok());
    let allowed = MEMORY_MIN + MEMORY_PER_BYTE_MAX * bytes.len();
    let name = &subject.message.name;
    assert!(peak <= allowed, "{name} {version}: {peak} bytes for {} on the wire", bytes.len());
    peak
}

#[test]
fn a_message_cut_at_any_byte_is_no_message() {
    let mut dice = Dice::new(3);
    for subject in subject::all() {
        let sampler = Sampler::new(&subject.message);
        for version in subject.message.versions.iter() {
            let whole = Bytes::from(sampler.draw(version, Tags::WithUnknown, &mut dice));
            assert!(subject.decode(whole.clone(), version).is_ok());
            for end in 0..whole.len() {
                let cut = subject.decode(whole.slice(..end), version).map(|_| ());
                let error = cut.expect_err("every byte is needed");
                // A coordinator's record has two more bytes in front.
                assert!(error.offset() <= end + 2, "{error}");
            }
        }
    }
}

#[test]
fn any_flipped_bit_is_survived() {
    let mut dice = Dice::new(4);
    for subject in subject::all() {
        let sampler = Sampler::new(&subject.message);
        for version in subject.message.versions.iter() {
            let whole = sampler.draw(version, Tags::WithUnknown, &mut dice);
            // Of long messages a few hundred bits, spread evenly.
            let step = (whole.len() * 8).div_ceil(400).max(1);
            for bit in (0..whole.len() * 8).step_by(step) {
                let mut flipped = whole.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                decode(&subject, &Bytes::from(flipped), version);
            }
        }
    }
}

#[test]
fn counts_that_the_bytes_could_hold_cost_no_more_than_the_bytes() {
    const LEN: usize = 20_000;
    let mut dice = Dice::new(5);
    let mut worst = (0, String::new());
    for subject in subject::all() {
        let sampler = Sampler::new(&subject.message);
        for version in subject.message.versions.iter() {
            // At each place of a message, in case an array begins there, a count that the zeros
            // behind it could just make true, for elements of various sizes.
            let head = sampler.draw(version, Tags::Known, &mut dice);
            let flexible = subject.message.flexible.contains(version);
            for at in 0..head.len().min(200) {
                let element_size = 1 + dice.below(60) as usize;
                let count = (LEN - at - 8) / element_size;
                let mut bytes = head[..at].to_vec();
                if flexible {
                    let plus_one = count + 1;
                    bytes.extend([plus_one as u8 | 0x80, (plus_one >> 7) as u8 | 0x80]);
                    bytes.push((plus_one >> 14) as u8);
                } else {
                    bytes.extend((count as u32).to_be_bytes());
                }
                bytes.resize(LEN, 0);
                let peak = decode(&subject, &Bytes::from(bytes), version);
                if peak > worst.0 {
                    worst = (peak, format!("{} {version}", subject.message.name));
                }
            }
        }
    }
    assert!(worst.0 > 10 * LEN, "large counts were believed: {worst:?}");
}

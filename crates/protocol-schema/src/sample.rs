//! Random messages, written byte by byte from the schema alone.
//!
//! Shares no code with the generated encoders and decoders, and so tests them.

use crate::model::{Default, Field, Message, Plain, Struct, Type};

/// A small seeded generator (SplitMix64): the same seed draws the same messages everywhere.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// A generator that starts from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.bits() % bound
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// How to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tags {
    /// Only tags that the schema knows.
    Known,
    /// Also tags that it does not know, as a newer peer would send.
    WithUnknown,
}

/// Draws random messages of one kind.
#[derive(Clone, Debug)]
pub struct Sampler<'a> {
    message: &'a Message,
    structs: Vec<Struct>,
}

impl<'a> Sampler<'a> {
    /// A sampler of `message`.
    pub fn new(message: &'a Message) -> Self {
        let structs = message.structs().into_iter().map(|(found, _)| found).collect();
        Self { message, structs }
    }

    /// The bytes of a random message in `version`.
    pub fn draw(&self, version: i16, tags: Tags, dice: &mut Dice) -> Vec<u8> {
        let flexible = self.message.flexible.contains(version);
        let mut drawing =
            Drawing { structs: &self.structs, version, flexible, tags, dice, out: Vec::new() };
        drawing.fields(&self.structs[0], 0, Draw::Random);
        drawing.out
    }
}

/// Whether values are drawn or are the schema's defaults.
#[derive(Clone, Copy, PartialEq)]
enum Draw {
    Random,
    Defaults,
}

struct Drawing<'a> {
    structs: &'a [Struct],
    version: i16,
    flexible: bool,
    tags: Tags,
    dice: &'a mut Dice,
    out: Vec<u8>,
}

impl Drawing<'_> {
    fn fields(&mut self, of: &Struct, depth: u32, draw: Draw) {
        let version = self.version;
        let mut tagged: Vec<(u32, Vec<u8>)> = Vec::new();
        for field in of.fields.iter().filter(|field| field.versions.contains(version)) {
            match field.tag {
                Some((tag, _)) if field.is_tagged(version) => {
                    if draw == Draw::Random && self.dice.one_in(2) {
                        // A tagged field at its default is left out by every encoder.
                        let drawn = self.apart(|s| s.value(field, depth, Draw::Random));
                        let default = self.apart(|s| s.value(field, depth, Draw::Defaults));
                        if drawn != default {
                            tagged.push((tag, drawn));
                        }
                    }
                }
                _ => self.value(field, depth, draw),
            }
        }
        if !self.flexible {
            return;
        }
        if self.tags == Tags::WithUnknown && draw == Draw::Random && self.dice.one_in(2) {
            let tag = 1000 + self.dice.below(1_000_000) as u32;
            let size = self.dice.below(200);
            tagged.push((tag, (0..size).map(|_| self.dice.bits() as u8).collect()));
        }
        tagged.sort();
        self.varint(tagged.len() as u64);
        for (tag, bytes) in tagged {
            self.varint(u64::from(tag));
            self.varint(bytes.len() as u64);
            self.out.extend(bytes);
        }
    }

    /// What `write` writes, kept apart from what was written before.
    fn apart(&mut self, write: impl FnOnce(&mut Self)) -> Vec<u8> {
        let before = std::mem::take(&mut self.out);
        write(self);
        std::mem::replace(&mut self.out, before)
    }

    fn value(&mut self, field: &Field, depth: u32, draw: Draw) {
        let flexible = self.flexible && !field.inflexible;
        let nullable = field.nullable.contains(self.version);
        let null = match draw {
            Draw::Random => nullable && self.dice.one_in(4),
            Draw::Defaults => nullable && field.default == Default::Null,
        };
        match &field.kind {
            Type::Plain(plain) => {
                let number = match (&field.default, draw) {
                    (_, Draw::Random) => None,
                    (Default::Number(number), _) => Some(*number),
                    (Default::True, _) => Some(1),
                    _ => Some(0),
                };
                self.plain(*plain, number, null, flexible);
            }
            Type::Struct(name) => {
                if nullable {
                    // In a tagged field Kafka marks null as it does for lengths.
                    let null_mark = if field.is_tagged(self.version) { 0 } else { 0xff };
                    self.out.push(if null { null_mark } else { 1 });
                }
                if !null {
                    self.inner(name, depth, draw);
                }
            }
            Type::Array(element) => {
                let count = match draw {
                    Draw::Random => self.dice.below(u64::from(4_u32.saturating_sub(depth).max(2))),
                    Draw::Defaults => 0,
                };
                self.length(if null { None } else { Some(count) }, 4, flexible);
                for _ in 0..if null { 0 } else { count } {
                    match &**element {
                        Type::Plain(plain) => self.plain(*plain, None, false, flexible),
                        Type::Struct(name) => self.inner(name, depth + 1, draw),
                        Type::Array(_) => unreachable!("Kafka has no arrays of arrays"),
                    }
                }
            }
        }
    }

    fn inner(&mut self, name: &str, depth: u32, draw: Draw) {
        let inner = self.structs.iter().find(|found| found.name == name);
        self.fields(inner.expect("the parser checked that it is defined"), depth, draw);
    }

    /// A plain value: `number` where it is given, else random.
    fn plain(&mut self, plain: Plain, number: Option<i64>, null: bool, flexible: bool) {
        let size = match plain {
            Plain::String | Plain::Bytes | Plain::Records => {
                return self.text_or_bytes(plain, number.is_some(), null, flexible);
            }
            Plain::Bool => {
                let bit = number.unwrap_or_else(|| self.dice.below(2) as i64);
                self.out.push(bit as u8);
                return;
            }
            Plain::Uuid => {
                for _ in 0..16 {
                    let byte = if number.is_some() { 0 } else { self.dice.bits() as u8 };
                    self.out.push(byte);
                }
                return;
            }
            other => other.min_size(flexible),
        };
        // Small numbers are as likely as large ones, negative ones as positive ones.
        let random = (self.dice.bits() as i64) >> self.dice.below(64);
        let bytes = number.unwrap_or(random).to_be_bytes();
        self.out.extend(&bytes[8 - size..]);
    }

    fn text_or_bytes(&mut self, plain: Plain, empty: bool, null: bool, flexible: bool) {
        let limit = if self.dice.one_in(50) { 300 } else { 12 };
        let size = if empty || null { 0 } else { self.dice.below(limit) };
        let mut value: Vec<u8> = Vec::new();
        for _ in 0..size {
            if plain == Plain::String {
                let letters = ['a', 'k', 'Z', '0', '-', '_', '.', 'ñ', '→', '🜁', '\0'];
                let letter = letters[self.dice.below(letters.len() as u64) as usize];
                value.extend(letter.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                value.push(self.dice.bits() as u8);
            }
        }
        let width = if plain == Plain::String { 2 } else { 4 };
        self.length(if null { None } else { Some(value.len() as u64) }, width, flexible);
        self.out.extend(value);
    }

    /// A length in front of something, or the mark of null.
    fn length(&mut self, length: Option<u64>, width: usize, flexible: bool) {
        if flexible {
            self.varint(length.map_or(0, |length| length + 1));
        } else {
            let number = length.map_or(-1, |length| length as i64);
            self.out.extend(&number.to_be_bytes()[8 - width..]);
        }
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.out.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.out.push(number as u8);
    }
}

//! Randomness: from a seed in a simulation, from the operating system otherwise.

use parking_lot::Mutex;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A source of random numbers. Clones share it.
#[derive(Clone)]
pub struct Rng {
    generator: Arc<Mutex<Xoshiro256>>,
    secrets: Secrets,
}

/// Where [`Rng::fill`] takes its bytes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Secrets {
    OperatingSystem,
    /// A simulation must repeat, and has no secrets.
    Generator,
}

impl Rng {
    /// Seeded by the operating system; [`Rng::fill`] is fit for secrets.
    ///
    /// # Panics
    /// If the operating system has no randomness to give, without which nothing here is safe.
    #[must_use]
    pub fn real() -> Self {
        let mut seed = [0; 8];
        fill_from_operating_system(&mut seed);
        Self { secrets: Secrets::OperatingSystem, ..Self::seeded(u64::from_le_bytes(seed)) }
    }

    /// The same numbers for the same seed, bytes of [`Rng::fill`] included.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self {
            generator: Arc::new(Mutex::new(Xoshiro256::seeded(seed))),
            secrets: Secrets::Generator,
        }
    }

    /// A generator of its own, seeded from this one: what is drawn from either does not change
    /// what the other gives.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self { secrets: self.secrets, ..Self::seeded(self.u64()) }
    }

    /// Any number. Predictable to who has seen enough of them; secrets come from [`Rng::fill`].
    #[must_use]
    pub fn u64(&self) -> u64 {
        self.generator.lock().next()
    }

    /// A number in `range`, each as likely as the others.
    ///
    /// # Panics
    /// If the range is empty.
    #[must_use]
    pub fn range(&self, range: Range<u64>) -> u64 {
        assert!(range.start < range.end, "a random number from the empty range {range:?}");
        let width = range.end - range.start;
        // Numbers above the last multiple of `width` would favour the small remainders.
        let unbiased = u64::MAX - (u64::MAX % width + 1) % width;
        let mut generator = self.generator.lock();
        loop {
            let number = generator.next();
            if number <= unbiased {
                return range.start + number % width;
            }
        }
    }

    /// An index into something of `len` elements.
    ///
    /// # Panics
    /// If `len` is 0.
    #[must_use]
    pub fn index(&self, len: usize) -> usize {
        usize::try_from(self.range(0..len as u64)).expect("below a usize")
    }

    /// True with `probability`, from 0 (never) to 1 (always).
    #[must_use]
    pub fn chance(&self, probability: f64) -> bool {
        // 53 bits are what an f64 between 0 and 1 can tell apart.
        let unit = (self.u64() >> 11) as f64 / (1_u64 << 53) as f64;
        unit < probability
    }

    /// Fills `buf`; in the real world straight from the operating system, fit for secrets.
    ///
    /// # Panics
    /// If the operating system has no randomness to give.
    pub fn fill(&self, buf: &mut [u8]) {
        match self.secrets {
            Secrets::OperatingSystem => fill_from_operating_system(buf),
            Secrets::Generator => {
                let mut generator = self.generator.lock();
                for chunk in buf.chunks_mut(8) {
                    chunk.copy_from_slice(&generator.next().to_le_bytes()[..chunk.len()]);
                }
            }
        }
    }

    /// The 16 bytes of a random (version 4) UUID, RFC 9562.
    #[must_use]
    pub fn uuid(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.fill(&mut bytes);
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        bytes
    }

    /// Puts `items` into a random order.
    pub fn shuffle<T>(&self, items: &mut [T]) {
        for end in (2..=items.len()).rev() {
            items.swap(end - 1, self.index(end));
        }
    }
}

impl fmt::Debug for Rng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The state would let a reader of a log predict what comes.
        write!(f, "Rng({:?})", self.secrets)
    }
}

fn fill_from_operating_system(mut buf: &mut [u8]) {
    while !buf.is_empty() {
        match rustix::rand::getrandom(&mut *buf, rustix::rand::GetRandomFlags::empty()) {
            Ok(filled) => buf = &mut buf[filled..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("the operating system gives no random bytes: {error}"),
        }
    }
}

/// xoshiro256** by Blackman and Vigna ("Scrambled linear pseudorandom number generators", 2018):
/// quick, small, and equidistributed enough for schedules, jitter and sampling.
struct Xoshiro256([u64; 4]);

impl Xoshiro256 {
    /// Spreads the seed with splitmix64, as the authors advise: a state of zeros would stay zero.
    fn seeded(seed: u64) -> Self {
        let mut x = seed;
        Self(std::array::from_fn(|_| {
            x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = x;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }))
    }

    fn next(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.0;
        let result = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_seed_repeats_and_another_differs() {
        let draw = |seed| {
            let rng = Rng::seeded(seed);
            let mut bytes = [0; 13];
            rng.fill(&mut bytes);
            (rng.u64(), rng.range(3..1000), rng.uuid(), bytes, rng.fork().u64())
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn the_generator_matches_the_published_algorithm() {
        // State 1, 2, 3, 4: the first outputs follow by hand from the paper's definition.
        let mut generator = Xoshiro256([1, 2, 3, 4]);
        assert_eq!(
            [generator.next(), generator.next(), generator.next()],
            [11520, 0, 1_509_978_240]
        );
    }

    #[test]
    fn ranges_reach_both_ends_and_nothing_outside() {
        let rng = Rng::seeded(7);
        let mut seen = [0; 6];
        for _ in 0..6000 {
            seen[usize::try_from(rng.range(10..16)).unwrap() - 10] += 1;
        }
        assert!(seen.iter().all(|&count| (800..1200).contains(&count)), "{seen:?}");
        assert_eq!(rng.range(u64::MAX - 1..u64::MAX), u64::MAX - 1);
        assert!((0..100).all(|_| rng.chance(1.0) && !rng.chance(0.0)));
    }

    #[test]
    fn a_shuffle_keeps_every_item() {
        let rng = Rng::seeded(3);
        let mut items: Vec<u32> = (0..100).collect();
        rng.shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn real_uuids_differ_and_say_their_version() {
        let rng = Rng::real();
        let (one, two) = (rng.uuid(), rng.uuid());
        assert_ne!(one, two);
        assert_eq!((one[6] >> 4, one[8] >> 6), (4, 2));
    }
}

//! Seeds that every change has to live through.

use afluente_sim::{Scenario, run, run_as};

/// As many tests as this share the seeds, so that they run side by side.
const SEEDS_EACH: u64 = 25;

/// Seeds of a part, or those that the environment asks for: `AFLUENTE_SEED=17 AFLUENTE_SEEDS=1`
/// repeats one, `AFLUENTE_SEEDS=50000` runs many, best by the program, in a release build.
fn live(part: u64) {
    let number = |name| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    let (first, count) = (number("AFLUENTE_SEED"), number("AFLUENTE_SEEDS"));
    if (first.is_some() || count.is_some()) && part > 0 {
        return;
    }
    let first = first.unwrap_or(part * SEEDS_EACH);
    for seed in first..first + count.unwrap_or(SEEDS_EACH) {
        if let Err(failure) = run(seed, 0) {
            panic!("{failure}");
        }
    }
}

macro_rules! parts {
    ($($name:ident: $part:literal),*) => {
        $(
            #[test]
            fn $name() {
                live($part);
            }
        )*
    };
}

parts! {
    seeds_0_to_24: 0, seeds_25_to_49: 1, seeds_50_to_74: 2, seeds_75_to_99: 3,
    seeds_100_to_124: 4, seeds_125_to_149: 5, seeds_150_to_174: 6, seeds_175_to_199: 7
}

#[test]
fn groups_of_fifty_members_that_come_and_go_converge() {
    for seed in 0..2 {
        if let Err(failure) = run_as(seed, 0, Scenario::crowd) {
            panic!("{failure}");
        }
    }
}

#[test]
fn a_seed_repeats_a_life_exactly_and_another_is_another() {
    let (one, again, other) = (run(7, 0).unwrap(), run(7, 0).unwrap(), run(8, 0).unwrap());
    assert_eq!(one, again);
    assert_ne!(one.trace, other.trace);
}

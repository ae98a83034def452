//! What a request names more than once. Kafka answers each such thing once, with an error.

use std::collections::BTreeSet;

/// What of `named` stands in it more than once, made into what outlives the request by `own`.
pub(super) fn repeated<K: Ord + Copy, T: Ord>(
    named: impl Iterator<Item = K>,
    own: impl Fn(K) -> T,
) -> BTreeSet<T> {
    let mut once = BTreeSet::new();
    named.filter(|one| !once.insert(*one)).map(own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_comes_again_is_repeated() {
        let repeated = repeated(["a", "b", "a", "c", "a", "b"].into_iter(), str::to_owned);
        assert_eq!(repeated.into_iter().collect::<Vec<_>>(), ["a", "b"]);
    }
}

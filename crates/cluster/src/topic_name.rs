//! Which names a topic may have.

/// The longest name: a directory name has to hold it, with a suffix, in 255 characters.
const LEN_MAX: usize = 249;

/// Topics that the broker keeps for itself.
pub const INTERNAL: [&str; 3] =
    ["__consumer_offsets", "__transaction_state", "__share_group_state"];

/// Whether the broker keeps this topic for itself.
#[must_use]
pub fn is_internal(name: &str) -> bool {
    INTERNAL.contains(&name)
}

/// Checks a name.
///
/// # Errors
/// What is wrong with it, in Kafka's words: clients show them.
pub fn validate(name: &str) -> Result<(), String> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let problem = if name.is_empty() {
        "the empty string is not allowed".to_owned()
    } else if name == "." || name == ".." {
        format!("'{name}' is not allowed")
    } else if name.len() > LEN_MAX {
        format!("the length of '{name}' is longer than the max allowed length {LEN_MAX}")
    } else if !name.chars().all(is_legal) {
        format!(
            "'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and \
             '-'"
        )
    } else {
        return Ok(());
    };
    Err(format!("Topic name is invalid: {problem}"))
}

/// Metric names turn both characters into one, so that names that differ in them only collide.
#[must_use]
pub fn collide(a: &str, b: &str) -> bool {
    let unified = |name: &str| name.replace('.', "_");
    a != b && unified(a) == unified(b)
}

/// Whether the name has a character that could make it collide.
#[must_use]
pub fn may_collide(name: &str) -> bool {
    name.contains(['.', '_'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_as_kafka_does() {
        for name in ["a", "A.b_c-9", "__consumer_offsets", &"x".repeat(249)] {
            assert_eq!(validate(name), Ok(()), "{name}");
        }
        for (name, words) in [
            ("", "empty string"),
            (".", "'.' is not"),
            ("..", "'..' is not"),
            (&"x".repeat(250), "max allowed length 249"),
            ("a b", "ASCII alphanumerics"),
            ("ação", "ASCII alphanumerics"),
            ("a/b", "ASCII alphanumerics"),
        ] {
            assert!(validate(name).is_err_and(|error| error.contains(words)), "{name}");
        }
        assert!(collide("a.b", "a_b") && !collide("a.b", "a.b") && !collide("a.b", "ab"));
    }
}

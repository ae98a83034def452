//! Who may come in: everybody, or those who know a name and a password (RFC 7617).
//!
//! One account is what a console on a laptop or behind a proxy needs. Users, roles and tokens are
//! not here.

use crate::problem::Problem;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use http::header::{self, HeaderMap};
use std::fmt;

/// The door.
#[derive(Clone, Default)]
pub enum Login {
    /// Open to whoever reaches the port.
    #[default]
    Open,
    /// One account.
    Password {
        /// Its name.
        user: String,
        /// Its password.
        password: String,
    },
}

impl Login {
    /// Looks for the name and the password.
    ///
    /// # Errors
    /// When they are wrong or absent.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Self::Password { user, password } = self else { return Ok(()) };
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|text| text.strip_prefix("Basic "));
        let given = given.and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
        if is_same(&given, format!("{user}:{password}").as_bytes()) {
            return Ok(());
        }
        Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "LOGIN_REQUIRED",
            "refused the request",
            "it lacks the right name and password",
        ))
    }
}

/// Compares without telling by its time how much of a guess was right.
fn is_same(given: &[u8], expected: &[u8]) -> bool {
    let differences = given.iter().zip(expected).fold(0, |sum, (one, other)| sum | (one ^ other));
    given.len() == expected.len() && std::hint::black_box(differences) == 0
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("Open"),
            Self::Password { user, .. } => write!(f, "Password({user})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_opens() {
        let login = Login::Password { user: "ana".to_owned(), password: "río:1".to_owned() };
        let check = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            login.check(&headers).is_ok()
        };
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert!(check(&basic("ana:río:1")));
        for wrong in ["ana:río:2", "ana:río:", "ana:río:11", "", "bob:río:1"] {
            assert!(!check(&basic(wrong)), "{wrong}");
        }
        assert!(!check("Basic ***"));
        assert!(login.check(&HeaderMap::new()).is_err());
        assert!(Login::Open.check(&HeaderMap::new()).is_ok());
        assert!(!format!("{login:?}").contains("río"));
    }
}

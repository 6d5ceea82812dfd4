//! User names that carry wishes: `alice-session-abc1-reply-truthful`.
//!
//! A name is the user and pairs of key and value, all separated by `-`:
//!
//! ```text
//! name    = user *( "-" key "-" value )     at most 255 bytes
//! key     = one that a parameter has, in either case, each at most once
//! value   = 1*64( ALPHA / DIGIT / "." / "_" / "~" )     "~" stands for "-"
//! ```
//!
//! The user is whatever stands before the first `-`; whether there is such a one is not judged here.
//! What is wrong with the rest is for those to hear whose password was right.

mod value;

use super::wishes::{BadParameter, KEYS, Problem, Wishes};

/// The longest user name, in bytes: what RFC 1929 can carry.
pub const USER_NAME_LEN_MAX: usize = 255;

/// A user name taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UserName<'a> {
    /// Whose password must be right.
    pub user: &'a str,
    /// What else the name says.
    pub wishes: Result<Wishes, BadParameter>,
}

impl<'a> UserName<'a> {
    /// Takes a name apart, in time linear in its length.
    #[must_use]
    pub fn parse(name: &'a str) -> Self {
        let (user, rest) = match name.split_once('-') {
            Some((user, rest)) => (user, Some(rest)),
            None => (name, None),
        };
        let wishes = if name.len() > USER_NAME_LEN_MAX {
            Err(BadParameter::new("", Problem::TooLong(USER_NAME_LEN_MAX)))
        } else {
            rest.map_or_else(|| Ok(Wishes::default()), parse_wishes)
        };
        Self { user, wishes }
    }
}

fn parse_wishes(pairs: &str) -> Result<Wishes, BadParameter> {
    let mut wishes = Wishes::default();
    let mut seen = [false; KEYS.len()];
    let mut parts = pairs.split('-');
    while let Some(key) = parts.next() {
        let known = KEYS.iter().find(|(name, _)| key.eq_ignore_ascii_case(name));
        let Some(&(_, parameter)) = known else {
            return Err(BadParameter::new(key, Problem::Unknown));
        };
        if core::mem::replace(&mut seen[parameter as usize], true) {
            return Err(BadParameter::of(parameter, Problem::Repeated));
        }
        let value = parts.next().filter(|value| !value.is_empty());
        let value = value.ok_or_else(|| BadParameter::of(parameter, Problem::Missing))?;
        value::read(parameter, value, &mut wishes)
            .ok_or_else(|| BadParameter::of(parameter, Problem::Value(value.into())))?;
    }
    wishes.check()?;
    Ok(wishes)
}

#[cfg(test)]
mod tests;

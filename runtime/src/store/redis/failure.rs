//! Why an operation has no answer, and what is to be done about it.

use crate::store::StoreError;
use redis::{ErrorKind, RedisError, ServerErrorKind};

/// Why an operation has no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server cannot be reached, or is not one to ask.
    Away(String),
    /// It is there and not ready yet: whoever asks may wait.
    NotReady(String),
    /// What the server or the connection says.
    Server(RedisError),
    /// The connection was of no use any more before anything was asked.
    Stale(RedisError),
    /// There was no time left; and why it was tried again before, if it was.
    Late(Option<String>),
    /// It happened, now or before, and no replica is known to have it although there is one.
    Unconfirmed,
    /// The server was the primary when it was asked, and is none any more: what it has will be dropped.
    Demoted,
}

/// What to do about a failure.
pub(super) struct Verdict {
    pub(super) error: StoreError,
    /// The connection is of no use any more.
    pub(super) lost: bool,
    /// Nor is any other one to this server: another one is the primary.
    pub(super) moved: bool,
    pub(super) again: Again,
}

/// When an operation may be tried again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Again {
    Never,
    /// It did not happen.
    Always,
    /// It may have happened.
    IfRepeatable,
}

impl Failure {
    pub(super) fn judge(self) -> Verdict {
        let unavailable = |text: String, lost, again| Verdict {
            error: StoreError::unavailable(format!("Redis: {text}")),
            lost,
            moved: false,
            again,
        };
        let error = match self {
            Self::Away(text) => return unavailable(text, false, Again::Never),
            Self::NotReady(text) => return unavailable(text, false, Again::Always),
            late @ Self::Late(_) => return unavailable(late.into_text(), true, Again::Never),
            Self::Unconfirmed => {
                let text = "no replica confirms it, though one is connected: it would be lost if the \
                            replica took over; try again";
                return unavailable(text.to_owned(), false, Again::Never);
            }
            Self::Demoted => {
                let text = "the server became a replica before another one had it; try again";
                return Verdict {
                    moved: true,
                    ..unavailable(text.to_owned(), true, Again::IfRepeatable)
                };
            }
            Self::Stale(error) => return unavailable(describe(&error), true, Again::Always),
            Self::Server(error) => error,
        };
        let meant = |error| Verdict {
            error,
            lost: false,
            moved: false,
            again: Again::Never,
        };
        match error.code() {
            Some("EXISTS") => return meant(StoreError::Exists),
            Some("WINDOW") => return meant(StoreError::Window),
            Some("SUPERSEDED") => return meant(StoreError::Superseded),
            // Another server is the primary now, or this one is not ready to be: nothing happened.
            Some("READONLY" | "MASTERDOWN") => {
                return Verdict {
                    moved: true,
                    ..unavailable(describe(&error), true, Again::Always)
                };
            }
            Some("LOADING" | "NOREPLICAS" | "TRYAGAIN") => {
                return unavailable(describe(&error), false, Again::Always);
            }
            Some("NOAUTH" | "WRONGPASS") => {
                return unavailable(describe(&error), true, Again::Never);
            }
            _ => {}
        }
        let broken = error.is_unrecoverable_error()
            || error.is_io_error()
            || error.kind() == ErrorKind::Parse;
        let again = if broken {
            Again::IfRepeatable
        } else {
            Again::Never
        };
        unavailable(describe(&error), broken, again)
    }

    /// Makes the failure of what is asked behind an act that has happened, to have it kept.
    pub(super) fn behind(error: RedisError) -> Self {
        match error.code() {
            Some("READONLY" | "MASTERDOWN") => Self::Demoted,
            Some("NOREPLICAS" | "LOADING" | "TRYAGAIN") => Self::Unconfirmed,
            _ => Self::Server(error),
        }
    }

    /// Makes the failure of a connection that could not be prepared for operations.
    pub(super) fn of_connecting(error: RedisError) -> Self {
        match error.code() {
            Some("LOADING" | "MASTERDOWN" | "READONLY") => Self::NotReady(describe(&error)),
            _ => Self::Away(describe(&error)),
        }
    }

    /// Says the same to the next who asks for a connection.
    pub(super) fn remembered(&self) -> Self {
        match self {
            Self::NotReady(text) => Self::NotReady(text.clone()),
            Self::Away(text) => Self::Away(text.clone()),
            Self::Server(error) | Self::Stale(error) => Self::Away(describe(error)),
            Self::Demoted => Self::Away(Self::Demoted.into_text()),
            Self::Late(_) | Self::Unconfirmed => Self::Away("it does not answer".to_owned()),
        }
    }

    /// Returns what an operator reads.
    pub(super) fn into_text(self) -> String {
        match self {
            Self::Away(text) | Self::NotReady(text) => text,
            Self::Server(error) | Self::Stale(error) => describe(&error),
            Self::Late(None) => "no answer in time".to_owned(),
            Self::Late(Some(before)) => format!("no answer in time, and before that: {before}"),
            Self::Unconfirmed => "no replica confirms it".to_owned(),
            Self::Demoted => "the server is a replica now".to_owned(),
        }
    }
}

/// Says what failed without what was sent.
pub(super) fn describe(error: &RedisError) -> String {
    if error.kind() == ErrorKind::AuthenticationFailed {
        return "it refuses the user or the password of the address".to_owned();
    }
    if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) {
        return "its access list does not allow the user of the address what Titan needs, which \
                docs/store.md lists"
            .to_owned();
    }
    match (error.code(), error.detail()) {
        // As the server writes it, and operators look it up.
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Again, Failure};
    use crate::store::StoreError;
    use redis::Value;

    #[test]
    fn what_a_server_says_decides_whether_it_is_asked_again() {
        let cases = [
            (
                "READONLY You can't write against a read only replica.",
                true,
                Again::Always,
            ),
            ("MASTERDOWN Link with MASTER is down", true, Again::Always),
            (
                "LOADING Redis is loading the dataset in memory",
                false,
                Again::Always,
            ),
            (
                "NOREPLICAS Not enough good replicas to write.",
                false,
                Again::Always,
            ),
            (
                "WRONGPASS invalid username-password pair",
                true,
                Again::Never,
            ),
            (
                "OOM command not allowed when used memory > 'maxmemory'.",
                false,
                Again::Never,
            ),
            ("ERR unknown command", false, Again::Never),
            ("EXISTS the name is taken", false, Again::Never),
        ];
        for (text, lost, again) in cases {
            let said = redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).unwrap();
            let Value::ServerError(error) = said else {
                panic!("{text} is no error");
            };
            let failure = Failure::Server(error.into());
            assert_eq!(failure.remembered().into_text(), text);
            let verdict = failure.judge();
            assert_eq!((verdict.lost, verdict.again), (lost, again), "{text}");
            let moved = text.starts_with("READONLY") || text.starts_with("MASTERDOWN");
            assert_eq!(verdict.moved, moved, "{text}");
            let is_meant = verdict.error == StoreError::Exists;
            assert_eq!(is_meant, text.starts_with("EXISTS"), "{text}");
        }
        let verdict = Failure::Demoted.judge();
        assert!(verdict.lost && verdict.moved);
        assert_eq!(verdict.again, Again::IfRepeatable);
        let broken = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        let verdict = Failure::Server(broken.into()).judge();
        assert_eq!((verdict.lost, verdict.again), (true, Again::IfRepeatable));
    }

    #[test]
    fn what_has_happened_is_not_taken_for_what_has_not() {
        for text in [
            "READONLY You can't write against a read only replica.",
            "MASTERDOWN Link with MASTER is down",
            "LOADING Redis is loading the dataset in memory",
            "NOREPLICAS Not enough good replicas to write.",
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "ERR unknown command",
        ] {
            let said = redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).unwrap();
            let Value::ServerError(error) = said else {
                panic!("{text} is no error");
            };
            let verdict = Failure::behind(error.into()).judge();
            assert_ne!(verdict.again, Again::Always, "{text}");
        }
    }
}

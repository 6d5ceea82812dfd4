//! What a store's address says: where the server is, who asks it, and whether by TLS.

use core::fmt;
use redis::{ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo};
use std::path::PathBuf;

/// The port of sentinels whose address names none.
const SENTINEL_PORT: u16 = 26_379;

/// What to do about an address that cannot be read although it looks like one.
const ENCODE: &str = "cannot be read: in a user name or password every character that is neither a \
                      letter nor a digit is written as % and two hexadecimal digits, # as %23, / as \
                      %2F, @ as %40, : as %3A, ? as %3F";
const FORM: &str = "cannot be read: it must be as redis://user:password@host:6379/0, rediss:// for \
                    TLS, redis+unix:///run/redis.sock?db=0, or \
                    redis+sentinel://user:password@host1:26379,host2:26379/service/0";

/// A store's address. Its debug form shows nothing, since it may hold passwords.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) place: Place,
    /// Who asks, and which database.
    pub(super) login: RedisConnectionInfo,
    /// The PEM file of the authority that signed the server's certificate, if TLS is asked for.
    pub(super) tls: Option<PathBuf>,
}

/// Where a server is.
#[derive(Clone)]
pub(super) enum Place {
    Host(Host),
    Socket(PathBuf),
    /// Wherever the primary of this service is, as most of the sentinels say.
    Sentinels {
        hosts: Vec<Host>,
        service: String,
        login: RedisConnectionInfo,
    },
}

/// A name or address, and a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) port: u16,
}

/// The parameters that are ours and not the client's.
#[derive(Default)]
struct Parameters {
    ca: Option<PathBuf>,
    sentinel_user: Option<String>,
    sentinel_password: Option<String>,
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// Says what to do, and repeats nothing of it.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = text.split_once("://").ok_or(FORM)?;
        let (rest, parameters) = Parameters::take(rest)?;
        let tls = match (scheme, parameters.ca.clone()) {
            ("rediss" | "rediss+sentinel", Some(ca)) => Some(ca),
            ("rediss" | "rediss+sentinel", None) => {
                return Err(
                    "asks for TLS and names no authority: add ?ca=FILE, the PEM file of the \
                            certificate authority of the server, since the system's are not used",
                );
            }
            (_, Some(_)) => return Err("names a ca, which needs rediss://"),
            (_, None) => None,
        };
        let (place, login) = match scheme {
            "redis" | "rediss" => server(&format!("redis://{rest}"))?,
            "redis+unix" | "unix" => server(text)?,
            "redis+sentinel" | "rediss+sentinel" => sentinels(&rest, parameters)?,
            _ => return Err(FORM),
        };
        Ok(Self { place, login, tls })
    }
}

impl Parameters {
    /// Takes what is ours out of the query.
    fn take(rest: &str) -> Result<(String, Self), &'static str> {
        let mut ours = Self::default();
        let Some((before, query)) = rest.split_once('?') else {
            return Ok((rest.to_owned(), ours));
        };
        // Behind an unencoded question mark in a password stands the host.
        if query.contains('@') && !before.contains('@') {
            return Err(ENCODE);
        }
        let mut theirs = Vec::new();
        for parameter in query.split('&') {
            match parameter.split_once('=') {
                Some(("ca", file)) => ours.ca = Some(decoded(file)?.into()),
                Some(("sentinel_user", user)) => ours.sentinel_user = Some(decoded(user)?),
                Some(("sentinel_password", word)) => ours.sentinel_password = Some(decoded(word)?),
                _ => theirs.push(parameter),
            }
        }
        let left = if theirs.is_empty() {
            before.to_owned()
        } else {
            format!("{before}?{}", theirs.join("&"))
        };
        Ok((left, ours))
    }
}

/// Reads the address of one server as the client does.
fn server(text: &str) -> Result<(Place, RedisConnectionInfo), &'static str> {
    let behind = text.split_once("://").map_or("", |(_, behind)| behind);
    // What ends a host stands before the sign that ends a password: it belongs to the password.
    let authority = behind.split(['/', '#']).next().unwrap_or_default();
    if behind.contains('#') || behind.matches('@').count() > authority.matches('@').count() {
        return Err(ENCODE);
    }
    let info = text.into_connection_info().map_err(|_| {
        if authority.contains('@') {
            ENCODE
        } else {
            FORM
        }
    })?;
    let place = if let ConnectionAddr::Tcp(name, port) = info.addr() {
        Place::Host(Host {
            name: name.trim_matches(['[', ']']).to_owned(),
            port: *port,
        })
    } else if let ConnectionAddr::Unix(path) = info.addr() {
        Place::Socket(path.clone())
    } else {
        return Err(FORM);
    };
    Ok((place, info.redis_settings().clone()))
}

/// Reads `user:password@host1:port,host2:port/service/db`.
fn sentinels(
    rest: &str,
    parameters: Parameters,
) -> Result<(Place, RedisConnectionInfo), &'static str> {
    let (credentials, rest) = match rest.rsplit_once('@') {
        Some((credentials, rest)) => (format!("{credentials}@"), rest),
        None => (String::new(), rest),
    };
    let mut path = rest.split('/');
    let hosts = path.next().unwrap_or_default();
    let service = path.next().filter(|service| !service.is_empty());
    let service =
        service.ok_or("names no service: it must end as in host1:26379,host2:26379/service")?;
    let database = path.next().unwrap_or("0");
    // Any host does: only who asks and which database is read.
    let (_, login) = server(&format!("redis://{credentials}localhost/{database}"))?;
    let hosts: Vec<Host> = hosts.split(',').map(sentinel).collect::<Result<_, _>>()?;
    let mut asker = RedisConnectionInfo::default();
    if let Some(user) = parameters.sentinel_user {
        asker = asker.set_username(user);
    }
    if let Some(password) = parameters.sentinel_password {
        asker = asker.set_password(password);
    }
    let service = decoded(service)?;
    let place = Place::Sentinels {
        hosts,
        service,
        login: asker,
    };
    Ok((place, login))
}

fn sentinel(text: &str) -> Result<Host, &'static str> {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port))
            if !name.ends_with(':') && (!name.contains(':') || name.ends_with(']')) =>
        {
            (name, port.parse().map_err(|_| FORM)?)
        }
        _ => (text, SENTINEL_PORT),
    };
    let name = name.trim_matches(['[', ']']);
    if name.is_empty() {
        return Err(FORM);
    }
    Ok(Host {
        name: name.to_owned(),
        port,
    })
}

/// Reads what is percent-encoded.
fn decoded(text: &str) -> Result<String, &'static str> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (digits, after) = rest.split_first_chunk::<2>().ok_or(ENCODE)?;
        let digits = core::str::from_utf8(digits).map_err(|_| ENCODE)?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| ENCODE)?);
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| ENCODE)
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Address {
        Address::parse(text).unwrap_or_else(|error| panic!("{text} {error}"))
    }

    fn refused(text: &str) -> &'static str {
        let error = Address::parse(text).unwrap_err();
        assert!(!error.contains("s3cret"));
        error
    }

    #[test]
    fn a_server_has_a_user_a_database_and_perhaps_tls() {
        let address = read("redis://ann:p%23a%2Fs%40s@cache.example:7000/3");
        assert_eq!(address.login.username(), Some("ann"));
        assert_eq!(address.login.password(), Some("p#a/s@s"));
        assert_eq!(address.login.db(), 3);
        assert!(address.tls.is_none());
        let Place::Host(host) = address.place else {
            panic!("no host");
        };
        assert_eq!((&*host.name, host.port), ("cache.example", 7_000));

        let address = read("rediss://:s3cret@[2001:db8::1]:6380/0?ca=/etc/titan/redis%20ca.pem");
        assert_eq!(address.tls, Some("/etc/titan/redis ca.pem".into()));
        let Place::Host(host) = address.place else {
            panic!("no host");
        };
        assert_eq!((&*host.name, host.port), ("2001:db8::1", 6_380));
        assert!(matches!(
            read("redis+unix:///run/redis.sock?db=7").place,
            Place::Socket(_)
        ));
    }

    #[test]
    fn sentinels_have_hosts_a_service_and_a_login_of_their_own() {
        let address = read(
            "redis+sentinel://ann:word@a.example,[2001:db8::1]:1,10.0.0.1:2/titan/5\
             ?sentinel_user=watch&sentinel_password=s%3Ap",
        );
        assert_eq!(
            (address.login.username(), address.login.db()),
            (Some("ann"), 5)
        );
        let Place::Sentinels {
            hosts,
            service,
            login,
        } = address.place
        else {
            panic!("no sentinels");
        };
        let hosts: Vec<_> = hosts.iter().map(|host| (&*host.name, host.port)).collect();
        assert_eq!(
            hosts,
            [("a.example", 26_379), ("2001:db8::1", 1), ("10.0.0.1", 2)]
        );
        assert_eq!(service, "titan");
        assert_eq!(
            (login.username(), login.password()),
            (Some("watch"), Some("s:p"))
        );
    }

    #[test]
    fn what_cannot_be_read_says_what_to_do() {
        for text in [
            "redis://:p#a/s@s3cret@127.0.0.1:41160/0",
            "redis://:s3cret/x@127.0.0.1:6379",
            "redis://:s3cret#x@127.0.0.1:6379",
            "redis://:s3cret?x@127.0.0.1:6379",
        ] {
            assert!(refused(text).contains("%23"), "{text}: {}", refused(text));
        }
        for text in [
            "redis://",
            "redis://:s3cret@:what",
            "rediss+sentinel://?ca=/x",
            "http://x",
        ] {
            refused(text);
        }
        assert!(refused("rediss://cache:6379").contains("?ca=FILE"));
        assert!(refused("redis://cache:6379?ca=/x").contains("rediss://"));
        assert!(refused("redis+sentinel://a,b").contains("service"));
    }
}

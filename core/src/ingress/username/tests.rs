#![allow(clippy::unwrap_used, reason = "tests")]

use super::value::VALUE_LEN_MAX;
use super::{USER_NAME_LEN_MAX, UserName};
use crate::exit::lease::SessionName;
use crate::ingress::wishes::KEYS;
use crate::ingress::{Answering, BadParameter, Mode, Parameter, Problem, Wishes};
use crate::target::{Host, Target};
use crate::time::Duration;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use proptest::prelude::*;
use titan_proto::Code;
use titan_proto::wire::create::Family;

fn wishes(rest: &str) -> Result<Wishes, BadParameter> {
    let name = format!("alice-{rest}");
    let parsed = UserName::parse(&name);
    assert_eq!(parsed.user, "alice");
    parsed.wishes
}

fn problem(rest: &str) -> (Box<str>, Problem) {
    let bad = wishes(rest).unwrap_err();
    (bad.parameter().into(), bad.problem().clone())
}

#[test]
fn a_name_without_wishes_is_a_user_whatever_it_is() {
    for name in ["alice", "", "a.b_c@d", "名前", "s1.abc"] {
        let parsed = UserName::parse(name);
        assert_eq!(parsed.user, name);
        assert_eq!(parsed.wishes, Ok(Wishes::default()));
    }
}

#[test]
fn every_parameter_is_read() {
    let all = "session-a~B_1-ttl-90s-country-de-city-new_york-asn-3320-node-edge~1-tag-fast.x-\
               mode-strict-reply-truthful-ip-6-zone-static";
    let expected = Wishes {
        session: SessionName::new("a-B_1"),
        ttl: Some(Duration::from_secs(90)),
        country: Some(*b"DE"),
        city: Some("new_york".into()),
        asn: Some(3320),
        node: Some("edge-1".into()),
        tag: Some("fast.x".into()),
        mode: Some(Mode::Strict),
        reply: Some(Answering::Truthful),
        ip: Some(Family::Ipv6),
        zone: Some("static".into()),
    };
    assert_eq!(wishes(all), Ok(expected.clone()));
    let loud: Vec<_> = all
        .split('-')
        .enumerate()
        .map(|(at, part)| {
            if at % 2 == 0 {
                part.to_uppercase()
            } else {
                part.into()
            }
        })
        .collect();
    assert_eq!(wishes(&loud.join("-")), Ok(expected));
}

#[test]
fn older_clients_are_understood() {
    let name = "acct-zone-static-region-us-session-1312a838o-sessTime-5";
    let wishes = UserName::parse(name).wishes.unwrap();
    assert_eq!(wishes.country, Some(*b"US"));
    assert_eq!(wishes.ttl, Some(Duration::from_secs(300)));
    assert_eq!(wishes.session, SessionName::new("1312a838o"));
}

#[test]
fn what_is_wrong_is_named() {
    let of = |parameter: &str, problem: Problem| (Box::from(parameter), problem);
    for (rest, expected) in [
        ("", of("", Problem::Unknown)),
        ("color-red", of("color", Problem::Unknown)),
        ("session-a-session-b", of("session", Problem::Repeated)),
        ("session-a-ttl-1-sesstime-2", of("ttl", Problem::Repeated)),
        ("country-de-region-us", of("country", Problem::Repeated)),
        ("session", of("session", Problem::Missing)),
        ("session--ip-4", of("session", Problem::Missing)),
        ("session-a.b", of("session", Problem::Value("a.b".into()))),
        (
            "mode-sometimes",
            of("mode", Problem::Value("sometimes".into())),
        ),
        ("ip-5", of("ip", Problem::Value("5".into()))),
        ("ttl-5", of("ttl", Problem::Needs(Parameter::Session))),
        (
            "session-a-mode-rotate",
            of("mode", Problem::Contradicts(Parameter::Session)),
        ),
        (
            "mode-rotate-session-a",
            of("mode", Problem::Contradicts(Parameter::Session)),
        ),
    ] {
        assert_eq!(problem(rest), expected, "{rest}");
        assert_eq!(wishes(rest).unwrap_err().code(), Code::BadParameters);
    }
}

#[test]
fn values_have_bounds() {
    let longest = "x".repeat(VALUE_LEN_MAX);
    assert!(wishes(&format!("session-{longest}")).is_ok());
    assert!(wishes(&format!("session-{longest}x")).is_err());
    for (rest, fits) in [
        ("ttl-0", false),
        ("ttl-1s", true),
        ("ttl-30d", true),
        ("ttl-720h", true),
        ("ttl-721h", false),
        ("ttl-31d", false),
        ("ttl-99999999999999999999", false),
        ("ttl-307445734561825861m", false),
        ("ttl-m", false),
        ("ttl-5w", false),
        ("ttl-1.5h", false),
        ("asn-0", false),
        ("asn-1", true),
        ("asn-4294967295", true),
        ("asn-4294967296", false),
        ("asn-AS1", false),
        ("country-d", false),
        ("country-deu", false),
        ("country-d1", false),
        ("city-k\u{f6}ln", false),
        ("city-a b", false),
    ] {
        assert_eq!(wishes(&format!("session-s-{rest}")).is_ok(), fits, "{rest}");
    }
    let name = |len: usize| format!("{}-ip-4", "a".repeat(len - 5));
    assert!(UserName::parse(&name(USER_NAME_LEN_MAX)).wishes.is_ok());
    let over = name(USER_NAME_LEN_MAX + 1);
    assert_eq!(
        UserName::parse(&over).wishes.unwrap_err().problem(),
        &Problem::TooLong(USER_NAME_LEN_MAX)
    );
}

#[test]
fn only_what_can_be_obeyed_is_in_force() {
    for rest in [
        "session-a",
        "session-a-mode-strict",
        "session-a-mode-flexible",
        "mode-rotate",
        "mode-strict",
        "reply-fast-ip-4",
    ] {
        assert_eq!(wishes(rest).unwrap().check_in_force(), Ok(()), "{rest}");
    }
    let values = [
        ("ttl", "5"),
        ("country", "de"),
        ("city", "x"),
        ("asn", "1"),
        ("node", "n"),
        ("tag", "t"),
        ("zone", "z"),
    ];
    for (key, value) in values {
        let refused = wishes(&format!("session-a-{key}-{value}")).unwrap();
        let refused = refused.check_in_force().unwrap_err();
        assert_eq!(
            (refused.parameter(), refused.code()),
            (key, Code::NotInForce)
        );
    }
}

#[test]
fn wishes_become_what_the_core_obeys() {
    let plain = wishes("reply-fast").unwrap();
    assert_eq!(
        (plain.sticky(7), plain.is_strict(), plain.family()),
        (None, false, Family::Any)
    );
    let strict = wishes("session-a-mode-strict-ip-4").unwrap();
    let sticky = strict.sticky(7).unwrap();
    assert_eq!(
        (sticky.owner, sticky.name.as_str(), sticky.strict),
        (7, "a", true)
    );
    assert!(strict.is_strict());
    assert_eq!(strict.family(), Family::Ipv4);
    assert!(
        !wishes("session-a-mode-flexible")
            .unwrap()
            .sticky(7)
            .unwrap()
            .strict
    );
}

#[test]
fn what_is_wished_first_is_obeyed_first() {
    let first = wishes("session-a-reply-fast").unwrap();
    let then = wishes("session-b-mode-strict-reply-truthful").unwrap();
    let both = wishes("session-a-mode-strict-reply-fast").unwrap();
    assert_eq!(first.or(then.clone()), both);
    let all = "session-a-ttl-90s-country-de-city-c-asn-3320-node-n-tag-t-mode-strict-reply-fast-\
               ip-6-zone-z";
    let all = wishes(all).unwrap();
    assert_eq!(Wishes::default().or(all.clone()), all);
    assert_eq!(all.clone().or(then), all);
}

#[test]
fn an_address_of_the_other_family_cannot_be_reached() {
    let target = |host: &str| Target {
        host: Host::parse(host).unwrap(),
        port: 80,
    };
    let other = Err(Code::AddressUnsupported);
    for (rest, host, expected) in [
        ("ip-4", "192.0.2.1", Ok(())),
        ("ip-4", "::ffff:192.0.2.1", Ok(())),
        ("ip-4", "2001:db8::1", other),
        ("ip-6", "2001:db8::1", Ok(())),
        ("ip-6", "192.0.2.1", other),
        ("ip-6", "::ffff:192.0.2.1", other),
        ("ip-6", "example.org", Ok(())),
        ("reply-fast", "192.0.2.1", Ok(())),
        ("reply-fast", "2001:db8::1", Ok(())),
    ] {
        let found = wishes(rest).unwrap().check_target(&target(host));
        assert_eq!(found, expected, "{rest} {host}");
    }
}

#[test]
fn messages_escape_what_clients_write() {
    let shown = wishes("\u{1b}[31m\n-x").unwrap_err().to_string();
    assert!(shown.chars().all(|shown| !shown.is_control()), "{shown}");
}

/// A pair that is right on its own.
fn pair() -> impl Strategy<Value = (&'static str, String)> {
    let value = |key: &'static str| match key {
        "ttl" | "sesstime" => "[1-9][0-9]{0,3}[smh]?".boxed(),
        "country" | "region" => "[a-zA-Z]{2}".boxed(),
        "asn" => "[1-9][0-9]{0,8}".boxed(),
        "mode" => prop::sample::select(alloc::vec!["flexible", "Strict", "ROTATE"])
            .prop_map(String::from)
            .boxed(),
        "reply" => prop::sample::select(alloc::vec!["fast", "truthful"])
            .prop_map(String::from)
            .boxed(),
        "ip" => "[46]".boxed(),
        "session" => "[A-Za-z0-9_~]{1,12}".boxed(),
        _ => "[A-Za-z0-9._~]{1,12}".boxed(),
    };
    let keys: Vec<_> = KEYS.iter().map(|(key, _)| *key).collect();
    prop::sample::select(keys).prop_flat_map(move |key| (Just(key), value(key)))
}

proptest! {
    #[test]
    fn the_order_of_pairs_does_not_matter(pairs in prop::collection::vec(pair(), 0..6)) {
        let joined = |pairs: &mut dyn Iterator<Item = &(&str, String)>| {
            pairs.map(|(key, value)| format!("-{key}-{value}")).collect::<String>()
        };
        let forth = format!("u{}", joined(&mut pairs.iter()));
        let back = format!("u{}", joined(&mut pairs.iter().rev()));
        let (forth, back) = (UserName::parse(&forth), UserName::parse(&back));
        prop_assert_eq!(forth.wishes.is_ok(), back.wishes.is_ok());
        if let Ok(wishes) = forth.wishes {
            prop_assert_eq!(Ok(wishes), back.wishes);
        }
    }

    #[test]
    fn any_name_has_the_user_before_its_first_dash(name in "\\PC{0,40}(-\\PC{0,20}){0,4}") {
        let parsed = UserName::parse(&name);
        prop_assert_eq!(Some(parsed.user), name.split('-').next());
        if let Err(bad) = parsed.wishes {
            prop_assert_ne!(bad.to_string(), "");
        }
    }

    #[test]
    fn one_more_pair_is_obeyed_or_refused(pairs in prop::collection::vec(pair(), 1..6)) {
        // Nothing is ignored: with and without the last pair a name never means the same.
        let whole: String = pairs.iter().map(|(key, value)| format!("-{key}-{value}")).collect();
        let (last, others) = pairs.split_last().unwrap();
        let less: String = others.iter().map(|(key, value)| format!("-{key}-{value}")).collect();
        let (whole, less) = (format!("u{whole}"), format!("u{less}"));
        let less = UserName::parse(&less);
        prop_assume!(less.wishes.is_ok());
        prop_assert_ne!(UserName::parse(&whole), less, "{:?}", last);
    }
}
